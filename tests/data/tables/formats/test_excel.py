"""Excel files: sheets, formulas, sizes, damage."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from pathlib import Path

import openpyxl
import pytest

from histonic.core.errors import TableError
from histonic.data.tables.files import read_table
from histonic.data.tables.label_table import read_labels

SHEETS = {
    "Notes": [["Prepared by the registry"]],
    "Clinical": [["patient_id", "grade"], ["P1", "low"], ["P2", "high"]],
    "Scans": [["patient_id", "slide_id"], ["P1", "a.svs"], ["P2", "b.svs"]],
}


def write_book(file: Path, sheets: dict[str, list[list[object]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file


def change_part(file: Path, name: str, change) -> None:
    """A part of the workbook put through a function; None takes it out."""
    with zipfile.ZipFile(file) as old:
        parts = {each: old.read(each) for each in old.namelist()}
    parts[name] = change(parts[name])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for each, content in parts.items():
            if content is not None:
                new.writestr(each, content)


def test_sheet_is_chosen_by_name(tmp_path):
    file = write_book(tmp_path / "a.xlsx", SHEETS)
    assert read_table(file, sheet="Clinical").columns == ["patient_id", "grade"]
    assert read_table(file, sheet=" clinical").sheet == "Clinical"
    with pytest.raises(TableError, match="its sheets are 'Notes', 'Clinical', 'Scans'"):
        read_table(file, sheet="Klinik")


def test_labels_and_slides_in_two_sheets(tmp_path):
    file = write_book(tmp_path / "a.xlsx", SHEETS)
    table = read_labels(file, slide_table=file, sheet="Clinical", slide_sheet="Scans")
    assert list(table.links["slide_id"]) == ["a", "b"]


def test_the_sheet_that_has_the_column_is_named(tmp_path):
    sheets = {"Info": [["Version", "Date"], ["2", "May"]], **SHEETS}
    file = write_book(tmp_path / "a.xlsx", sheets)
    with pytest.raises(TableError, match="look at --sheet 'Clinical'"):
        read_labels(file)
    table = read_table(file, sheet="Clinical")
    assert "the sheet 'Scans' has it" in table.no_column("slide_id")[0]
    assert table.no_column("slide_id")[1] == "Name the sheet: --sheet 'Scans'."


def test_first_sheet_without_a_table(tmp_path):
    with pytest.raises(TableError, match="there are also 'Clinical', 'Scans'") as caught:
        read_table(write_book(tmp_path / "a.xlsx", SHEETS))
    assert "--sheet" in caught.value.todo


def test_formula_without_a_value_is_not_empty(tmp_path):
    rows = [["patient_id", "grade"], ["P1", "=A2"], ["P2", "low"]]
    read = read_table(write_book(tmp_path / "a.xlsx", {"A": rows}))
    assert list(read.frame["grade"]) == ["=A2", "low"]


def test_a_sheet_that_claims_to_be_huge_is_read(tmp_path):
    file = write_book(tmp_path / "a.xlsx", {"A": SHEETS["Clinical"]})
    part = "xl/worksheets/sheet1.xml"
    change_part(file, part, lambda xml: re.sub(b'ref="A1:B3"', b'ref="A1:XFD1048576"', xml))
    assert len(read_table(file).frame) == 2


def test_row_number_without_end_is_refused(tmp_path):
    file = write_book(tmp_path / "a.xlsx", {"A": SHEETS["Clinical"]})
    part = "xl/worksheets/sheet1.xml"
    change_part(
        file, part, lambda xml: xml.replace(b'r="3"', b'r="99999999"').replace(b'"A3"', b'"A99999999"')
    )
    with pytest.raises(TableError, match="more than 1,048,576 rows"):
        read_table(file)


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row"),
        ("xl/worksheets/sheet1.xml", None),
        ("xl/workbook.xml", b"not xml"),
        ("xl/workbook.xml", None),
        ("xl/styles.xml", b"<a"),
        ("[Content_Types].xml", None),
    ],
)
def test_damaged_parts_are_a_table_error(tmp_path, part, content):
    file = write_book(tmp_path / "a.xlsx", {"A": SHEETS["Clinical"]})
    change_part(file, part, lambda _: content)
    with pytest.raises(TableError, match=r"Excel file|no sheet"):
        read_table(file)


def test_charts_only(tmp_path):
    book = openpyxl.Workbook()
    book.create_chartsheet("Chart")
    book.save(tmp_path / "a.xlsx")
    file = tmp_path / "a.xlsx"

    def without_sheet(xml: bytes) -> bytes:
        return re.sub(rb'<sheet [^>]*name="Sheet"[^>]*/>', b"", xml)

    change_part(file, "xl/workbook.xml", without_sheet)
    with pytest.raises(TableError, match=r"no sheet with cells|not a readable Excel"):
        read_table(file)


def test_parts_too_large_to_unpack(tmp_path, monkeypatch):
    monkeypatch.setattr("histonic.data.tables.formats.excel.MOST_BYTES", 1000)
    with pytest.raises(TableError, match="Its parts have"):
        read_table(write_book(tmp_path / "a.xlsx", SHEETS))


def test_too_many_cells(tmp_path, monkeypatch):
    monkeypatch.setattr("histonic.data.tables.formats.excel.MOST_CELLS", 5)
    with pytest.raises(TableError, match="more than 5 cells"):
        read_table(write_book(tmp_path / "a.xlsx", SHEETS), sheet="Clinical")


def test_password(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"\xd0\xcf\x11\xe0" + io.BytesIO(bytes(600)).read())
    with pytest.raises(TableError, match="without a password"):
        read_table(tmp_path / "a.xlsx")


def test_hidden_rows_are_read_and_said(tmp_path):
    file = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["patient_id", "grade"])
    for number in range(20):
        book.active.append([f"P{number}", "low"])
    assert not hidden_note(book, file)
    for row in (5, 6, 19, 40):  # row 40 is empty
        book.active.row_dimensions[row].hidden = True
    assert hidden_note(book, file) == [
        "3 row(s) are hidden in the sheet, such as row 5, and read all the same."
    ]


def test_hidden_columns_are_read_and_said(tmp_path):
    file = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    for row in (["patient_id", None, "grade", "age"], ["P1", None, "low", 63], ["P2", "x", "high", 71]):
        book.active.append(row)
    book.active.column_dimensions["A"].width = 30
    # A column without a name is not read, and those beyond the table are often hidden.
    book.active.column_dimensions["B"].hidden = True
    book.active.column_dimensions.group("E", "XFD", hidden=True)
    assert not hidden_note(book, file)
    for column in "CD":
        book.active.column_dimensions[column].hidden = True
    assert hidden_note(book, file) == [
        "2 column(s) are hidden in the sheet, such as 'grade', and read all the same."
    ]
    book.active.column_dimensions["C"].hidden = False
    assert "such as 'age'" in hidden_note(book, file)[0]


def test_rows_of_a_sheet_that_hides_the_unused_ones_are_seen(tmp_path):
    book = openpyxl.Workbook()
    for row in SHEETS["Clinical"]:
        book.active.append(row)
    book.active.sheet_format.zeroHeight = True
    assert not hidden_note(book, tmp_path / "a.xlsx")


def hidden_note(book, file) -> list[str]:
    book.save(file)
    return [note for note in read_table(file).notes if "hidden" in note]


def test_header_below_merged_groups(tmp_path):
    names = ["Patient", "Scan", "Class", "Age", "Ki-67", "Seen"]
    rows = [[f"P{n}", f"s{n}", "low", 60 + n, f"{n},5", datetime.date(2019, 3, 1 + n)] for n in range(5)]
    for first in ("Who", "Patient"):
        groups = [first, None, "Clinic", None, None, "Course"]
        for above in ([], [["Study of 2019"]], [["Study of 2019"], []]):
            file = write_book(tmp_path / "a.xlsx", {"A": [*above, groups, names, *rows], "B": [["x"]]})
            table = read_table(file)
            assert table.columns == names
            assert f"Row {len(above) + 2} is taken for the header" in table.notes[0]
    # Where nothing tells names from values, the message says what to do about either.
    words = [["Who", None, "Clinic"], ["Patient", "Scan", "Class", "Side"], ["P1", "s1", "low", "left"]]
    with pytest.raises(TableError, match="row 1, remove the rows above") as caught:
        read_table(write_book(tmp_path / "a.xlsx", {"A": words, "B": [["x"]]}))
    assert "--sheet NAME" in caught.value.todo


def test_cells_below_a_merged_patient_are_told(tmp_path):
    rows = [["patient_id", "slide_id", "grade"], ["P1", "a", "low"], [None, "b", None], ["P2", "c", "high"]]
    with pytest.raises(TableError, match="Of merged cells only the first has it"):
        read_labels(write_book(tmp_path / "a.xlsx", {"A": rows}))
