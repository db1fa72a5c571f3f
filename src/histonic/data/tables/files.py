"""CSV, TSV, Excel and Parquet files as tables of plain text that remember their row numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from histonic.core.errors import TableError
from histonic.core.files import replacing_file
from histonic.core.places.frames import NAME, FrameTable
from histonic.data.tables.formats.csv import Rows, read_csv_rows
from histonic.data.tables.formats.excel import Hidden, first_rows, read_workbook
from histonic.data.tables.formats.frames import frame_csv, read_frame_rows
from histonic.data.tables.formats.parquet import read_parquet_rows
from histonic.data.tables.headers import Header, find_header
from histonic.data.tables.issues import list_examples, list_names, suggest
from histonic.data.tables.settings import Decimal

TABLE_EXTENSIONS = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".parquet", ".pq")
"""File names that are read as tables."""


@dataclass(frozen=True)
class TextTable:
    """The cells of one table file.

    Attributes:
        path: Where it was read from.
        frame: Text cells as :func:`histonic.data.text.tidy` leaves them, empty text where a cell is empty;
            the index is the row in the file, as a spreadsheet shows it.
        delimiter: What separates its cells; empty for Excel and Parquet.
        decimal: What the user says about its numbers.
        sheet: The sheet that was read, of an Excel file.
        other_sheets: The texts in the first rows of its other sheets.
        left_out: Columns that hold no text, with the reason.
        notes: What of the file was passed over.
    """

    path: Path
    frame: pd.DataFrame
    delimiter: str = ""
    decimal: Decimal = "auto"
    sheet: str = ""
    other_sheets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Column names in the order of the file."""
        return [str(name) for name in self.frame.columns]

    @property
    def name(self) -> str:
        """The file's name, with the sheet if there are several."""
        return f"{self.path.name}[{self.sheet}]" if self.other_sheets else self.path.name

    def no_column(self, column: str) -> tuple[str, str]:
        """What was found, and what to do, where a column is asked for that is not there."""
        if column in self.left_out:
            return self.left_out[column], "Give a column of single values."
        having = [
            sheet
            for sheet, texts in self.other_sheets.items()
            if column.casefold() in (text.casefold() for text in texts)
        ]
        if having:
            return (
                f"The sheet {self.sheet!r} has no such column; the sheet {having[0]!r} has it.",
                f"Name the sheet: --sheet {having[0]!r}.",
            )
        # What was passed over may be where the column is.
        return " ".join(("The table has no such column.", *self.notes)), suggest(column, self.columns)


def read_table(
    path: str | Path | FrameTable, *, sheet: str | None = None, decimal: Decimal = "auto"
) -> TextTable:
    """Read a table as text, as a person sees it.

    Identifiers such as ``0012`` keep their zeros. Whole numbers that Excel or Parquet hold as 12.0
    become ``12``. CSV may be UTF-8 (with or without a byte-order mark), UTF-16 or Windows-1252, and
    separated by commas, semicolons, tabs or bars, whichever is most frequent in the header, or as a first
    line ``sep=;`` says. Lines that begin with # and a title above the header are passed over, see
    :func:`histonic.data.tables.headers.find_header`. Empty rows and columns without a name are left out.

    Args:
        path: A file that ends in one of :data:`TABLE_EXTENSIONS`, or a DataFrame; of that the labels of
            its rows stand for the rows of a file.
        sheet: Of an Excel file; the first by default. Other files have none.
        decimal: Kept in the table for who reads its numbers.

    Raises:
        TableError: The file is absent, damaged, empty, too large, of an unknown type, has no such sheet, a
            column twice or a row that is longer than the header.
    """
    if isinstance(path, FrameTable):
        rows, left_out = read_frame_rows(path.frame)
        frame, notes, _ = _frame(Path(NAME), rows, typed=True)
        return TextTable(Path(NAME), frame, "", decimal, left_out=left_out, notes=notes)
    file = Path(path)
    if file.is_dir():
        raise TableError(f"Read the table {file}.", "It is a folder.", "Give the table file in it.")
    if not file.is_file():
        raise TableError(f"Read the table {file}.", "There is no such file.", "Check the path.")
    ending = file.suffix.lower()
    try:
        return _read(file, ending, sheet, decimal)
    except OSError as error:
        raise TableError(
            f"Read the table {file}.",
            f"It cannot be read: {error.strerror or error}.",
            "Check the file and its disk.",
        ) from error


def _read(file: Path, ending: str, sheet: str | None, decimal: Decimal) -> TextTable:
    if ending in (".csv", ".tsv", ".txt"):
        rows, delimiter = read_csv_rows(file)
        frame, notes, _ = _frame(file, rows)
        return TextTable(file, frame, delimiter, decimal, notes=notes)
    if ending in (".xlsx", ".xlsm"):
        rows, name, others, hidden = read_workbook(file, sheet)
        texts = {title: first_rows(first) for title, first in others.items()}
        known = {title: cells for title, cells in texts.items() if cells}
        try:
            frame, notes, places = _frame(file, rows)
        except TableError as error:
            if not known or sheet is not None:
                raise
            found = f"{error.found} (The sheet {name!r}; there are also {list_names(map(repr, known))}.)"
            todo = f"Name the sheet with the table: --sheet NAME. If it is this one: {error.todo}"
            raise TableError(error.asked, found, todo) from error
        notes = (*notes, *_hidden_notes(hidden, frame, places))
        return TextTable(file, frame, "", decimal, name, known, notes=notes)
    if ending in (".parquet", ".pq"):
        rows, left_out = read_parquet_rows(file)
        frame, notes, _ = _frame(file, rows, typed=True)
        return TextTable(file, frame, "", decimal, left_out=left_out, notes=notes)
    raise TableError(
        f"Read the table {file}.",
        f"Its type {ending or '(no extension)'!r} is not known.",
        f"Save it as one of {', '.join(TABLE_EXTENSIONS)}.",
    )


def _frame(file: Path, rows: Rows, *, typed: bool = False) -> tuple[pd.DataFrame, tuple[str, ...], list[int]]:
    """Rows of text to a frame whose index is the row in the file; notes; and the places of its columns."""
    if not rows:
        raise TableError(f"Read the table {file}.", "It is empty.", "Give a table with a header and rows.")
    found = Header(rows[0][1], rows[0][0], rows[1:], []) if typed else find_header(rows)
    header, rows = [" ".join(name.split()) for name in found.names], found.body
    named = [position for position, name in enumerate(header) if name]
    _refuse_doubled(file, [header[position] for position in named])
    longer = {number: f"{len(row)} cells" for number, row in rows if any(row[len(header) :])}
    if longer:
        number = next(iter(longer))
        more = f" ({list_examples(longer)})" if len(longer) > 1 else ""
        raise TableError(
            f"Read the table {file}.",
            f"Row {number} has {longer[number]}, the header has {len(header)}{more}.",
            f"If the column names are not in row {found.row}, remove the rows above them. "
            "Else name every column, and put cells that hold the separator in double quotes.",
        )
    if not rows:
        raise TableError(
            f"Read the table {file}.", "It has a header but no rows.", "Give a table with at least one row."
        )
    body = [[row[position] if position < len(row) else "" for position in named] for _, row in rows]
    numbers = pd.Index([number for number, _ in rows], dtype=object if typed else None)
    columns = [header[position] for position in named]
    return pd.DataFrame(body, columns=columns, index=numbers, dtype=object), tuple(found.notes), named


def _hidden_notes(hidden: Hidden, frame: pd.DataFrame, places: Sequence[int]) -> list[str]:
    """What is read although nobody sees it in the spreadsheet."""
    rows = [f"row {row}" for row in hidden.rows if row in frame.index]
    columns = [repr(n) for n, k in zip(frame.columns, places, strict=True) if hidden.has_column(k + 1)]
    return [
        f"{len(found)} {kind}(s) are hidden in the sheet, such as {found[0]}, and read all the same."
        for kind, found in (("row", rows), ("column", columns))
        if found
    ]


def _refuse_doubled(file: Path, names: Sequence[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise TableError(
            f"Read the table {file}.",
            f"The column {doubled[0]!r} occurs {names.count(doubled[0])} times.",
            "Rename or remove all but one.",
        )


def store_table(table: FrameTable) -> None:
    """Write the copy of a DataFrame as CSV, all or nothing; nothing where none is kept.

    Raises:
        TableError: As a file it would be read as another table.
        OutputError: It cannot be written.
    """
    if table.copy is None:
        return
    frame = read_table(table).frame
    with replacing_file(table.copy) as partial:
        partial.write_text(frame_csv(frame), encoding="utf-8")
        # A row that begins with a mark of comments, say, would be passed over.
        again = read_csv_rows(partial)[0]
        read, _, _ = _frame(table.copy, again)
        if list(read.columns) != list(frame.columns) or read.to_numpy().tolist() != frame.to_numpy().tolist():
            raise TableError(
                f"Keep a copy of the {NAME} as {table.copy}.",
                "As a CSV file it would be read as another table.",
                "Write it to a file yourself and give its path.",
            )
