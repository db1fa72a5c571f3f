"""Tile sets listed in a table: path, label, split, group, and where each tile lies on its slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from histonic.core.errors import TableError, TileSetError
from histonic.data.names import present_path
from histonic.data.tables.files import TextTable, read_table
from histonic.data.tables.issues import list_names
from histonic.data.tables.numbers import column_numbers
from histonic.data.tables.values import is_missing, to_number
from histonic.data.tilesets.listing import SPLITS, Listing, Texts, file_stamp, image_reader, texts, unknown

if TYPE_CHECKING:
    from histonic.data.tilesets.plan import TileSetSettings

SPLIT, GROUP, SLIDE, SIDE = "split", "group", "slide", "side"
"""Columns that are taken where they exist; others are named in the plan, and must exist."""


def list_table(asked: str, file: Path, plan: TileSetSettings) -> Listing:
    """List the tiles of a table; paths are relative to it.

    Args:
        asked: First part of messages.
        file: CSV, or another table that :func:`~histonic.data.tables.files.read_table` reads.
        plan: Names the columns.

    Raises:
        TileSetError: The table cannot be read, a column is missing, a path is empty or there twice, or a
            split is neither train, val nor test.
    """
    try:
        table = read_table(file)
    except TableError as error:
        raise TileSetError(asked, error.found, error.todo) from error
    for column in (plan.path_column, *plan.label):
        if column not in table.columns:
            raise _missing_column(asked, column, table)
    files = _files(asked, table, plan.path_column)
    return Listing(
        tuple(str(path) for path in files),
        {column: _labels(table, column, plan.classes) for column in plan.label},
        _splits(asked, table, plan.split),
        _optional(asked, table, plan.group, GROUP),
        _optional(asked, table, SLIDE, SLIDE),
        _places(table),
        image_reader(files),
        file_stamp(files, file.parent),
        tuple(int(row) for row in table.frame.index),
        _column(table, SIDE),
    )


def _missing_column(asked: str, column: str, table: TextTable) -> TileSetError:
    return TileSetError(
        asked,
        f"There is no column {column!r}; its columns are {list_names(table.columns)}.",
        "Name the column as the table does.",
    )


def _files(asked: str, table: TextTable, column: str) -> list[Path]:
    seen: dict[str, int] = {}
    for row, name in table.frame[column].items():
        if not name:
            raise TileSetError(asked, f"Row {row} has no {column}.", "Fill the cell or remove the row.")
        if name in seen:
            raise TileSetError(
                asked, f"{name} stands in the rows {seen[name]} and {row}.", "Keep one of them."
            )
        seen[name] = int(str(row))
    return [present_path(table.path.parent / name) for name in seen]


def _labels(table: TextTable, column: str, classes: tuple[str, ...]) -> Texts:
    """Labels as written; words that mean 'no value' become empty unless they are a declared class."""
    cells = table.frame[column]
    given = {row: cell for row, cell in enumerate(cells) if not is_missing(cell)}
    # Only where a mark or percent is to be read: most labels are words, and there may be millions.
    marked = any(letter in cell for cell in set(given.values()) for letter in ",%'")
    numbers = column_numbers(table, given) if marked or table.delimiter == ";" else None
    if numbers is not None and not numbers.odd:
        if numbers.doubt:
            raise TileSetError(
                f"Read the labels {column!r} of {table.path}.", numbers.doubt, "Write 1234.5 for numbers."
            )
        plain = {row: f"{numbers.values[row]:.15g}" for row, cell in given.items() if to_number(cell) is None}
        cells = [plain.get(row, cell) for row, cell in enumerate(cells)]
    return texts([cell if cell in classes or not is_missing(cell) else "" for cell in cells])


def _optional(asked: str, table: TextTable, column: str, default: str) -> Texts:
    """A column that may be absent if nobody asked for it by name; else a typo would go unseen."""
    if column in table.columns:
        return texts(["" if is_missing(cell) else cell for cell in table.frame[column]])
    if column not in (default, ""):
        raise _missing_column(asked, column, table)
    return unknown(len(table.frame))


def _splits(asked: str, table: TextTable, column: str) -> Texts:
    cells = _optional(asked, table, column, SPLIT)
    for row, cell in zip(table.frame.index, cells, strict=True):
        if cell and cell.lower() not in SPLITS:
            raise TileSetError(asked, f"The {column} of row {row} is {cell!r}.", "Write train, val or test.")
    return texts([SPLITS.get(cell.lower(), "") for cell in cells])


def _places(table: TextTable) -> npt.NDArray[np.float64]:
    if not {"x", "y"} <= set(table.columns):
        return np.full((len(table.frame), 2), np.nan)
    return np.stack([_column(table, axis) for axis in "xy"], axis=1)


def _column(table: TextTable, column: str) -> npt.NDArray[np.float64]:
    """A column of numbers, NaN where there is none."""
    found = np.full(len(table.frame), np.nan)
    if column in table.columns:
        for row, cell in enumerate(table.frame[column]):
            number = to_number(cell.replace(",", "."))
            found[row] = np.nan if number is None else number
    return found
