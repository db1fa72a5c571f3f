"""Numbers of both conventions, judged by the column; what could be either is refused with its rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.tables.files import TextTable
from histonic.data.tables.numbers import are_numbers, column_numbers


def read(cells, delimiter=",", decimal="auto", **others):
    table = TextTable(Path("a.csv"), pd.DataFrame({"y": cells, **others}), delimiter, decimal)
    return column_numbers(table, dict(enumerate(cells, start=2)))


def values(*arguments, **options):
    found = read(*arguments, **options)
    assert not found.odd and not found.doubt
    return list(found.values.values())


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.234,5", "2.630", "12"], [1234.5, 2630, 12]),
        (["1,234.5", "2,630", "12"], [1234.5, 2630, 12]),
        (["1.234.567", "2.630"], [1234567, 2630]),
        (["0.123", "2.630"], [0.123, 2.63]),
        (["0,123", "2,630"], [0.123, 2.63]),
        (["2.5", "2.630"], [2.5, 2.63]),
        (["2,5", "2.630"], [2.5, 2630]),
        (["1.5", "1,5"], [1.5, 1.5]),
        (["2 630", "1'234", "12"], [2630, 1234, 12]),
        (["12%", "12,5 %", "0"], [12, 12.5, 0]),
        (["-2,5", "\u22123,5", "+1"], [-2.5, -3.5, 1]),
        (["1e3", "2.5E-2", ".5", "5."], [1000, 0.025, 0.5, 5]),
        (["-1.250,75", "+3"], [-1250.75, 3]),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", ""])
def test_the_column_shows_its_marks(cells, expected, delimiter):
    assert values(cells, delimiter) == expected


@pytest.mark.parametrize(("cells", "delimiter"), [(["100", "2.630"], ";"), (["100", "2,630"], ";"),
    (["100", "2.630"], ","), (["1,020", "330"], ","), (["1.230", "2.630"], ";"), (["2,630"], "\t"),
    (["100", "2.630"], "")])  # fmt: skip
def test_what_could_be_both_is_a_doubt(cells, delimiter):
    found = read(cells, delimiter)
    assert not found.values
    assert "decimals or thousands" in found.doubt and "(row " in found.doubt
    assert "--decimal comma" in found.todo
    ambiguous = [cell for cell in cells if len(cell) == 5]
    mark = ambiguous[0][1]
    said = {mark_name: values(cells, delimiter, mark_name) for mark_name in ("point", "comma")}
    decimal, thousands = ("point", "comma") if mark == "." else ("comma", "point")
    assert said[thousands] == [float(cell.replace(mark, "")) for cell in cells]
    assert said[decimal] == [float(cell.replace(mark, ".")) for cell in cells]


@pytest.mark.parametrize(("other", "expected"), [(["1,5", "2,25"], 2630.0), (["1.5", "2.25"], 2.63)])
def test_the_other_columns_decide(other, expected):
    found = read(["100", "2.630"], ";", score=other)
    assert found.values[3] == expected
    assert "'2.630' (row 3) is read as" in found.note


@pytest.mark.parametrize(("delimiter", "cells"), [(",", ["1.234", "2.630"]), (";", ["1,234", "2,630"])])
def test_three_decimals_everywhere_are_decimals_of_the_usual_kind(delimiter, cells):
    found = read(cells, delimiter)
    assert list(found.values.values()) == [1.234, 2.63]
    assert "is read as 1.234" in found.note


def test_numbers_of_excel_are_typed():
    assert values(["100", "2.635", "1.5"], "") == [100, 2.635, 1.5]
    assert values(["100", "2.635"], "") == [100, 2.635]


@pytest.mark.parametrize(
    "cell",
    ["1.2.3", "12,34,5", "1_000", "nan", "inf", "1e400", "12 days", "1.23.456", "<5", "-", "1,2,3"],
)
def test_what_is_no_number_is_odd(cell):
    found = read(["0.5", cell, "7.25"])
    assert dict(found.odd) == {3: cell}
    assert list(found.values) == [2, 4]


def test_percents_do_not_stand_beside_other_numbers():
    found = read(["12%", "0.5", "3%"])
    assert found.doubt == (
        "Some are percents, some not: 2 cells: '12%' (row 2), '3%' (row 4); 1 cell: '0.5' (row 3)."
    )


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1), st.sampled_from([",", ";", "\t", ""]))
def test_numbers_as_programs_write_them_keep_their_value(numbers, delimiter):
    """Never another value: that number, or a doubt where three decimals are all there is."""
    found = read([repr(number) for number in numbers], delimiter)
    assert not found.odd
    assert list(found.values.values()) == ([] if found.doubt else numbers)


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 2)), min_size=1))
def test_thousands_of_both_conventions_are_the_same_numbers(numbers):
    english = [f"{number:,.2f}" for number in numbers]
    german = [text.translate(str.maketrans(",.", ".,")) for text in english]
    assert values(english) == values(german, ";") == numbers


def test_are_numbers():
    table = TextTable(Path("a.csv"), pd.DataFrame(), ";")
    assert are_numbers(table, ["100", "2.630"]) and not are_numbers(table, ["100", "low"])
