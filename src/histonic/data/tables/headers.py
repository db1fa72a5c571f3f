"""Where a table begins: the row of column names below titles, comments and groups of columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from histonic.data.tables.formats.csv import Rows
from histonic.data.tables.issues import list_names
from histonic.data.tables.styles import KNOWN_NAMES
from histonic.data.tables.values import DOUBTFUL_WORDS, is_date, is_missing, to_number

_ALSO_VALUES = frozenset({"patient", "case", "slide", "filename"})
"""Names of columns that stand in cells and above groups of columns, too."""
_SURE_NAMES = KNOWN_NAMES - _ALSO_VALUES
_NO_NAMES = DOUBTFUL_WORDS - {"x"}
"""Words of values; x is a name beside y."""
LOOKED_AT = 30
"""Rows among which the header is sought."""


@dataclass(frozen=True)
class Header:
    """The column names of a table, and what stands below them.

    Attributes:
        names: By column, empty text where one has none.
        row: In the file; the lower one where two rows name the columns together.
        body: The rows below.
        notes: What was passed over, a sentence each.
    """

    names: list[str]
    row: int
    body: Rows
    notes: list[str]


def find_header(rows: Rows) -> Header:
    """The column names, the rows below them, and notes on what was passed over.

    Comments are rows that begin with # above the header, as cBioPortal has them, and rows of one such cell
    below it. A title is one cell, at the left, above a row of at least two names; a longer heading is passed
    over only where a row with a known name (patient_id, slide_id ...) follows.

    A row of groups above the names, merged cells of which only the first has a word, is passed over where
    at least two of the names below its gaps are different words, some of them over numbers or dates. Names
    that reach down through both rows are joined with those of the lower one.

    Example:
        >>> find_header([(1, ["Cohort"]), (3, ["patient_id", "grade"]), (4, ["P1", "2"])]).names
        ['patient_id', 'grade']
        >>> rows = [(1, ["Nr", "Clinic", "", ""]), (2, ["", "Class", "Age", "Ki67"])]
        >>> find_header([*rows, (3, ["1", "low", "63", "5"]), (4, ["2", "high", "71", "8"])]).names
        ['Nr', 'Class', 'Age', 'Ki67']
    """
    comments = next((k for k, (_, cells) in enumerate(rows) if not cells[0].startswith("#")), len(rows))
    first = comments
    if comments and (comments == len(rows) or not _is_known(rows[comments][1])):
        last = [rows[comments - 1][1][0].lstrip("# "), *rows[comments - 1][1][1:]]
        if _is_known(last) or comments == len(rows):
            # The header itself begins with #, as that of some tab-separated files.
            first = comments - 1
            rows = [*rows[:first], (rows[first][0], last), *rows[comments:]]
    start, header = _below_titles(rows, first)
    number = rows[start][0]
    notes = []
    if header != rows[start][1]:
        upper = rows[start - 1][0]
        passed_over = "; what stands above them is passed over" if start > first + 1 else ""
        notes.append(f"Rows {upper} and {number} together are taken for the header{passed_over}.")
    elif start > first:
        notes.append(f"Row {number} is taken for the header; what stands above it is passed over.")
    body = [row for row in rows[start + 1 :] if not _is_comment(row[1], header)]
    passed = len(rows) - start - 1 - len(body)
    if passed:
        notes.append(f"{passed} row(s) that begin with # are passed over as comments.")
    notes += _nameless(header, body)
    width = max((k + 1 for k, name in enumerate(header) if name), default=0)
    short = [number for number, cells in body if len(cells) < width] if _is_ragged(rows, start, width) else []
    if short:
        shown = ", ".join(map(str, short[:3]))
        notes.append(
            f"{len(short)} row(s) have fewer cells than the header has names, such as row {shown}: "
            "what they lack is missing."
        )
    return Header(header, number, body, notes)


def _nameless(header: list[str], body: Rows) -> list[str]:
    """A note on columns with cells and without a name; those before all names only count the rows."""
    names = next((k for k, name in enumerate(header) if name), len(header))
    found = [
        str(k + 1)
        for k in range(names, len(header))
        if not header[k] and any(_cell(cells, k) for _, cells in body)
    ]
    if not found:
        return []
    if len(found) == 1:
        return [f"Column {found[0]} has no name and is not read."]
    many = f"{', '.join(found[:-1])} and {found[-1]}" if len(found) <= 5 else list_names(found)
    return [f"Columns {many} have no name and are not read."]


def _cell(cells: Sequence[str], place: int) -> str:
    return cells[place] if place < len(cells) else ""


def _is_ragged(rows: Rows, start: int, width: int) -> bool:
    """Whether rows are written out to the end as a rule, so that a shorter one is a slip."""
    full = sum(len(cells) >= width for _, cells in rows[start + 1 :])
    return full > 0.5 * (len(rows) - start - 1)


def _is_comment(cells: list[str], header: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return filled[0].startswith("#") and len(filled) == 1 < sum(map(bool, header)) and bool(cells[0])


def _is_known(cells: list[str]) -> bool:
    return any(cell.lower() in KNOWN_NAMES for cell in cells)


def _has_sure_name(cells: list[str]) -> bool:
    return any(cell.lower() in _SURE_NAMES for cell in cells)


def _below_titles(rows: Rows, first: int) -> tuple[int, list[str]]:
    """The place of the header among the rows, and its names."""
    top = rows[first : first + LOOKED_AT]
    if not top:
        return first, []
    upper = top[0][1]
    filled = [sum(map(bool, cells)) for _, cells in rows[first : first + 10 * LOOKED_AT]]
    usual = Counter(filled[1:]).most_common(1)[0][0] if filled[1:] else 0
    if usual < 2:
        return first, upper
    groups = _below_groups(top, usual)
    if _is_known(upper) and (_has_sure_name(upper) or not any(_inner_gaps(upper))):
        # Nothing stands above these names; the next row may only go on with them.
        joined = groups is not None and groups[0] == 1 and groups[1] != top[1][1]
        return (first + 1, groups[1]) if groups and joined else (first, upper)
    if filled[0] < usual:
        known = next((k for k, (_, cells) in enumerate(top) if k and _is_header(cells, usual)), None)
        if known is not None:
            return first + known, top[known][1]
    if groups:
        return first + groups[0], groups[1]
    start = 0
    while start + 1 < len(top) and filled[start] == 1 and _is_title(top[start][1]):
        start += 1
    if _is_known(upper) or not start or not _are_names(top[start][1]):
        return first, upper
    return first + start, top[start][1]


def _below_groups(top: Rows, usual: int) -> tuple[int, list[str]] | None:
    """The place and the names of the header below a row of groups; None where there is none for certain.

    No row above it has as many cells. Where both rows name columns, a further row may still turn out to hold
    all names.
    """
    joined: tuple[int, list[str]] | None = None
    most = 0
    for place in range(1, len(top)):
        upper, lower = top[place - 1][1], top[place][1]
        most = max(most, sum(map(bool, upper)))
        below = [cells for _, cells in top[place + 1 :]]
        both = _join_names(upper, lower)
        enough = sum(map(bool, both)) >= max(usual, most + 1)
        if both != lower and enough and joined is None and _name_groups(both, upper, below):
            joined = place, both
            continue
        filled = sum(map(bool, lower))
        if filled >= usual:
            return (place, lower) if filled > most and _name_groups(lower, upper, below) else joined
        # else a title, blank cells, further groups
    return joined


def _join_names(upper: list[str], lower: list[str]) -> list[str]:
    """The names of two rows: the upper one of a column that reaches down through both, else the lower one.

    Only where every upper word either reaches down or begins a group of two columns or more; else the lower
    row as it is.
    """
    joined = []
    for k in range(max(len(upper), len(lower))):
        above, name = _cell(upper, k), _cell(lower, k)
        is_last = k + 1 >= max(len(upper), len(lower))
        begins_group = bool(above) and not is_last and not _cell(upper, k + 1)
        if above and name and not begins_group:
            return lower
        joined.append(name or ("" if begins_group else above))
    return joined


def _name_groups(names: list[str], groups: list[str], below: Sequence[list[str]]) -> bool:
    """Whether names stand below a row of groups and over cells of another kind.

    Groups leave gaps. The names are words, all different; none comes again below itself or looks like what
    stands there (F1 over F2), and some below a gap stand over numbers or dates: they are no row of values.
    """
    words = {k: name for k, name in enumerate(names) if name}
    if not any(groups) or not _are_names(names) or any(map(_is_no_name, words.values())):
        return False
    columns = {k: [cells[k] for cells in below if _cell(cells, k)] for k in words}
    if any(name in columns[k] or _looks_like(name, columns[k]) for k, name in words.items()):
        return False
    gaps = [k for k in words if not _cell(groups, k)]
    if not any(_mostly_values(columns[k]) for k in gaps):
        return False
    # One column without a name is more likely that than a group of two, unless more speaks for it.
    told = [k for k, name in words.items() if _is_told_apart(name, columns[k])]
    return len(gaps) >= 2 or (gaps[0] in _inner_gaps(groups) and len(told) >= 2)


def _inner_gaps(cells: list[str]) -> list[int]:
    """Places of empty cells between filled ones."""
    filled = [k for k, cell in enumerate(cells) if cell]
    return [k for k in range(filled[0], filled[-1]) if not cells[k]] if filled else []


def _is_no_name(word: str) -> bool:
    return is_missing(word) or word.lower() in _NO_NAMES or _is_value(word)


def _looks_like(name: str, cells: list[str]) -> bool:
    """Whether letters and digits change in a name as they do in most cells: it is one of them."""
    if not any(letter.isdigit() for letter in name):
        return False
    return sum(_shape(cell) == _shape(name) for cell in cells) > 0.5 * len(cells)


def _shape(text: str) -> str:
    return re.sub(r"\d+", "0", re.sub(r"[^\W\d_]", "a", text))


def _is_told_apart(name: str, cells: list[str]) -> bool:
    """Whether a word stands over cells with digits."""
    numbered = sum(any(letter.isdigit() for letter in cell) for cell in cells)
    return not any(letter.isdigit() for letter in name) and len(cells) >= 2 and numbered > 0.5 * len(cells)


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
    numbers = any(to_number(name) is not None for name in names)
    return len(names) >= 2 and len(set(names)) == len(names) and not numbers


def _is_header(cells: list[str], usual: int) -> bool:
    """Whether a row below the first is surely one of names: a known one among different words."""
    return _has_sure_name(cells) and sum(map(bool, cells)) >= usual and _are_names(cells)
