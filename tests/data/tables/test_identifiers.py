"""Identifiers that a spreadsheet has damaged, and honest ones that look a little like them."""

from __future__ import annotations

import datetime

import openpyxl
import pandas as pd
import pytest

from histonic.core.errors import TableError
from histonic.data.tables.files import read_table
from histonic.data.tables.identifiers import damaged_identifiers, plain_identifiers
from histonic.data.tables.label_table import read_labels


def damage(folder, identifiers, **options):
    (folder / "a.csv").write_text("patient_id,y\n" + "".join(f"{name},1\n" for name in identifiers))
    return [
        issue.what for issue in damaged_identifiers(read_table(folder / "a.csv"), "patient_id", **options)
    ]


@pytest.mark.parametrize(
    ("identifiers", "what"),
    [
        (["1.23457E+15", "1.23457E+15", "P3"], "Identifier in scientific notation"),
        (["1E+05", "2E+05"], "Identifier in scientific notation"),
        (["1.2e+06"], "Identifier in scientific notation"),
        (['"1,23E+15"', "P2"], "Identifier in scientific notation"),
        (["1-Sep", "2-Sep"], "Identifier turned into a date"),
        (["01. Mrz", "P2"], "Identifier turned into a date"),
        (["Mar-01", "P2"], "Identifier turned into a date"),
        (["2024-03-01", "P2"], "Identifier turned into a date"),
        (["2024-03-01", "2024-03-01"], "Identifier turned into a date"),
        (["03/01/2024", "P2"], "Identifier turned into a date"),
        (["#REF!", "P2"], "Spreadsheet's error for an identifier"),
        (["=A2", "P2"], "Spreadsheet's error for an identifier"),
        (["1234567890123450", "1234567890123460", "1234567890123470"], "Identifier cut to 15 digits"),
    ],
)
def test_damage_is_named(tmp_path, identifiers, what):
    assert damage(tmp_path, identifiers) == [what]
    with pytest.raises(TableError, match=r"\(row 2\)") as caught:
        read_labels(tmp_path / "a.csv")
    assert what in caught.value.asked


@pytest.mark.parametrize(
    "identifiers",
    [
        ["1E5", "2E5"],
        ["1e5", "P2"],
        ["12E-01", "12E-02"],
        ["3E-05"],
        ["MAR-01", "XYZ-02"],
        ["2024-03-01", "2024-03-02"],
        ["1234567890123456", "1234567890123450"],
        ["12.0", "12.1"],
        ["TCGA-AB-1234"],
        ["Jan", "May"],
        ["24-1234", "1-2"],
        ["#1", "#2"],
    ],
)
def test_honest_identifiers_pass(tmp_path, identifiers):
    assert damage(tmp_path, identifiers) == []


def test_slides_may_be_dates_but_not_numbers(tmp_path):
    assert damage(tmp_path, ["2024-03-01", "s2"], slides=True) == []
    assert damage(tmp_path, ["1.5E+10", "s2"], slides=True) == ["Identifier in scientific notation"]


def test_how_many_are_left_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("patient_id\n" + "1.23457E+15\n" * 3 + "9.87654E+14\n" * 2)
    with pytest.raises(TableError, match=r"5 cells: .* and 2 more; 2 different in 5 rows"):
        read_labels(tmp_path / "a.csv")


def test_dates_of_excel_are_typed(tmp_path):
    book = openpyxl.Workbook()
    for row in (["patient_id"], [datetime.datetime(2024, 3, 1)], [datetime.datetime(2024, 3, 2)]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(TableError, match="turned into a date"):
        read_labels(tmp_path / "a.xlsx")


def test_numbers_as_floats_are_whole():
    assert list(plain_identifiers(pd.Series(["101.0", "102.00", "A.0", "nan"]))) == ["101", "102", "A.0", ""]
    assert list(plain_identifiers(pd.Series(["12.0", "12.1"]))) == ["12.0", "12.1"]
