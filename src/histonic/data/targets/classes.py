"""Words of a class column: spellings that are joined, that may be one class, and that may mean no value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from histonic.core.errors import TableError
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import (
    DOUBTFUL_WORDS,
    FALSE_WORDS,
    TRUE_WORDS,
    class_name,
    is_date,
    is_missing,
    to_number,
)
from histonic.data.text import loose_key

SHORTEST_TYPO = 5
"""Letters of a class from which on one wrong letter is a slip rather than another class."""
ODD_NUMBERS = frozenset(
    {9.0, 99.0, 999.0, 9999.0, 99999.0, -1.0, -9.0, -99.0, -999.0, -9999.0, 88.0, 888.0, 8888.0}
)
"""Numbers by which tables say that there is none, where they stand far from the others."""
_UNEQUAL_HEADS = ("a", "an", "un", "non", "in", "im", "ir", "de", "dis", "re", "pre")
_SAME: tuple[Collection[str], ...] = (
    TRUE_WORDS,
    FALSE_WORDS,
    ("positive", "positiv", "positif", "positivo", "pos", "+"),
    ("negative", "negativ", "négatif", "negativo", "neg", "-"),
    ("mutated", "mutant", "mut", "mt", "mutiert", "muté"),
    ("wild type", "wildtyp", "wt"),
    ("male", "m", "männlich", "man"),
    ("female", "f", "w", "weiblich", "woman"),
)
"""Words of which a column mostly takes one alone."""


def joined_classes(table: LabelTable, target: str, cells: Mapping[int, str]) -> dict[int, str]:
    """Class names by row as ``table.classes`` joins them; those joined to a word such as NA are left out.

    Args:
        table: Its ``classes`` name a spelling, or a spelling of one target (``grade:cll``).
        target: Name of the target.
        cells: Text by row, none of them missing.
    """
    joins = {class_name(key): value for key, value in table.classes.items()}

    def joined(cell: str) -> str:
        name = class_name(cell)
        return class_name(joins.get(f"{target}:{name}", joins.get(name, name)))

    named = {row: joined(cell) for row, cell in cells.items()}
    return {row: name for row, name in named.items() if not is_missing(name)}


def spelled_cells(table: LabelTable, column: str, cells: Mapping[int, str]) -> dict[int, str]:
    """Cells of times, events and numbers by row, as ``table.classes`` says them for this column alone.

    ``status:9=NA`` leaves a cell out; a plain ``9=NA`` speaks of classes, not of 9 months.

    Args:
        table: With ``classes``.
        column: Its column.
        cells: Text by row, none of them missing.
    """
    heads = {key: value for key, value in table.classes.items() if key.startswith(f"{column}:")}
    joins = {class_name(key.removeprefix(f"{column}:")): value for key, value in heads.items()}
    read = {row: joins.get(class_name(cell), cell) for row, cell in cells.items()} if joins else dict(cells)
    return {row: cell for row, cell in read.items() if not is_missing(cell)}


def unused_spellings(
    table: LabelTable, targets: Mapping[str, Collection[str]], numbers: Mapping[str, Collection[str]]
) -> list[Issue]:
    """An error for each spelling that is to be joined and that no cell says.

    Args:
        table: With ``classes``.
        targets: The words of every target of classes, as written, by its name.
        numbers: Those of numbers, times and events by their column, of which only ``COLUMN:WRITTEN`` speaks.
    """
    said = {name: {class_name(cell) for cell in cells} for name, cells in {**numbers, **targets}.items()}
    every = {name for target in targets for name in said[target]}
    issues = []
    for spelling in table.classes:
        target, colon, rest = spelling.partition(":")
        fits = class_name(spelling) in every or (colon and class_name(rest) in said.get(target, set()))
        if not fits:
            found = f"No cell of the targets says {spelling!r}; they say {list_names(sorted(every))}."
            todo = "Correct --classes WRITTEN=CLASS; of times, events and numbers COLUMN:WRITTEN=MEANING."
            issues.append(Issue("error", "Class that no cell has", table.text.name, found, todo))
    return issues


def refuse_two_spellings(table: LabelTable, target: str, columns: tuple[str, ...], names: set[str]) -> None:
    """Refuse classes that differ only in case, blanks, hyphens or underscores.

    Raises:
        TableError: There are such; says how to join them.
    """
    spellings: dict[str, list[str]] = {}
    for each in sorted(names):
        spellings.setdefault(_spelling_key(each), []).append(each)
    for alike in spellings.values():
        if len(alike) > 1:
            raise TableError(
                f"Use the target {target!r} as classes ({table.where(' and '.join(columns))}).",
                f"{list_names(repr(each) for each in alike)} differ only in upper and lower case, blanks, "
                "hyphens or underscores.",
                f"Write one class in one way, or join them: {join_option(alike[1:], alike[0])}.",
            )


def _spelling_key(name: str) -> str:
    """What is left of a class without case, blanks, hyphens, underscores and points; a last + or - counts."""
    return loose_key(re.sub(r"[-_ ]*([+-])$", r" \1 sign", name))


def join_option(spellings: Sequence[str], name: str) -> str:
    """The options that join spellings, ready to paste; also of names with an apostrophe.

    Example:
        >>> import shlex
        >>> shlex.split(join_option(["a", "a's"], "A"))
        ['--classes', 'a=A', '--classes', "a's=A"]
    """
    pairs = (f"{spelling}={name}".replace("'", "'\"'\"'") for spelling in spellings)
    return " ".join(f"--classes '{pair}'" for pair in pairs)


def doubtful_classes(table: LabelTable, target: str, column: str, counts: Counter[str]) -> list[Issue]:
    """Warnings for classes that may be one, and for classes that may mean 'no value'.

    Args:
        table: For messages.
        target: Name of the target.
        column: Its column.
        counts: Patients by class.
    """
    where = f"{table.where(column)}, target {target!r}"
    issues = []
    names = sorted(counts)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            if is_typo(one, other):
                rare, usual = sorted((one, other), key=lambda name: (counts[name], name))
                both = f"{rare!r} ({counts[rare]}) and {usual!r} ({counts[usual]} patients)"
                todo = f"If they are one class: {join_option([rare], usual)}. Nothing, if they are two."
                found = f"{both} differ in one letter."
                issues.append(Issue("warning", "Classes that may be one", where, found, todo))
    for alike in same_meanings(names):
        usual = max(alike, key=lambda name: (counts[name], name))
        rest = [name for name in alike if name != usual]
        counted = ", ".join(f"{name!r} ({counts[name]})" for name in alike)
        todo = f"If they are one class: {join_option(rest, usual)}. Nothing, if they are several."
        found = f"{counted} are learned as {len(alike)} classes and may mean the same."
        issues.append(Issue("warning", "Classes that may be one", where, found, todo))
    dates = [name for name in names if is_date(name)]
    if dates and len(dates) < len(names):
        found = f"{list_names(map(repr, dates))} among other classes."
        todo = "If a spreadsheet made it of 3/4 or 4-3, take the column from its source, formatted as text."
        issues.append(Issue("warning", "Date as a class", where, found, todo))
    for name in no_values(names):
        found = f"{name!r} ({counts[name]} patient(s)) is learned as a class."
        todo = f"If it means that nobody knows: {join_option([name], 'NA')}. Nothing, if it is a class."
        issues.append(Issue("warning", "Class that may mean 'no value'", where, found, todo))
    return issues


def same_meanings(names: Collection[str]) -> list[list[str]]:
    """Classes that are words for the same, in one language or two.

    Example:
        >>> same_meanings(["yes", "ja.", "no"]), same_meanings(["pos", "neg"])
        ([['ja.', 'yes']], [])
    """
    keys = {name: _spelling_key(class_name(name)) for name in sorted(names)}
    alike = ({_spelling_key(class_name(word)) for word in words} for words in _SAME)
    groups = ([name for name, key in keys.items() if key in words] for words in alike)
    return [group for group in groups if len(group) > 1]


def no_values(names: Collection[str]) -> list[str]:
    """Classes that may mean 'no value': words, and numbers such as 9 or -999 far from the others.

    Example:
        >>> no_values(["low", "high", "UNK"]), no_values(["0", "1", "9"]), no_values(["7", "8", "9"])
        (['UNK'], ['9'], [])
    """
    words = [name for name in names if name.strip().lower() in DOUBTFUL_WORDS]
    numbers = {name: to_number(name) for name in names}
    plain = [number for number in numbers.values() if number is not None and number not in ODD_NUMBERS]
    far = [
        name
        for name, number in numbers.items()
        if number in ODD_NUMBERS
        and number is not None
        and plain
        and (number < min(0.0, *plain) or number > 2 * max(plain) + 1)
    ]
    return sorted({*words, *far})


def is_typo(one: str, other: str) -> bool:
    """Whether two classes differ in one letter that may be a slip.

    Not in a digit, nor in the last letter or a head that makes words unequal: grade1 and grade2, MSI-H and
    MSI-L, typical and atypical are classes of their own.

    Example:
        >>> is_typo("carcinoma", "carcinma"), is_typo("tumour", "tumor"), is_typo("grade1", "grade2")
        (True, True, False)
        >>> is_typo("typical", "atypical"), is_typo("MSI-H", "MSI-L"), is_typo("tumor", "tumro")
        (False, False, True)
    """
    a, b = one.casefold(), other.casefold()
    if a == b or min(len(a), len(b)) < SHORTEST_TYPO or abs(len(a) - len(b)) > 1:
        return False
    if len(a) > len(b):
        a, b = b, a
    head = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) < len(b):
        changed, slip = b[head], a[head:] == b[head + 1 :] and b.removesuffix(a) not in _UNEQUAL_HEADS
        return slip and changed.isalpha()
    swapped = a[head : head + 2] == b[head : head + 2][::-1] and a[head + 2 :] == b[head + 2 :]
    last = head >= len(a) - 1
    replaced = a[head + 1 :] == b[head + 1 :] and not last and (a[head] + b[head]).isalpha()
    return replaced or (swapped and a[head : head + 2].isalpha())
