"""A column that is no target, cell by cell: clinical facts, subgroups, confounders."""

from __future__ import annotations

from histonic.core.errors import TableError
from histonic.data.label_table import LabelTable
from histonic.data.label_values import is_missing, to_number

FEWEST_NUMBERS = 7
"""So many different numbers make a column one of numbers, in which another word is a slip."""
ODD_SHARE = 0.2
"""With more cells that are no numbers it is a column of words."""


def column_cells(table: LabelTable, column: str) -> dict[int, str]:
    r"""Cells by row of the file, empty where missing; numbers with a decimal point.

    Args:
        table: The label table.
        column: One of its columns.

    Raises:
        TableError: Nearly all cells are numbers and another one is not, so that one slip would turn ages into
            categories.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = file.write_text("patient_id;age\nP1;72,5\nP2;NA\n")
        >>> from histonic.data.label_table import read_labels
        >>> column_cells(read_labels(file), "age")
        {2: '72.5', 3: ''}
    """
    comma = table.text.decimal_comma
    cells = {
        int(row): "" if is_missing(cell) else str(cell).strip() for row, cell in table.frame[column].items()
    }
    numbers = {row: to_number(text, decimal_comma=comma) for row, text in cells.items() if text}
    odd = [row for row, number in numbers.items() if number is None]
    if not odd:
        return {row: text.replace(",", ".") if comma else text for row, text in cells.items()}
    many = len({number for number in numbers.values() if number is not None}) >= FEWEST_NUMBERS
    if many and len(odd) <= ODD_SHARE * len(numbers):
        raise TableError(
            f"Read the column {column!r} of {table.path}.",
            f"Row {odd[0]} says {cells[odd[0]]!r}, while {len(numbers) - len(odd)} cells are numbers.",
            "Write a number there or leave the cell empty.",
        )
    return cells
