"""DataFrames as rows of text that remember the labels of their rows, and their copies as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histonic.core.errors import TableError
from histonic.core.places.frames import NAME
from histonic.data.tables.formats.csv import Rows
from histonic.data.tables.formats.excel import cell_text
from histonic.data.text import tidy


class RowLabel(int):
    """The place of a row from 0 on, which messages call by its label.

    Example:
        >>> row = RowLabel(3)
        >>> row.label = "P7"
        >>> row == 3, f"row {row}", str(row)
        (True, 'row P7', 'P7')
    """

    label: str

    def __str__(self) -> str:
        return self.label

    def __format__(self, spec: str) -> str:
        return self.label

    __repr__ = __str__


def row_of(label: Any) -> int:
    """The row of a table by its label in a frame's index; labels of a DataFrame's rows keep their words."""
    return label if isinstance(label, int) else int(label)


def read_frame_rows(frame: Any) -> tuple[Rows, dict[str, str]]:
    """The rows with text, the header first, and why columns were left out by name.

    A named index is a column, too, so that a table indexed by patient_id needs no reset_index().

    Raises:
        TableError: Its columns have several levels, or two have one name.

    Example:
        >>> rows, _ = read_frame_rows(pd.DataFrame({"patient_id": ["0012"], "age": [64.0]}))
        >>> rows[0][1], rows[1][1]
        (['patient_id', 'age'], ['0012', '64'])
    """
    if isinstance(frame.columns, pd.MultiIndex):
        raise TableError(
            f"Read the table {NAME}.",
            f"Its columns have {frame.columns.nlevels} levels.",
            "Give a table with plain column names.",
        )
    names = [tidy(str(name)) for name in frame.columns]
    columns = [(name, frame.iloc[:, place]) for place, name in enumerate(names)]
    for level in reversed(range(frame.index.nlevels)):
        name = frame.index.names[level]
        if name is not None and tidy(str(name)) not in names:
            columns.insert(0, (tidy(str(name)), frame.index.get_level_values(level)))
    left_out: dict[str, str] = {}
    kept: list[tuple[str, list[str]]] = []
    for name, cells in columns:
        nested = next((cell for cell in cells if _is_nested(cell)), None)
        if nested is not None:
            left_out[name] = f"Its cells are no single values but such as a {type(nested).__name__}."
        else:
            kept.append((name, [_text(cell) for cell in _own_digits(cells)]))
    doubled = [name for name, _ in kept]
    if again := sorted({name for name in doubled if doubled.count(name) > 1}):
        raise TableError(
            f"Read the table {NAME}.",
            f"The column {again[0]!r} occurs {doubled.count(again[0])} times.",
            "Rename or remove all but one.",
        )
    labels = _labels(frame.index)
    body = [
        (label, list(cells))
        for label, cells in zip(labels, zip(*(cells for _, cells in kept), strict=True), strict=False)
        if any(cells)
    ]
    return [(0, [name for name, _ in kept]), *body], left_out


def frame_csv(table: pd.DataFrame) -> str:
    """A table of text cells as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(list(table.columns))
    writer.writerows(table.to_numpy().tolist())
    return out.getvalue()


def _labels(index: Any) -> Sequence[int]:
    """Whole numbers that differ are rows themselves; all other labels stand for their places."""
    found = list(index)
    plain = index.nlevels == 1 and pd.api.types.is_integer_dtype(index.dtype) and index.is_unique
    labels = []
    for place, each in enumerate(found):
        label = RowLabel(int(each) if plain else place)
        label.label = str(each) if index.is_unique else f"{each} (iloc {place})"
        labels.append(label)
    return labels


def _own_digits(cells: Any) -> Any:
    """Cells of a column; a float32 has few digits of its own, and those of its float64 would be noise."""
    if cells.dtype.kind == "f" and cells.dtype.itemsize < 8:
        return [float(str(cell)) for cell in cells.to_numpy()]
    return cells


def _is_nested(cell: Any) -> bool:
    return not isinstance(cell, str | bytes | Path) and (
        isinstance(cell, list | tuple | dict | set) or getattr(cell, "ndim", 0) > 0
    )


def _text(cell: Any) -> str:
    if isinstance(cell, bytes):
        return tidy(cell.decode("utf-8", "replace"))
    if cell is None or pd.isna(cell):
        return ""
    cell = cell.item() if hasattr(cell, "dtype") else cell
    text = cell_text(cell)
    if isinstance(cell, float):
        whole, _, decimals = text.partition(".")
        # 1.234 of a number is no thousand, as it might be in a text.
        return f"{text}0" if len(decimals) == 3 and whole.lstrip("-") != "0" and decimals.isdigit() else text
    return text
