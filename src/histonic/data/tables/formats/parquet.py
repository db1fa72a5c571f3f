"""Parquet files (extra ``parquet``): the columns of single values as text."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histonic.core.errors import HistonicError, TableError
from histonic.data.tables.formats.csv import Rows
from histonic.data.tables.formats.excel import cell_text
from histonic.data.text import tidy

MOST_CELLS = 50_000_000
MOST_BYTES = 1 << 30
"""Unpacked, of the columns that are read."""
EXTRA = "pip install 'histonic[parquet]'"


def read_parquet_rows(file: Path) -> tuple[Rows, Mapping[str, str]]:
    """The rows with text, and why columns were left out by name: lists, structures and bytes are no labels.

    Raises:
        TableError: The file is damaged or too large, or the package that reads it is not installed.
    """
    pyarrow = _pyarrow(file)
    try:
        return _read(file, pyarrow)
    except HistonicError:
        raise
    except Exception as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TableError(
            f"Read the table {file}.", f"It is not a readable Parquet file: {found}.", "Write it again."
        ) from error


def _pyarrow(file: Path) -> Any:
    """The package, imported only for such a file: it is larger than all that reads other tables."""
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("pyarrow")
        raise TableError(
            f"Read the table {file}.",
            "Parquet needs pyarrow, which "
            + ("is not installed." if absent else f"cannot be imported: {error}."),
            f"Install it: {EXTRA}, or save the table as CSV.",
        ) from error


def _read(file: Path, pyarrow: Any) -> tuple[Rows, Mapping[str, str]]:
    source = pyarrow.parquet.ParquetFile(file)
    schema = source.schema_arrow
    left_out: dict[str, str] = {}
    kept: list[int] = []
    for place, field in enumerate(schema):
        # pandas stores a row index as a column of this name; it is nobody's label.
        if field.name.startswith("__index_level_"):
            continue
        if pyarrow.types.is_nested(field.type):
            left_out[tidy(field.name)] = f"Its cells are no single values but {field.type}."[:200]
        else:
            kept.append(place)
    names = [schema.field(place).name for place in kept]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise TableError(
            f"Read the table {file}.",
            f"The column {doubled[0]!r} occurs {names.count(doubled[0])} times.",
            "Rename or remove all but one.",
        )
    _require_small(file, source.metadata, len(names))
    table = source.read(columns=names)
    columns: dict[str, list[str]] = {}
    for name in names:
        try:
            columns[name] = [_text(cell) for cell in table.column(name).to_pylist()]
        except (ValueError, ArithmeticError, TypeError, pyarrow.ArrowException) as error:
            left_out[tidy(name)] = f"Its cells ({schema.field(name).type}) are no text: {error}."[:200]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    body = [(number, row) for number, row in enumerate(rows, start=2) if any(row)]
    return [(1, [tidy(name) for name in columns]), *body], left_out


def _require_small(file: Path, metadata: Any, columns: int) -> None:
    cells = metadata.num_rows * max(1, columns)
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if cells > MOST_CELLS or size > MOST_BYTES:
        raise TableError(
            f"Read the table {file}.",
            f"It says that it has {metadata.num_rows:,} rows in {columns} columns, {size / 1e6:,.0f} MB; "
            f"{MOST_CELLS:,} cells and {MOST_BYTES / 1e6:,.0f} MB are read.",
            "Leave out columns and rows that are not needed.",
        )


def _text(cell: Any) -> str:
    return tidy(cell.decode("utf-8")) if isinstance(cell, bytes) else cell_text(cell)
