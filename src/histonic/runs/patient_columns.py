"""Columns of a run's label table by patient: clinical facts and subgroups."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histonic.core.errors import SettingsError, TableError
from histonic.core.places.frames import TablePlace
from histonic.data.tables.label_table import LabelTable, column_cells, read_labels
from histonic.data.tables.styles import NO_SPLIT
from histonic.data.tables.values import natural_key
from histonic.runs.documents import RunSettings

PERSON = (frozenset({"sex", "gender"}), frozenset({"age"}))
"""Words in the names of columns that hold sex and age."""
MOST_LEVELS = 6
"""A column of numbers with more different values than this is cut at its median for subgroups."""


def read_patient_columns(
    settings: RunSettings,
    columns: Sequence[str],
    labels: TablePlace | None = None,
    folder: Path | None = None,
) -> dict[str, dict[str, str]]:
    """Columns of the label table that the run was trained with.

    A run keeps the path of its label table, no copy of it: clinical facts stay where they are. Of a DataFrame
    it has a copy.

    Args:
        settings: Of the run.
        columns: Names in the label table, or ``site``.
        labels: The table, if it is no longer where it was in training.
        folder: The run's folder as it is now, where a copy may lie.

    Returns:
        Per column and patient the cell as text, empty where missing.

    Raises:
        SettingsError: The label table has moved.
        TableError: A column is absent, two rows of a patient disagree, or one cell of many is no number.
    """
    if not columns:
        return {}
    path = _table_of(settings, labels, folder)
    if isinstance(path, Path) and not path.is_file():
        raise SettingsError(
            f"Read the columns {', '.join(columns)} for the run {settings.out}.",
            f"The label table is not at {path}"
            + (
                "."
                if labels
                else ", where it was when the run was trained (or the run began in another folder)."
            ),
            "Say where it is with --labels TABLE.",
        )
    slide_table = settings.slide_table
    reading = {
        **settings.reading(),
        "columns": {**settings.columns, **NO_SPLIT},
        # The slide table only joins slides; without it patients are the same.
        "slide_table": slide_table if isinstance(slide_table, Path) and slide_table.is_file() else None,
    }
    table = read_labels(path, **reading)
    return {column: cells_by_patient(table, column) for column in columns}


def _table_of(settings: RunSettings, labels: TablePlace | None, folder: Path | None) -> TablePlace:
    """The label table as it can be read now: the given one, the run's copy, or where it was in training."""
    path = labels or settings.labels
    copy = None if folder is None else folder / "labels.csv"
    if labels is None and copy is not None and copy.is_file() and path in (copy, settings.out / copy.name):
        return copy
    return path


def find_person_columns(
    settings: RunSettings, labels: TablePlace | None = None, folder: Path | None = None
) -> list[str]:
    """Columns of the label table that hold sex and age, by their names: the first of each.

    Args:
        settings: Of the run.
        labels: The table, if it is no longer where it was in training.
        folder: The run's folder as it is now, where a copy may lie.

    Returns:
        Their names; none if the table has moved or cannot be read.
    """
    path = _table_of(settings, labels, folder)
    if isinstance(path, Path) and not path.is_file():
        return []
    try:
        table = read_labels(path, **{**settings.reading(), "columns": {**settings.columns, **NO_SPLIT}})
    except (SettingsError, TableError):
        return []
    found = []
    for words in PERSON:
        named = [str(name) for name in table.frame.columns if _words_of(str(name)) & words]
        filled = [name for name in named if any(column_cells(table, name))]
        found += filled[:1]
    return found


def _words_of(name: str) -> set[str]:
    """``ageAtDiagnosis`` and ``age_at_diagnosis`` hold the word ``age``; ``stage`` and ``image`` do not.

    Example:
        >>> sorted(_words_of("Age_at_diagnosis")), sorted(_words_of("patientAge"))
        (['age', 'at', 'diagnosis'], ['age', 'patient'])
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return set(re.findall(r"[a-z]+", apart.casefold()))


def cells_by_patient(table: LabelTable, column: str) -> dict[str, str]:
    """A column by patient, empty where missing.

    Raises:
        TableError: It is absent, or two rows of a patient disagree.
    """
    name = column if column in table.frame.columns else table.columns.get(column, column)
    if name not in table.frame.columns:
        near = difflib.get_close_matches(column, table.frame.columns, n=1)
        raise TableError(
            f"Read the column {column!r} of {table.path}.",
            f"There is none; there are {', '.join(table.frame.columns)}.",
            f"Did you mean {near[0]!r}?" if near else "Name a column of the label table.",
        )
    found: dict[str, str] = {}
    for row, text in column_cells(table, name).items():
        patient = table.patients[row]
        before = found.get(patient, "")
        if before and text and before != text:
            raise TableError(
                f"Read the column {column!r} of {table.path}.",
                f"The patient {patient} is {before!r} and, in row {row}, {text!r}.",
                "Give all rows of a patient the same value, or leave all but one empty.",
            )
        found[patient] = before or text
    return found


def as_numbers(values: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The cells as numbers, NaN where empty; None if any is another word, or all are empty.

    Example:
        >>> as_numbers(["3", "", "4.5"]).tolist(), as_numbers(["3", "III"])
        ([3.0, nan, 4.5], None)
    """
    numbers = np.full(len(values), np.nan)
    for row, text in enumerate(values):
        try:
            numbers[row] = float(text) if text else np.nan
        except ValueError:
            return None
    return numbers if np.isfinite(numbers).any() and not np.isinf(numbers).any() else None


def as_levels(values: Mapping[str, str]) -> dict[str, str]:
    """The subgroup of each patient; numbers of many values are cut at their median.

    Args:
        values: Cell per patient, empty where missing.

    Returns:
        Level per patient who has one.

    Example:
        >>> ages = {f"P{age}": str(age) for age in range(40, 50)}
        >>> sorted(set(as_levels(ages).values()))
        ['> 44.5', '≤ 44.5']
    """
    known = {patient: text for patient, text in values.items() if text}
    numbers = as_numbers(list(known.values()))
    if numbers is None or len(np.unique(numbers)) <= MOST_LEVELS:
        return known
    cut = float(np.median(numbers))
    return {
        patient: f"≤ {cut:g}" if number <= cut else f"> {cut:g}"
        for patient, number in zip(known, numbers, strict=True)
    }


def sorted_levels(levels: Mapping[str, str]) -> list[str]:
    """The levels in their natural order, the lower half of numbers first."""
    return sorted(set(levels.values()), key=lambda name: (name.startswith(">"), natural_key(name)))
