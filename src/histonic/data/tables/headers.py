"""Where a table begins: the row of column names below titles and comments."""

from __future__ import annotations

from collections import Counter

from histonic.data.tables.formats.csv import Rows
from histonic.data.tables.styles import KNOWN_NAMES
from histonic.data.tables.values import is_date, is_missing, to_number

_ALSO_VALUES = frozenset({"patient", "case", "slide", "filename"})
"""Names of columns that stand in cells, too."""
LOOKED_AT = 30
"""Rows among which the header is sought."""


def find_header(rows: Rows) -> tuple[list[str], Rows, list[str]]:
    """The column names, the rows below them, and notes on what was passed over.

    A row of groups above the names, merged cells of which only the first has a word, is passed over where
    some column holds numbers or dates below its name.

    Comments are rows that begin with # above the header, as cBioPortal has them, and rows of one such cell
    below it. A title is one cell, at the left, above a row of at least two names; a longer heading is passed
    over only where a row with a known name (patient_id, slide_id ...) follows.

    Example:
        >>> find_header([(1, ["Cohort of Utrecht"]), (3, ["patient_id", "grade"]), (4, ["P1", "2"])])[0]
        ['patient_id', 'grade']
    """
    comments = next((k for k, (_, cells) in enumerate(rows) if not cells[0].startswith("#")), len(rows))
    first = comments
    if comments and (comments == len(rows) or not _is_known(rows[comments][1])):
        last = [rows[comments - 1][1][0].lstrip("# "), *rows[comments - 1][1][1:]]
        if _is_known(last) or comments == len(rows):
            # The header itself begins with #, as that of some tab-separated files.
            first = comments - 1
            rows = [*rows[:first], (rows[first][0], last), *rows[comments:]]
    start = _below_titles(rows, first)
    number, header = rows[start]
    notes = []
    if start > first:
        notes.append(f"Row {number} is taken for the header; what stands above it is passed over.")
    body = [row for row in rows[start + 1 :] if not _is_comment(row[1], header)]
    passed = len(rows) - start - 1 - len(body)
    if passed:
        notes.append(f"{passed} row(s) that begin with # are passed over as comments.")
    width = max((k + 1 for k, name in enumerate(header) if name), default=0)
    short = [number for number, cells in body if len(cells) < width] if _is_ragged(rows, start, width) else []
    if short:
        shown = ", ".join(map(str, short[:3]))
        notes.append(
            f"{len(short)} row(s) have fewer cells than the header has names, such as row {shown}: "
            "what they lack is missing."
        )
    return header, body, notes


def _is_ragged(rows: Rows, start: int, width: int) -> bool:
    """Whether rows are written out to the end as a rule, so that a shorter one is a slip."""
    full = sum(len(cells) >= width for _, cells in rows[start + 1 :])
    return full > 0.5 * (len(rows) - start - 1)


def _is_comment(cells: list[str], header: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return filled[0].startswith("#") and len(filled) == 1 < sum(map(bool, header)) and bool(cells[0])


def _is_known(cells: list[str]) -> bool:
    return any(cell.lower() in KNOWN_NAMES for cell in cells)


def _below_titles(rows: Rows, first: int) -> int:
    """The place of the header among the rows."""
    top = rows[first : first + LOOKED_AT]
    if not top or _is_known(top[0][1]):
        return first
    filled = [sum(map(bool, cells)) for _, cells in rows[first : first + 10 * LOOKED_AT]]
    usual = Counter(filled[1:]).most_common(1)[0][0] if filled[1:] else 0
    if usual < 2:
        return first
    if filled[0] < usual:
        known = next((k for k, (_, cells) in enumerate(top) if k and _is_header(cells, usual)), None)
        if known is not None:
            return first + known
    groups = _below_groups(top, usual)
    if groups:
        return first + groups
    start = 0
    while start + 1 < len(top) and filled[start] == 1 and _is_title(top[start][1]):
        start += 1
    return first + start if start and _are_names(top[start][1]) else first


def _below_groups(top: Rows, usual: int) -> int:
    """The place of the names below a row of groups; 0 where the first row cannot be known to be one.

    Groups leave gaps; the names below them are words, all different, as many as a row has cells; none comes
    again below itself, and some stand over numbers or dates, so that they are no row of values themselves.
    """
    for place, (_, cells) in enumerate(top[1:], start=1):
        names = [cell for cell in cells if cell]
        if len(names) < usual:
            continue  # a title, blank cells, further groups
        if not _are_names(cells) or any(map(is_missing, names)) or any(map(_is_value, names)):
            return 0
        above = top[place - 1][1]
        gaps = [k for k, name in enumerate(cells) if name and not "".join(above[k : k + 1])]
        below = [row for _, row in top[place + 1 :]]
        if any(name and name in row[k : k + 1] for row in below for k, name in enumerate(cells)):
            return 0  # a value again
        told = [k for k in gaps if _mostly_values([row[k] for row in below if k < len(row) and row[k]])]
        return place if told and any(above) else 0
    return 0


def _mostly_values(cells: list[str]) -> bool:
    return len(cells) >= 2 and sum(map(_is_value, cells)) > 0.5 * len(cells)


def _is_value(cell: str) -> bool:
    """Whether a cell is a number or a date, in the writing of any country."""
    return to_number(cell.replace(",", ".").removesuffix("%")) is not None or is_date(cell)


def _is_title(cells: list[str]) -> bool:
    """Whether a row of one text is more likely a title than the name of a column beside nameless ones."""
    return bool(cells[0]) and (len(cells) == 1 or " " in cells[0])


def _are_names(cells: list[str]) -> bool:
    names = [cell for cell in cells if cell]
    return len(names) >= 2 and len(set(names)) == len(names) and _are_words(names)


def _is_header(cells: list[str], usual: int) -> bool:
    """Whether a row below the first is surely one of names: a known one among different words."""
    names = [cell for cell in cells if cell]
    sure = any(name.lower() in KNOWN_NAMES - _ALSO_VALUES for name in names)
    return sure and len(names) >= usual and len(set(names)) == len(names) and _are_words(names)


def _are_words(cells: list[str]) -> bool:
    return not any(to_number(cell) is not None for cell in cells)
