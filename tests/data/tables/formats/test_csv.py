"""Text tables: encodings, separators, quotes."""

from __future__ import annotations

import pytest

from histonic.core.errors import TableError
from histonic.data.tables.files import read_table
from histonic.data.tables.formats.csv import read_csv_rows


def table(folder, content: bytes | str):
    file = folder / "a.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(file)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_without_a_mark(tmp_path, encoding):
    assert list(table(tmp_path, "id,grade\nA,Größe\n".encode(encoding)).frame["grade"]) == ["Größe"]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_separator_named_in_the_first_line(tmp_path, line):
    read = table(tmp_path, f"{line}\r\nid;a, b, c\r\nP1;2\r\n")
    assert (read.columns, list(read.frame.index)) == (["id", "a, b, c"], [3])
    assert read_csv_rows(tmp_path / "a.csv")[1] == ";"


def test_title_with_another_separator(tmp_path):
    rows = "".join(f"P{k};{k}\n" for k in range(9))
    read = table(tmp_path, f"Cohort of Utrecht, 2024, second export\n\npatient_id;grade\n{rows}")
    assert read.columns == ["patient_id", "grade"]
    assert list(read.frame.index)[:2] == [4, 5]


@pytest.mark.parametrize("ends", ["\r", "\n", "\r\n", "\n\r\n"])
def test_line_ends_of_every_kind(tmp_path, ends):
    assert list(table(tmp_path, ends.join(["id,y", "A,1", "B,2", ""])).frame["y"]) == ["1", "2"]


def test_quote_that_is_never_closed_loses_no_row(tmp_path):
    with pytest.raises(TableError, match="double quote in row 3 is never closed"):
        table(tmp_path, 'id,y\nA,1\nB,"2\nC,3\n')


def test_cell_without_end(tmp_path):
    with pytest.raises(TableError, match="more than 1,048,576 letters"):
        table(tmp_path, "id,y\nA," + "x" * 10_000_000 + "\n")


def test_zero_bytes_name_their_line(tmp_path):
    with pytest.raises(TableError, match="line 3 holds a zero byte"):
        table(tmp_path, b"patient_id,grade\nA,1\nB,\x002\n" + b"C,3\n" * 20)


def test_excel_under_another_name(tmp_path):
    with pytest.raises(TableError, match="an Excel file"):
        table(tmp_path, b"PK\x03\x04" + bytes(30))


def test_text_that_excel_is_told_to_keep(tmp_path):
    assert list(table(tmp_path, 'id,y\n="0012",1\n').frame["id"]) == ["0012"]


def test_longer_rows_are_counted(tmp_path):
    with pytest.raises(TableError, match=r"Row 2 has 3 cells, the header has 2 \(4 cells: .* and 1 more\)"):
        table(tmp_path, "id,y\n" + "A,1,2\n" * 4)


def test_guarded_cells_are_restored(tmp_path):
    assert list(table(tmp_path, "id,y\n'=A,'-\n").frame.loc[2]) == ["=A", "-"]
