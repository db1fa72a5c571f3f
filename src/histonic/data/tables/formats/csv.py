"""Text tables: their encoding, their separator, and cells in quotes."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from histonic.core.errors import TableError
from histonic.core.files import restore_cell
from histonic.data.text import tidy

Rows = list[tuple[int, list[str]]]
"""Cells of each row that has any, with the row in the file."""
DELIMITERS = (",", ";", "\t", "|")
SAMPLE = 30
"""Rows that are looked at to find the separator."""
MOST_LETTERS = 1 << 20
"""Of one cell; beyond it a double quote was never closed."""
_SEPARATOR_LINE = re.compile(r'"?sep=(.|\\t)"?[ \t,;|]*', re.IGNORECASE)
_EXCEL_TEXT = re.compile(r'="((?:[^"]|"")*)"')
_OTHER_FILES = {b"PK\x03\x04": "an Excel file (.xlsx)", b"\xd0\xcf\x11\xe0": "an old Excel file (.xls)"}


def read_csv_rows(file: Path) -> tuple[Rows, str]:
    """The rows of a text table that have a cell with text, and the separator.

    A first line such as ``sep=;`` names the separator; else it is the most frequent in the header.

    Raises:
        TableError: The bytes are no text, or a double quote is never closed.
    """
    text = _decode(file)
    delimiter, text = _delimiter(text)
    rows: Rows = []
    for number, cells in _parse(file, text, delimiter):
        tidied = [restore_cell(_unwrap(tidy(cell))) for cell in cells]
        if any(tidied):
            rows.append((number, tidied))
    return rows, delimiter


def _decode(file: Path) -> str:
    data = file.read_bytes()
    for magic, what in _OTHER_FILES.items():
        if data.startswith(magic):
            raise TableError(
                f"Read the table {file}.",
                f"Its bytes are not text: it is {what} under another name.",
                "Save it as CSV (UTF-8), or as .xlsx under that ending.",
            )
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.removeprefix("\ufeff")
    zero = data.find(b"\0")
    found = "Its bytes are not text in a known encoding" + (
        "." if zero < 0 else f": line {data.count(bytes([10]), 0, zero) + 1} holds a zero byte."
    )
    raise TableError(f"Read the table {file}.", found, "Save it as CSV (UTF-8).")


def _encodings(data: bytes) -> tuple[str, ...]:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return ("utf-32",)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    head = data[:4096]
    if len(head) >= 4:
        even, odd = head[::2].count(0), head[1::2].count(0)
        # Of Latin letters in UTF-16 every second byte is zero.
        if max(even, odd) > 0.4 * len(head[1::2]) and min(even, odd) < 0.05 * len(head):
            return ("utf-16-le" if odd > even else "utf-16-be",)
    return ("utf-8-sig", "cp1252")


def _delimiter(text: str) -> tuple[str, str]:
    """The separator, and the text with a line that names it left empty."""
    first, end, rest = text.partition("\n")
    named = _SEPARATOR_LINE.fullmatch(first.strip("\r "))
    if named:
        return named[1].replace("\\t", "\t"), end + rest
    lines = [line for line in io.StringIO(text, newline=None).readlines(1 << 16) if line.strip()]
    lines = [line for line in lines if not line.startswith("#")] or lines
    sample = lines[:SAMPLE]
    header = sample[0] if sample else ""
    counted = {mark: [_count(line, mark) for line in sample] for mark in DELIMITERS}
    chosen = max(DELIMITERS, key=header.count)
    best = max(DELIMITERS, key=lambda mark: _agreement(counted[mark]))
    # A title above the header, or a header of one word, may hold another one.
    if _agreement(counted[chosen]) < 0.5 and _agreement(counted[best]) >= 0.8:
        return best, text
    return chosen, text


def _count(line: str, mark: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(mark)


def _agreement(counts: list[int]) -> float:
    """The share of lines that hold the most frequent number of separators, if that is not none."""
    frequent = Counter(count for count in counts if count).most_common(1)
    return frequent[0][1] / len(counts) if frequent else 0.0


def _parse(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows by number; a quote that is never closed, or only by another cell's, is refused."""
    last = "\x1eend"
    # A row of our own at the end: whatever swallows it has not been closed.
    lines = io.StringIO(f"{text}\n{last}\n", newline="")
    limit = csv.field_size_limit(MOST_LETTERS)
    number, closed = 0, False
    try:
        for number, cells in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
            if cells == [last]:
                closed = True
            elif cells:
                yield number, cells
    except csv.Error as error:
        raise TableError(
            f"Read the table {file}.",
            f"A cell of row {number + 1} has more than {MOST_LETTERS:,} letters, or a double quote in it is "
            f"never closed ({error}).",
            "Close or remove the quote; double it inside a cell. Leave long texts out of the table.",
        ) from error
    finally:
        csv.field_size_limit(limit)
    if not closed:
        raise TableError(
            f"Read the table {file}.",
            f"A double quote in row {number} is never closed, so that all that follows would be one cell.",
            "Close or remove the quote; write it twice inside a cell in quotes.",
        )


def _unwrap(cell: str) -> str:
    """0012 of a cell ="0012", by which spreadsheets are told to keep the zeros."""
    found = _EXCEL_TEXT.fullmatch(cell)
    return tidy(found[1].replace('""', '"')) if found else cell
