"""Numbers as people write them: decimal commas, thousands and percents, judged by the whole column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from histonic.data.tables.files import TextTable
from histonic.data.tables.issues import list_examples
from histonic.data.tables.values import is_missing, to_number

_NUMBER = re.compile(r"[+-]?[0-9.,' ’]*[0-9][0-9.,' ’]*(?:[eE][+-]?[0-9]+)?")
_GROUPED = re.compile(r"[0-9]{1,3}(?:([.,' ])[0-9]{3})(?:\1[0-9]{3})*")
MARKS = (".", ",")


@dataclass(frozen=True)
class ColumnNumbers:
    """The cells of a column as numbers.

    Attributes:
        values: Finite number by row, of the cells that are one.
        odd: The other cells.
        doubt: Why the numbers cannot be told, empty if they can; then ``values`` is empty.
        todo: What to do about the doubt.
        note: How numbers were read that could have been read otherwise.
    """

    values: Mapping[int, float] = field(default_factory=dict)
    odd: Mapping[int, str] = field(default_factory=dict)
    doubt: str = ""
    todo: str = ""
    note: str = ""


def column_numbers(table: TextTable, cells: Mapping[int, str]) -> ColumnNumbers:
    """Read a column of numbers.

    A point or comma is what the column shows it to be: the last of two different marks, or one that is not
    followed by three digits, separates decimals; one that occurs twice, thousands. Where 2.630 could be both,
    the other columns of the table decide, then ``table.decimal``; then the mark that is usual in such a file,
    if every cell has exactly three decimals; else there is a doubt. Percents keep their number, and do not
    stand beside others.

    Args:
        table: Says what separates its cells, and shows how its other columns write numbers.
        cells: Text by row, none of them missing.

    Example:
        >>> import pandas as pd
        >>> from pathlib import Path
        >>> table = TextTable(Path("a.csv"), pd.DataFrame(), ";")
        >>> dict(column_numbers(table, {2: "1.250,5", 3: "2.630", 4: "12"}).values)
        {2: 1250.5, 3: 2630.0, 4: 12.0}
        >>> column_numbers(table, {2: "100", 3: "2.630"}).doubt
        "It may be decimals or thousands: 1 cell: '2.630' (row 3)."
    """
    plain, percents, odd = {}, {}, {}
    for row, text in cells.items():
        number = text.replace("−", "-").removesuffix("%").rstrip()
        if not _NUMBER.fullmatch(number) and to_number(number) is None:
            odd[row] = text
            continue
        plain[row] = number
        if text.endswith("%"):
            percents[row] = text
    without = {row: cells[row] for row in plain if row not in percents and to_number(plain[row]) != 0}
    if percents and without:
        return ColumnNumbers(
            doubt=f"Some are percents, some not: {list_examples(percents)}; {list_examples(without)}.",
            todo="Write all of them with or all without the sign.",
        )
    return _read(table, plain, odd)


def _read(table: TextTable, plain: Mapping[int, str], odd: dict[int, str]) -> ColumnNumbers:
    roles = {mark: {_role(text, mark) for text in plain.values()} - {""} for mark in MARKS}
    decimal = _decimal_mark(table, plain, roles)
    unclear = {row: text for row, text in plain.items() if _role(text, *MARKS) == "either"}
    if decimal is None:
        return ColumnNumbers(
            odd=odd,
            doubt=f"It may be decimals or thousands: {list_examples(unclear)}.",
            todo="Say which: --decimal point (1,234.5) or --decimal comma (1.234,5); or leave out separators "
            "of thousands.",
        )
    values: dict[int, float] = {}
    for row, text in plain.items():
        value = _value(text, decimal)
        if value is None:
            odd[row] = text
        else:
            values[row] = value
    note = ""
    if unclear and table.decimal == "auto" and not _shows(roles):
        row = next(iter(unclear))
        if row in values:
            note = f"{unclear[row]!r} (row {row}) is read as {values[row]:.15g}; {len(unclear) - 1} like it."
    return ColumnNumbers(values, dict(sorted(odd.items())), note=note)


def _role(text: str, *marks: str) -> str:
    """What the marks separate in this cell: ``decimal``, ``thousands``, ``either``, or nothing (empty)."""
    found = ""
    for mark in marks:
        count = text.count(mark)
        if not count:
            continue
        other = "," if mark == "." else "."
        body = text.lstrip("+-")
        if other in body and body.rindex(mark) > body.rindex(other):
            return "decimal" if count == 1 and _GROUPED.fullmatch(body.partition(mark)[0]) else ""
        if other in body or count > 1:
            return "thousands" if _GROUPED.fullmatch(body.partition(other)[0]) else ""
        whole, _, rest = body.partition(mark)
        if re.fullmatch(r"[1-9][0-9]{0,2}", whole) and re.fullmatch(r"[0-9]{3}", rest):
            found = "either"
        else:
            return "decimal"
    return found


def _decimal_mark(table: TextTable, plain: Mapping[int, str], roles: Mapping[str, set[str]]) -> str | None:
    """The mark of decimals; ``.,`` if both are, each in its own cells; None in doubt."""
    used = [mark for mark in MARKS if roles[mark]]
    if not used:
        return "."
    if table.decimal != "auto":
        return "." if table.decimal == "point" else ","
    shown = {mark: roles[mark] - {"either"} for mark in MARKS}
    if "decimal" in shown["."] and "decimal" in shown[","]:
        return ".," if not any("either" in each or "thousands" in each for each in roles.values()) else None
    for mark, other in (MARKS, MARKS[::-1]):
        if "decimal" in shown[mark] or ("thousands" in shown[other] and "thousands" not in shown[mark]):
            return mark
    marks = _table_marks(table)
    if len(marks) == 1:
        return marks.pop()
    if len(used) > 1:
        return None
    usual = "," if table.delimiter == ";" else "."
    return usual if used == [usual] and _is_fixed(table, plain, usual) else None


def _shows(roles: Mapping[str, set[str]]) -> bool:
    """Whether the column itself tells decimals from thousands."""
    return any(each - {"either"} for each in roles.values())


def _is_fixed(table: TextTable, plain: Mapping[int, str], mark: str) -> bool:
    """Whether the cells look like numbers printed with three decimals, and not like thousands."""
    if not table.delimiter:
        # Excel and Parquet hold numbers: 2.63 is never 2.630 there, but for cells of text.
        return mark == "." and not any(text.endswith("0") and mark in text for text in plain.values())
    return all(mark in text for text in plain.values())


def _table_marks(table: TextTable) -> set[str]:
    """The marks that surely separate decimals somewhere in the table."""
    marks = set()
    for column in table.frame.columns:
        texts = [text for text in table.frame[column] if not is_missing(text)]
        numbers = [text for text in texts if _NUMBER.fullmatch(text)]
        if not texts or len(numbers) < 0.8 * len(texts):
            continue
        for mark in MARKS:
            if any(_role(text, mark) == "decimal" and _value(text, mark) is not None for text in numbers):
                marks.add(mark)
    return marks


def _value(text: str, decimal: str) -> float | None:
    """The number, if the other mark, blanks and apostrophes stand only between groups of three."""
    if decimal == ".,":
        return to_number(text.replace(",", "."))
    whole, mark, rest = text.replace("’", "'").partition(decimal)
    digits = whole.lstrip("+-")
    if _GROUPED.fullmatch(digits):
        digits = re.sub(r"[^0-9]", "", digits)
    sign = "-" if whole.startswith("-") else ""
    if mark:
        proper = re.fullmatch(r"\d*", digits) and re.fullmatch(r"\d*(?:[eE][+-]?\d+)?", rest)
    else:
        proper = re.fullmatch(r"\d+(?:[eE][+-]?\d+)?", digits)
    return to_number(f"{sign}{digits}{'.' if mark else ''}{rest}") if proper else None


def are_numbers(table: TextTable, texts: Iterable[str]) -> bool:
    """Whether every text could be a number, in doubt or not."""
    found = column_numbers(table, dict(enumerate(texts)))
    return not found.odd
