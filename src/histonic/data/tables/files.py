"""CSV, TSV, Excel and Parquet files as tables of plain text that remember their row numbers."""

from __future__ import annotations

import codecs
import csv
import datetime
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import openpyxl.utils.exceptions
import pandas as pd
import pyarrow
import pyarrow.parquet

from histonic.core.errors import TableError

TABLE_EXTENSIONS = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".parquet", ".pq")
"""File names that are read as tables."""

_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class TextTable:
    """The cells of one table file.

    Attributes:
        path: Where it was read from.
        frame: Text cells without surrounding blanks, empty text where a cell is empty; the index is the
            row in the file, as a spreadsheet shows it (the header is row 1).
        decimal_comma: True if the file is separated by semicolons, where 1,5 is one and a half.
    """

    path: Path
    frame: pd.DataFrame
    decimal_comma: bool = False

    @property
    def columns(self) -> list[str]:
        """Column names in the order of the file."""
        return [str(name) for name in self.frame.columns]


def read_table(path: str | Path) -> TextTable:
    """Read a table as text, exactly as written.

    Identifiers such as ``0012`` keep their zeros. Whole numbers that Excel or Parquet hold as 12.0
    become ``12``. CSV may be UTF-8 (with or without a byte-order mark), UTF-16 or Windows-1252, and
    separated by commas, semicolons, tabs or bars, whichever is most frequent in the header. Of an Excel
    file the first sheet is read. Empty rows and columns without a name are left out.

    Args:
        path: A file that ends in one of :data:`TABLE_EXTENSIONS`.

    Raises:
        TableError: The file is absent, damaged, empty, of an unknown type, has a column twice or a row
            that is longer than the header.
    """
    file = Path(path)
    if file.is_dir():
        raise TableError(f"Read the table {file}.", "It is a folder.", "Give the table file in it.")
    if not file.is_file():
        raise TableError(f"Read the table {file}.", "There is no such file.", "Check the path.")
    ending = file.suffix.lower()
    if ending in (".csv", ".tsv", ".txt"):
        rows, comma = _csv_rows(file)
    elif ending in (".xlsx", ".xlsm"):
        rows, comma = _excel_rows(file), False
    elif ending in (".parquet", ".pq"):
        rows, comma = _parquet_rows(file), False
    else:
        raise TableError(
            f"Read the table {file}.",
            f"Its type {ending or '(no extension)'!r} is not known.",
            f"Save it as one of {', '.join(TABLE_EXTENSIONS)}.",
        )
    return TextTable(file, _frame(file, rows), comma)


def _csv_rows(file: Path) -> tuple[list[list[str]], bool]:
    text = _decode(file)
    header = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise TableError(
            f"Read the table {file}.", f"It is not a text table: {error}.", "Save it as CSV (UTF-8)."
        ) from error
    return [[cell.strip() for cell in row] for row in rows], delimiter == ";"


def _decode(file: Path) -> str:
    data = file.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings: tuple[str, ...] = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise TableError(
        f"Read the table {file}.", "Its bytes are not text in a known encoding.", "Save it as CSV (UTF-8)."
    )


def _excel_rows(file: Path) -> list[list[str]]:
    damaged = (
        zipfile.BadZipFile,
        openpyxl.utils.exceptions.InvalidFileException,
        KeyError,
        ValueError,
        OSError,
    )
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            return [[_text(cell) for cell in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        finally:
            book.close()
    except damaged as error:
        raise TableError(
            f"Read the table {file}.", f"It is not a readable Excel file: {error}.", "Save it again as .xlsx."
        ) from error


def _parquet_rows(file: Path) -> list[list[str]]:
    try:
        table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise TableError(
            f"Read the table {file}.", f"It is not a readable Parquet file: {error}.", "Write it again."
        ) from error
    # pandas stores a row index as a column of this name; it is nobody's label.
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    columns = [table.column(name).to_pylist() for name in names]
    return [names, *([_text(cell) for cell in row] for row in zip(*columns, strict=True))]


def _text(cell: Any) -> str:
    """A typed cell as a person would write it."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime | datetime.date):
        return cell.isoformat()
    return str(cell).strip()


def _frame(file: Path, rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Rows of text to a frame whose index is the row in the file."""
    filled = [(number, row) for number, row in enumerate(rows, start=1) if any(row)]
    if not filled:
        raise TableError(f"Read the table {file}.", "It is empty.", "Give a table with a header and rows.")
    header = list(filled[0][1])
    named = [position for position, name in enumerate(header) if name]
    _refuse_doubled(file, [header[position] for position in named])
    body, numbers = [], []
    for number, row in filled[1:]:
        if any(row[len(header) :]):
            raise TableError(
                f"Read the table {file}.",
                f"Row {number} has {len(row)} cells, the header has {len(header)}.",
                "Put cells that hold the separator in double quotes.",
            )
        body.append([row[position] if position < len(row) else "" for position in named])
        numbers.append(number)
    if not body:
        raise TableError(
            f"Read the table {file}.", "It has a header but no rows.", "Give a table with at least one row."
        )
    return pd.DataFrame(body, columns=[header[position] for position in named], index=numbers, dtype=object)


def _refuse_doubled(file: Path, names: Sequence[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise TableError(
            f"Read the table {file}.",
            f"The column {doubled[0]!r} occurs {names.count(doubled[0])} times.",
            "Rename or remove all but one.",
        )
