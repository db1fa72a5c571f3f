"""Which columns of a label table could be targets, for who names none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from histonic.core.errors import SettingsError, TableError
from histonic.core.settings import make_settings
from histonic.core.task import TargetRequest, column_target, parse_target
from histonic.data.tables.issues import list_names
from histonic.data.tables.label_table import LabelTable, read_labels
from histonic.data.tables.numbers import are_numbers
from histonic.data.tables.settings import LabelSettings
from histonic.data.targets.cells import given_cells
from histonic.data.targets.survival_columns import EVENT_ENDINGS, TIME_ENDINGS, survival_pair
from histonic.data.targets.targets import RowTarget, read_target

MOST_LINES = 12
CLASSES_NAMED = 4


def absent_target(values: Mapping[str, Any], key: str) -> str:
    """What to do about a target that was not named: the columns that could be one, and what to write.

    Args:
        values: The settings that were typed or stand in a file, as they came.
        key: The field that is missing.

    Returns:
        Several lines; empty if another field is missing, or no table is known.

    Raises:
        TableError: The label table cannot be read.
        SettingsError: What was said of it cannot be used.
    """
    if key != "target" or "labels" not in values:
        return ""
    said = {name: value for name, value in values.items() if name in LabelSettings.model_fields}
    table = read_labels(Path(values["labels"]), **make_settings(LabelSettings, said).reading())
    lines = list(target_lines(table))
    if not lines:
        return f"No column of {table.path.name} could be a target: give another table with --labels."
    more = [f"... and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    shown = "".join(f"\n    {line}" for line in [*lines[:MOST_LINES], *more])
    return f"Give --target once or more. By the columns of {table.path.name} it could be:{shown}"


def target_lines(table: LabelTable) -> Iterator[str]:
    """What to write for each column that could be a target, and what is in it.

    Args:
        table: The labels.

    Yields:
        Such as ``--target grade  (3 classes: G1, G2, G3)``.
    """
    left = list(table.label_columns)
    for name, columns in _survival(table, left):
        yield f"--target {shlex.quote(name)}  (survival: {list_names(columns)})"
        left = [each for each in left if each not in columns]
    for column in left:
        cells = set(given_cells(table, column).values())
        are_words = not are_numbers(table.text, cells)
        if len(cells) < 2 or (are_words and len(cells) == len(table.frame)):
            continue  # says nothing, or names the rows
        text = column_target(column)
        try:
            found = read_target(table, parse_target(text) if text else TargetRequest(column, None, (column,)))
        except TableError:
            if are_words:
                continue
            kinds = ("ordinal", "multiclass", "regression")
            texts, told = [column_target(column, kind) for kind in kinds], f"{len(cells)} numbers"
        else:
            texts, told = [text], _words(found)
        first, *others = [shlex.quote(text) for text in texts if text] or [""]
        more = f"; or {', '.join(others)}" if others else ""
        yield f"--target {first}  ({told}{more})" if first else f"Rename the column {column!r}  ({told})"


def _survival(table: LabelTable, columns: list[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Names of survival targets with their two columns."""
    if {"time", "event"} <= set(table.columns):
        pair = (table.columns["time"], table.columns["event"])
        yield f"survival:survival:{pair[0]},{pair[1]}", pair
    endings = [f"_{ending}" for ending in (*TIME_ENDINGS, *EVENT_ENDINGS)]
    stems = {
        column[: -len(end)]: None for column in columns for end in endings if column.lower().endswith(end)
    }
    for name in [*stems, "overall_survival"]:
        try:
            found = survival_pair(table, parse_target(name)) if name and name not in columns else None
        except SettingsError:
            continue
        except TableError:  # several would do
            continue
        if found is not None:
            yield name, found


def _words(target: RowTarget) -> str:
    """What a column holds."""
    if target.kind == "regression":
        return f"a number, in {len(target.values)} rows"
    classes = sorted({str(value) for value in target.values.values()})
    named = list_names(classes[:CLASSES_NAMED]) + (" ..." if len(classes) > CLASSES_NAMED else "")
    return f"{len(classes)} classes: {named}"
