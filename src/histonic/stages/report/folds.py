"""Patients, slides and truths per fold and site."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from histonic.core.task import Task
from histonic.runs.documents import CohortPatient
from histonic.runs.predictions import PredictionTable
from histonic.stages.report.document.sections import ClassCount, PatientGroup, Spread


def patient_groups(
    patients: Sequence[CohortPatient],
    tables: Mapping[str, PredictionTable],
    column: str,
    group_of: Callable[[CohortPatient], Any],
) -> list[PatientGroup]:
    """Patients, slides and targets per fold or site.

    Args:
        patients: Those who were tested.
        tables: Predictions per target, which hold the truth.
        column: ``fold`` or ``site``.
        group_of: The same of a patient.
    """
    names = sorted({group_of(patient) for patient in patients})
    spread = {task: _spread(table, column) for task, table in tables.items()}
    return [
        PatientGroup(
            name=name,
            patients=sum(group_of(patient) == name for patient in patients),
            slides=sum(len(patient.slide_ids) for patient in patients if group_of(patient) == name),
            targets={task: values.get(str(name), Spread(n=0)) for task, values in spread.items()},
        )
        for name in names
    ]


def _spread(table: PredictionTable, column: str) -> dict[str, Spread]:
    """What is known of one target's truth, per value of ``column``."""
    first, describe = _describer(table)
    rows: dict[str, list[int]] = {}
    for row, (group, truth) in enumerate(zip(table.texts(column), first, strict=True)):
        if truth:
            rows.setdefault(group, []).append(row)
    return {group: Spread(n=len(found), **describe(found)) for group, found in rows.items()}


def _describer(table: PredictionTable) -> tuple[list[str], Callable[[Sequence[int]], dict[str, Any]]]:
    """The column that tells whether the truth is known, and the description of some rows."""
    kind = table.task.kind
    if table.task.is_classification:
        truth = table.texts("truth")
        return truth, lambda rows: {"classes": _class_counts(table.task, [truth[row] for row in rows])}
    values = table.numbers("event" if kind == "survival" else "truth", missing=True)
    if kind == "survival":
        time = table.texts("time")
        known = [text if math.isfinite(event) else "" for text, event in zip(time, values, strict=True)]
        return known, lambda rows: {"events": int(sum(values[row] == 1 for row in rows))}
    return table.texts("truth"), lambda rows: {
        "mean": float(sum(values[row] for row in rows) / len(rows)),
        "low": float(min(values[row] for row in rows)),
        "high": float(max(values[row] for row in rows)),
    }


def _class_counts(task: Task, truth: Iterable[str]) -> list[ClassCount]:
    found = Counter(truth)
    return [ClassCount(name=name, n=found[name]) for name in task.classes]
