"""Tests of histonic.data.tables.label_table."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import TableError
from histonic.data.tables.label_table import LabelTable, column_cells, read_labels


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
