"""The cells of a target's column: what is given, and numbers with all that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping

from histonic.data.tables.formats.frames import row_of
from histonic.data.tables.issues import Issue, error_cells
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.numbers import column_numbers
from histonic.data.tables.values import is_date, is_duration, is_missing, is_spreadsheet_error

DIFFERENCE = (
    "Give the time from the start of follow-up to the event or the last visit: the difference of two dates."
)
"""What to do about dates in a column of times."""
DURATION = (
    "These are lengths of time: give numbers of one unit, such as days (of a DataFrame: "
    "column / pandas.Timedelta(days=1))."
)
"""What to do about lengths of time in the place of numbers."""


def given_cells(table: LabelTable, column: str) -> dict[int, str]:
    """Text by row, of the cells that are not missing."""
    return {row_of(row): cell for row, cell in table.frame[column].items() if not is_missing(cell)}


def spreadsheet_errors(table: LabelTable, column: str, cells: Mapping[int, str]) -> tuple[Issue, ...]:
    """An error if cells hold a spreadsheet's own."""
    wrong = {row: cell for row, cell in cells.items() if is_spreadsheet_error(cell)}
    return (error_cells(table.text.name, column, wrong),) if wrong else ()


def read_numbers(
    table: LabelTable, column: str, cells: Mapping[int, str], *, not_negative: bool = False
) -> tuple[dict[int, float], tuple[Issue, ...]]:
    """Finite numbers per row; every other cell is an issue, and so are numbers that cannot be told.

    Args:
        table: The labels.
        column: One of its columns.
        cells: Text by row, none of them missing.
        not_negative: Whether they are times, which are never negative, nor percents.
    """
    issues = [*spreadsheet_errors(table, column, cells)]
    cells = {row: cell for row, cell in cells.items() if not is_spreadsheet_error(cell)}
    percents = {row: cell for row, cell in cells.items() if not_negative and cell.endswith("%")}
    found = column_numbers(table.text, {row: cell for row, cell in cells.items() if row not in percents})
    if found.doubt:
        what = "Numbers that can be read in two ways"
        issues.append(Issue("error", what, table.where(column), found.doubt, found.todo))
    if found.note:
        todo = "Nothing, if this is right; else say --decimal point or --decimal comma."
        issues.append(Issue("warning", "Numbers read by habit", table.where(column), found.note, todo))
    values = dict(found.values)
    for row, cell in cells.items():
        negative = not_negative and values.get(row, 0.0) < 0
        if row in values and not negative:
            continue
        if row not in values and row not in found.odd and row not in percents:
            continue  # in doubt, said above
        values.pop(row, None)
        dated = not_negative and is_date(cell)
        what = (
            "Negative time" if negative else "Time that is not a number" if not_negative else "Not a number"
        )
        what = "Dates in place of times" if dated else what
        todo = "Correct the cell, or leave it empty if the value is missing."
        todo = DIFFERENCE if dated else DURATION if is_duration(cell) else todo
        issues.append(Issue("error", what, table.where(column, row), f"The cell is {cell!r}.", todo))
    return values, tuple(issues)
