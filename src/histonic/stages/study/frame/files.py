"""The organisers' files: found by their names wherever they were unpacked, and read as they are."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from histonic.core.errors import SettingsError, TableError
from histonic.core.files import PARTIAL_PREFIX, hash_of
from histonic.data.tables.files import TextTable, read_table
from histonic.stages.study.frame.cases import Finding, named

Numbered = dict[int, Path]
"""Files by the number in their names."""
READ_WHOLE = 2**30
"""Bytes of the largest file that is read whole to compare it: slides are terabytes together."""
SAMPLE = 4 * 2**20
"""Bytes at the start, middle and end by which larger files are compared."""


def all_files(folder: Path) -> list[Path]:
    """Every file below a folder in the order of paths, but for hidden ones.

    Raises:
        SettingsError: There is no such folder, or nothing in it.
    """
    asked = f"Look for the files of a challenge in {folder}."
    if not folder.is_dir():
        raise SettingsError(asked, "There is no such folder.", "Give the folder that holds the downloads.")
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        found += [Path(place) / name for name in names if not _is_hidden(name)]
    if not found:
        raise SettingsError(asked, "It holds no file.", "Give the folder that holds the downloads.")
    return sorted(found)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "~$", "__MACOSX", PARTIAL_PREFIX)) or name in ("Thumbs.db", "desktop.ini")


def by_name(
    files: Sequence[Path], pattern: str, what: str
) -> tuple[dict[tuple[str, ...], Path], list[Finding]]:
    """Files whose whole name fits a regular expression, by its groups in lower case.

    Args:
        files: To look through.
        pattern: Upper and lower case are the same to it; a case has one file.
        what: They are, for the findings.

    Returns:
        The files, and an error for each that is there twice (a warning where the two are the same).
    """
    compiled = re.compile(pattern, re.IGNORECASE)
    found: dict[tuple[str, ...], Path] = {}
    findings = []
    for file in files:
        fitting = compiled.fullmatch(file.name)
        if fitting is None:
            continue
        key = tuple((each or "").lower() for each in fitting.groups())
        if key not in found:
            found[key] = file
            continue
        findings.append(_doubled(what, found[key], file))
    return found, findings


def _doubled(what: str, first: Path, second: Path) -> Finding:
    try:
        same = _sameness(first, second)
    except OSError:  # one is a link to nowhere
        same = ""
    line = f"doubled: {what}: {first} and {second}{same and ', '}{same}."
    if same:
        return Finding("warning", line, "The first is used.")
    return Finding("error", line, "Keep one of them.")


def _sameness(first: Path, second: Path) -> str:
    """In what two files are the same; empty if they are not."""
    if first.samefile(second):
        return "the same file"
    size = first.stat().st_size
    if size != second.stat().st_size:
        return ""
    if size <= READ_WHOLE:
        return "the same bytes" if hash_of(first) == hash_of(second) else ""
    with first.open("rb") as one, second.open("rb") as other:
        for start in (0, (size - SAMPLE) // 2, size - SAMPLE):
            one.seek(start)
            other.seek(start)
            if one.read(SAMPLE) != other.read(SAMPLE):
                return ""
    return "the same size and samples"


def the_file(files: Sequence[Path], pattern: str) -> tuple[Path | None, list[Finding]]:
    """The one file whose name fits; None if there is none."""
    found, findings = by_name(files, pattern, "file")
    return next(iter(found.values()), None), findings


def gaps(numbers: Sequence[int]) -> list[int]:
    """Numbers from 1 to the largest that are not there.

    Example:
        >>> gaps([1, 2, 5])
        [3, 4]
    """
    return sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))


def extra_files(files: Sequence[Path], known: Sequence[Path], endings: tuple[str, ...]) -> list[Finding]:
    """A note on files of some endings that the recipe does not use."""
    used = {str(path) for path in known}
    odd = [file.name for file in files if file.name.lower().endswith(endings) and str(file) not in used]
    return [Finding("note", f"extra, not used: {named(odd)}.")] if odd else []


def headless_rows(path: Path, columns: Sequence[str], *, more: bool = False) -> list[tuple[int, list[str]]]:
    """Rows of a CSV without header, each with its row in the file.

    A first row that repeats the names of the columns is passed over; the reader is told by the caller's rules
    if it was a row of data.

    Args:
        path: The file.
        columns: What its columns are, in order.
        more: Whether further columns are allowed, and passed over.

    Raises:
        TableError: It cannot be read, is empty, or a row has another number of cells; the row is named.
    """
    asked = f"Read {path} ({', '.join(columns)}; no header)."
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(asked, f"It cannot be read: {error}.", "Download it again.") from error
    rows = []
    for number, cells in enumerate(csv.reader(text.splitlines()), start=1):
        row = [cell.strip() for cell in cells]
        if not any(row):
            continue
        if len(row) < len(columns) or (len(row) > len(columns) and not more):
            raise TableError(
                asked,
                f"Row {number} has {len(row)} cells, not {len(columns)}: {','.join(row)[:80]!r}.",
                "Restore the organisers' file.",
            )
        rows.append((number, row[: len(columns)]))
    if not rows:
        raise TableError(asked, "It is empty.", "Download it again.")
    if [cell.lower() for cell in rows[0][1]] == [name.lower() for name in columns]:
        rows = rows[1:]
    return rows


def number_rows(
    path: Path, heads: Collection[Sequence[str]], cells: Collection[int], *, asked: str, todo: str
) -> list[list[float]]:
    """Rows of finite numbers of a CSV with or without a header, empty rows left out.

    Args:
        path: The file.
        heads: Headers that it may have, in lower case.
        cells: How many numbers a row may have.
        asked: What was asked for, for messages.
        todo: What a row should be, for messages.

    Raises:
        TableError: It cannot be read, or a row is no such numbers; the row is named.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(asked, f"It cannot be read: {error}.", "Save it as UTF-8.") from error
    found = []
    for number, row in enumerate(rows, start=1):
        told = [cell.strip() for cell in row]
        is_head = number == 1 and any(list(head) == [cell.lower() for cell in told] for head in heads)
        if is_head or not any(told):
            continue
        try:
            values = [float(cell) for cell in told]
            if len(values) not in cells or not all(map(math.isfinite, values)):
                raise ValueError("too few, too many, or not finite")
        except ValueError as error:
            raise TableError(asked, f"Row {number} is {','.join(told)[:60]!r}.", todo) from error
        found.append(values)
    return found


def table_with(
    path: Path, columns: Sequence[str], known_as: Mapping[str, str] | None = None
) -> tuple[TextTable, dict[str, str]]:
    """A table with header, and which of its columns hold what is wanted.

    Args:
        path: The file.
        columns: Wanted; upper and lower case are the same.
        known_as: Other names of them, as known=found.

    Raises:
        TableError: It cannot be read, or a column is absent; both are named.
    """
    table = read_table(path)
    lower = {name.lower(): name for name in reversed(table.columns)}
    found = {}
    for column in columns:
        wanted = (known_as or {}).get(column, column)
        if wanted.lower() not in lower:
            raise TableError(
                f"Read the column {wanted!r} of {path}.",
                f"There is none; its columns are {', '.join(table.columns)}.",
                "Restore the organisers' table"
                + (", or say what it is called: --columns KNOWN=FOUND." if known_as is not None else "."),
            )
        found[column] = lower[wanted.lower()]
    return table, found
