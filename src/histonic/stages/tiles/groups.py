"""Which patient a slide belongs to, and in which split a patient is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from histonic.core.errors import SettingsError, TableError
from histonic.data.patterns import compiled, parts_by_pattern
from histonic.data.tables.files import TABLE_EXTENSIONS, read_table
from histonic.data.tables.issues import list_names
from histonic.data.tables.slide_lists import SlideRow, list_table
from histonic.data.tables.values import is_missing
from histonic.stages.tiles.choice import seeded_by_words
from histonic.stages.tiles.settings import ExtractSettings


def slide_groups(rows: Sequence[SlideRow], settings: ExtractSettings) -> dict[str, str]:
    """The group of each slide: by a column of the slide table, by a pattern, or the slide itself.

    Raises:
        SettingsError: Both are given, or the pattern is none or does not fit a slide.
        TableError: No slide table has the column, or a slide has no entry there.
    """
    if settings.group_column is not None and settings.group_pattern is not None:
        raise SettingsError(
            "Group the slides.", "Both a column and a pattern are given.", "Give only one of them."
        )
    if settings.group_column is not None:
        return by_column(rows, settings, settings.group_column, "Group the slides")
    if settings.group_pattern is not None:
        return _by_pattern(rows, settings.group_pattern)
    return {row.slide_id: row.slide_id for row in rows}


def place_of(row: SlideRow) -> str:
    """The path of a slide below the folder that was given, with slashes; else the name of its file.

    Folders above that one are the machine's, and say nothing of patients.
    """
    return row.place or row.path.name


def selected(rows: Sequence[SlideRow], pattern: str | None) -> list[SlideRow]:
    """The slides whose path fits a pattern; all without one.

    Raises:
        SettingsError: It is no regular expression, or fits no slide.
    """
    if pattern is None:
        return list(rows)
    asked = f"Take only slides that fit the pattern {pattern!r}."
    ready = compiled(pattern, asked, SettingsError)
    found = [row for row in rows if ready.search(place_of(row))]
    if not found:
        some = f", such as {place_of(rows[0])}" if rows else ""
        raise SettingsError(asked, f"None of {len(rows)} does{some}.", "Change the pattern.")
    return found


def _by_pattern(rows: Sequence[SlideRow], pattern: str) -> dict[str, str]:
    """By names if the pattern fits all of them, else by paths if it fits all of those."""
    asked = f"Group the slides by the pattern {pattern!r}."
    for texts in ([row.slide_id for row in rows], [row.place or row.slide_id for row in rows]):
        found = parts_by_pattern(texts, pattern, asked, SettingsError)
        if None not in found:
            return {row.slide_id: str(part) for row, part in zip(rows, found, strict=True)}
    first = next(row for row, part in zip(rows, found, strict=True) if part is None)
    raise SettingsError(
        asked,
        f"It does not fit the slide {first.slide_id!r}"
        + (f", nor its path {first.place}." if first.place else "."),
        "Change the pattern.",
    )


def by_column(rows: Sequence[SlideRow], settings: ExtractSettings, column: str, what: str) -> dict[str, str]:
    """What a column of the slide table says of each slide.

    Raises:
        TableError: No slide table has the column, or a slide has no entry there.
    """
    asked = f"{what} by the column {column!r}."
    named: dict[str, str] = {}
    columns: list[str] = []
    for path in settings.slides:
        if isinstance(path, Path) and path.suffix.lower() in TABLE_EXTENSIONS and path.is_file():
            table = read_table(path, sheet=settings.slide_sheet)
            columns += table.columns
            if column in table.columns:
                listed = list_table(table, settings.names)
                for number, cell in table.frame[column].items():
                    named[listed[int(number)].slide_id] = "" if is_missing(cell) else str(cell)
    if column not in columns:
        found = f"The slide table has only {list_names(columns)}." if columns else "There is no slide table."
        raise TableError(asked, found, "Give a CSV with the columns path and " + column + ".")
    for row in rows:
        if not named.get(row.slide_id):
            raise TableError(
                asked,
                f"The slide {row.slide_id!r} has no entry there.",
                "Fill the cell, or leave the slide out.",
            )
    return {row.slide_id: named[row.slide_id] for row in rows}


def split_groups(
    groups: Collection[str], *, val_share: float, test_share: float, seed: int
) -> dict[str, str]:
    """Draw the split of every group: ``train``, ``val`` or ``test``.

    Shares are of the number of groups, rounded, at least one group where a share is not zero.

    Raises:
        SettingsError: There are too few groups.

    Example:
        >>> split = split_groups(["a", "b", "c", "d"], val_share=0.25, test_share=0.25, seed=0)
        >>> sorted(split.values())
        ['test', 'train', 'train', 'val']
    """
    names = sorted(set(groups))
    test, val = (max(1, round(share * len(names))) if share else 0 for share in (test_share, val_share))
    if names and test + val >= len(names):
        raise SettingsError(
            f"Split {len(names)} group(s) with val_share {val_share} and test_share {test_share}.",
            "No group would be left to train on.",
            "Give more slides or patients, or smaller shares.",
        )
    order = [names[index] for index in seeded_by_words(seed, "split").permutation(np.arange(len(names)))]
    drawn = {name: "test" for name in order[:test]} | {name: "val" for name in order[test : test + val]}
    return {name: drawn.get(name, "train") for name in names}
