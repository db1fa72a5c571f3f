"""Excel files: the sheet that is meant, and its cells as text, however large the sheet claims to be."""

from __future__ import annotations

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histonic.core.errors import HistonicError, TableError
from histonic.data.tables.formats.csv import Rows
from histonic.data.text import tidy

MOST_ROWS, MOST_CELLS = 1 << 20, 5_000_000
"""Rows that Excel itself can hold, and cells that are read of a sheet."""
MOST_BYTES = 400 << 20
"""Of all parts of a workbook but its pictures, unpacked."""
_ROW_OR_COLUMN = re.compile(rb"<(?:\w+:)?(row|col)\s[^>]*>")
_ROW_NUMBER, _FIRST, _LAST, _HIDDEN = (
    re.compile(rb"\s" + pattern)
    for pattern in (rb'r="(\d{1,7})"', rb'min="(\d{1,5})"', rb'max="(\d{1,5})"', rb'hidden="(?:1|true)"')
)
SHEETS_LOOKED_AT, ROWS_LOOKED_AT = 30, 40


@dataclass(frozen=True)
class Hidden:
    """What nobody sees of a sheet in the spreadsheet, by hand, by a filter or in a folded outline.

    Attributes:
        rows: By number.
        columns: By number, from 1: the first and the last of each run.
    """

    rows: tuple[int, ...]
    columns: tuple[tuple[int, int], ...]

    def has_column(self, number: int) -> bool:
        """Whether a column is hidden, counted from 1."""
        return any(first <= number <= last for first, last in self.columns)


def read_workbook(file: Path, sheet: str | None) -> tuple[Rows, str, dict[str, list[list[str]]], Hidden]:
    """The rows with text of one sheet.

    Args:
        file: An .xlsx or .xlsm file.
        sheet: Its sheet; None for the first.

    Returns:
        The rows; the name of the sheet; the first rows of every other sheet by its name; and what of the
        sheet is hidden.

    Raises:
        TableError: The file is damaged or too large, or has no such sheet.
    """
    with _opened(file, values=True) as book:
        chosen = _choose(file, book, sheet)
        others = {
            each.title: [cells for _, cells in _rows(file, each, ROWS_LOOKED_AT)]
            for each in book.worksheets[:SHEETS_LOOKED_AT]
            if each is not chosen
        }
        rows, name = list(_rows(file, chosen)), str(chosen.title)
        hidden = _hidden(file, chosen)
    if _has_formulas(file):
        rows = _with_formulas(file, name, rows)
    return rows, name, others, hidden


@contextmanager
def _opened(file: Path, *, values: bool) -> Iterator[Any]:
    """The workbook; whatever the reader stumbles over in damaged bytes is a damaged file."""
    import openpyxl  # takes a quarter of a second, which other tables need not wait for

    try:
        _require_small(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and rules that nobody reads
            book = openpyxl.load_workbook(file, read_only=True, data_only=values)
            try:
                yield book
            finally:
                book.close()
    except HistonicError:
        raise
    except Exception as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TableError(
            f"Read the table {file}.",
            f"It is not a readable Excel file: {found}.",
            "Save it again as .xlsx without a password, or as CSV.",
        ) from error


def _require_small(file: Path) -> None:
    with zipfile.ZipFile(file) as parts:
        total = sum(part.file_size for part in parts.infolist() if "/media/" not in part.filename)
    if total > MOST_BYTES:
        raise _too_large(file, f"Its parts have {total / 1e6:,.0f} MB, {MOST_BYTES / 1e6:,.0f} MB are read.")


def _too_large(file: Path, found: str) -> TableError:
    return TableError(
        f"Read the table {file}.",
        found,
        "Leave out sheets, columns and rows that are not needed, or save the sheet as CSV.",
    )


def _choose(file: Path, book: Any, sheet: str | None) -> Any:
    names = [str(each.title) for each in book.worksheets]
    if not names:
        raise TableError(
            f"Read the table {file}.", "It has no sheet with cells.", "Give a workbook with a table in it."
        )
    if sheet is None:
        return book.worksheets[0]
    alike = [k for k, name in enumerate(names) if tidy(name).casefold() == tidy(sheet).casefold()]
    if sheet not in names and len(alike) != 1:
        raise TableError(
            f"Read the sheet {sheet!r} of {file}.",
            f"There is none; its sheets are {', '.join(map(repr, names))}.",
            "Name one of them with --sheet.",
        )
    return book.worksheets[names.index(sheet) if sheet in names else alike[0]]


def _rows(file: Path, sheet: Any, most: int = MOST_ROWS) -> Iterator[tuple[int, list[str]]]:
    # What the sheet says of its size may be wrong, and rows would be filled up to it.
    sheet.reset_dimensions()
    cells = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        if number > most:
            if most < MOST_ROWS:
                return
            raise _too_large(file, f"The sheet {sheet.title!r} has more than {MOST_ROWS:,} rows.")
        texts = [cell_text(cell) for cell in row]
        while texts and not texts[-1]:
            texts.pop()
        if not texts:
            continue
        cells += len(texts)
        if cells > MOST_CELLS:
            raise _too_large(file, f"The sheet {sheet.title!r} has more than {MOST_CELLS:,} cells.")
        yield number, texts


def _hidden(file: Path, sheet: Any) -> Hidden:
    """Rows and columns that nobody sees; openpyxl's reader for large sheets does not tell them.

    Rows that are hidden by default (``zeroHeight``) are those that the sheet does not write: empty ones.
    """
    rows: list[int] = []
    columns: list[tuple[int, int]] = []
    with zipfile.ZipFile(file) as parts, parts.open(sheet._worksheet_path.lstrip("/")) as part:
        before = b""
        while piece := part.read(1 << 20):
            text = before + piece
            end = text.rfind(b">") + 1
            for element in _ROW_OR_COLUMN.finditer(text, 0, end):
                said = element[0]
                if not _HIDDEN.search(said):
                    continue
                if element[1] == b"row" and (number := _ROW_NUMBER.search(said)):
                    rows.append(int(number[1]))
                elif element[1] == b"col" and (first := _FIRST.search(said)) and (last := _LAST.search(said)):
                    columns.append((int(first[1]), int(last[1])))
            before = text[end:][-(1 << 20) :]  # of damaged bytes without a mark
    return Hidden(tuple(rows), tuple(columns))


def _has_formulas(file: Path) -> bool:
    """Whether any sheet holds a formula."""
    with zipfile.ZipFile(file) as parts:
        for name in parts.namelist():
            if not name.startswith("xl/worksheets/") or not name.endswith(".xml"):
                continue
            with parts.open(name) as part:
                before = b""
                while piece := part.read(1 << 20):
                    if b"<f>" in before + piece or b"<f " in before + piece:
                        return True
                    before = piece[-2:]
    return False


def _with_formulas(file: Path, name: str, rows: Rows) -> Rows:
    """Formulas in the place of values that were never worked out, so that they are not taken for empty."""
    values = dict(rows)
    with _opened(file, values=False) as book:
        for number, cells in _rows(file, book[name]):
            known = values.get(number, [])
            known += [""] * (len(cells) - len(known))
            for place, cell in enumerate(cells):
                if not known[place] and cell.startswith("="):
                    known[place] = cell
            if any(known):
                values[number] = known
    return sorted(values.items())


def cell_text(cell: Any) -> str:
    """A typed cell as a person would write it.

    Example:
        >>> cell_text(12.0), cell_text(None), cell_text(float("nan")), cell_text(True)
        ('12', '', '', 'True')
    """
    if cell is None:
        return ""
    if isinstance(cell, float):
        return "" if cell != cell else str(int(cell)) if cell.is_integer() else str(cell)
    if isinstance(cell, datetime.datetime | datetime.date):
        return "" if str(cell) == "NaT" else cell.isoformat()
    return tidy(str(cell))


def first_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """All texts of some rows, in which a column's name may be."""
    return [cell for row in rows for cell in row if cell]
