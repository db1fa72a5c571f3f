"""Reading label tables: identifiers, joins of two tables, one kind of cell a column."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import TableError
from histonic.data.tables.label_table import LabelTable, column_cells, read_labels


def write(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def links(table: LabelTable) -> list[tuple[str, str]]:
    assert table.links is not None
    return list(zip(table.links["patient_id"], table.links["slide_id"], strict=True))


def test_identifiers_stay_text(tmp_path):
    table = read_labels(write(tmp_path, "patient_id,slide_id\n0012,007\n1e5,1.0\n"))
    assert links(table) == [("0012", "007"), ("1e5", "1.0")]


def test_slide_id_may_be_a_file_name_or_come_from_the_path(tmp_path):
    table = read_labels(write(tmp_path, "patient_id,slide_id,path\nA,a.svs,x/other.svs\nB,,x/b.ome.tif\n"))
    assert links(table) == [("A", "a"), ("B", "b")]
    assert read_labels(write(tmp_path, "patient_id,grade\nA,1\n")).links is None


@pytest.mark.parametrize("word", ["", "NA", "nan", "n/a", "unknown"])
def test_patient_called_na_is_an_error_that_names_the_row(tmp_path, word):
    with pytest.raises(TableError, match=r"row 3") as caught:
        read_labels(write(tmp_path, f"patient_id,slide_id\nA,a\n{word},b\n"))
    assert "patient_id" in caught.value.asked


def test_no_patient_column_is_refused_and_can_be_said_to_be_the_slide(tmp_path):
    file = write(tmp_path, "slide_id,grade\na.svs,1\n")
    with pytest.raises(TableError, match="patient_id=slide_id"):
        read_labels(file)
    assert links(read_labels(file, columns={"patient_id": "slide_id"})) == [("a.svs", "a")]


def test_slide_of_two_patients_is_refused(tmp_path):
    with pytest.raises(TableError, match="the patients A, B") as caught:
        read_labels(write(tmp_path, "patient_id,slide_id\nA,x.svs\nB,x\n"))
    assert "rows 2, 3" in caught.value.asked


def test_stamp_clini_and_slide_table(tmp_path):
    clini = write(tmp_path, "PATIENT,isMSIH\nA,MSIH\nB,nonMSIH\n", "clini.csv")
    slides = write(tmp_path, "PATIENT,FILENAME\nA,a1.h5\nA,a2.h5\nB,b.h5\n", "slide.csv")
    for style in ("stamp", "auto"):
        table = read_labels(clini, style=style, slide_table=slides)
        assert links(table) == [("A", "a1"), ("A", "a2"), ("B", "b")]
        assert list(table.patients) == ["A", "B"]


def test_own_names_reach_whichever_table_has_the_column(tmp_path):
    labels = write(tmp_path, "Fall,grade\nA,1\n")
    slides = write(tmp_path, "Fall,Scan\nA,a.svs\n", "slides.csv")
    table = read_labels(labels, columns={"patient_id": "Fall", "slide_id": "Scan"}, slide_table=slides)
    assert links(table) == [("A", "a")]
    with pytest.raises(TableError, match="'Fal'"):
        read_labels(labels, columns={"patient_id": "Fal"}, slide_table=slides)


def test_slide_table_without_slides_is_refused(tmp_path):
    labels, slides = (
        write(tmp_path, "patient_id,grade\nA,1\n"),
        write(tmp_path, "patient_id,x\nA,1\n", "s.csv"),
    )
    with pytest.raises(TableError, match=r"slide table .*s\.csv"):
        read_labels(labels, slide_table=slides)


def table(folder: Path, cells: list[str], separator: str = ";") -> LabelTable:
    lines = [f"P{number}{separator}{cell}" for number, cell in enumerate(cells)]
    (folder / "labels.csv").write_text("\n".join([f"patient_id{separator}age", *lines]) + "\n")
    return read_labels(folder / "labels.csv")


def test_decimal_commas_become_points(tmp_path: Path) -> None:
    found = column_cells(table(tmp_path, ["72,5", "", "NA", "61"]), "age")
    assert list(found.values()) == ["72.5", "", "", "61"]


def test_words_stay_as_they_are(tmp_path: Path) -> None:
    words = ["II,a", "III", "1", "2", "01"]
    assert list(column_cells(table(tmp_path, words), "age").values()) == words
    few = ["1", "2", "3", "4", "x"] * 3
    assert list(column_cells(table(tmp_path, few, ","), "age").values()) == few


def test_one_slip_among_numbers_is_named(tmp_path: Path) -> None:
    ages = [str(age) for age in range(40, 60)]
    with pytest.raises(
        TableError, match=r"(?s)column 'age'.*Row 7 says 'about 60', while 19 cells are numbers"
    ):
        column_cells(table(tmp_path, [*ages[:5], "about 60", *ages[6:]]), "age")
