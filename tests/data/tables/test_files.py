"""Tables as text: encodings, separators, types, row numbers and damage."""

from __future__ import annotations

import datetime

import openpyxl
import pandas as pd
import pytest

from histonic.core.errors import TableError
from histonic.data.tables.files import read_table

TEXT = "patient_id,slide_id,grade\n0012,a.svs,Größe\n0013,b.svs,\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_text_in_any_usual_encoding(tmp_path, encoding, line_end):
    file = tmp_path / "a.csv"
    file.write_bytes(TEXT.replace("\n", line_end).encode(encoding))
    table = read_table(file)
    assert table.columns == ["patient_id", "slide_id", "grade"]
    assert list(table.frame["patient_id"]) == ["0012", "0013"]
    assert list(table.frame["grade"]) == ["Größe", ""]
    assert list(table.frame.index) == [2, 3]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_found_in_the_header(tmp_path, separator):
    file = tmp_path / "a.csv"
    file.write_text(TEXT.replace(",", separator))
    table = read_table(file)
    assert table.columns == ["patient_id", "slide_id", "grade"]
    assert table.delimiter == separator


def test_row_numbers_survive_empty_rows_and_quoted_separators(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('id,note\nA,"x, y"\n\n,\nB,"two ""words"""\n')
    frame = read_table(file).frame
    assert frame.to_dict("index") == {2: {"id": "A", "note": "x, y"}, 5: {"id": "B", "note": 'two "words"'}}


def test_short_rows_are_filled_and_unnamed_columns_dropped(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(",id,grade\n0,A\n1, B ,2,,\n")
    assert read_table(file).frame.to_dict("list") == {"id": ["A", "B"], "grade": ["", "2"]}


def test_excel_keeps_text_and_makes_whole_numbers_whole(tmp_path):
    book = openpyxl.Workbook()
    for row in (
        ["id", "number", "day", "flag"],
        ["0012", 12.0, datetime.date(2020, 1, 2), True],
        [13, 1.5, None, False],
    ):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    frame = read_table(tmp_path / "a.xlsx").frame
    assert list(frame["id"]) == ["0012", "13"]
    assert list(frame["number"]) == ["12", "1.5"]
    assert frame["day"][2].startswith("2020-01-02")
    assert list(frame["flag"]) == ["True", "False"]


def test_parquet_keeps_text_and_drops_the_index(tmp_path):
    frame = pd.DataFrame(
        {"id": ["0012", "0013"], "n": [12.0, None], "k": pd.Categorical(["x", "y"])}, index=[5, 6]
    )
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.frame.to_dict("list") == {"id": ["0012", "0013"], "n": ["12", ""], "k": ["x", "y"]}
    assert list(table.frame.index) == [2, 3]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.csv", b"", "It is empty"),
        ("a.csv", b"\n\n ,\n", "It is empty"),
        ("a.csv", b"id,grade\n", "no rows"),
        ("a.csv", b"id,grade\n,\n", "no rows"),
        ("a.csv", b"id,grade,id\nA,1,A\n", "'id' occurs 2 times"),
        ("a.csv", b"id,grade\nA,1\nB,1,2\n", "Row 3 has 3 cells"),
        ("a.csv", b"PK\x03\x04\0\0\x81", "not text"),
        ("a.xlsx", b"not a workbook", "not a readable Excel"),
        ("a.parquet", b"not parquet", "not a readable Parquet"),
        ("a.xls", b"old", "type '.xls' is not known"),
    ],
)
def test_what_cannot_be_read_is_a_table_error(tmp_path, name, content, word):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=word) as caught:
        read_table(tmp_path / name)
    assert name in caught.value.asked


def test_absent_file(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(TableError, match="It is a folder"):
        read_table(tmp_path)
