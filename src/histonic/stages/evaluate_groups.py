"""The leading metric of each site and each subgroup, with interval, and a warning where patients are few."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.scores import score_measures
from histonic.stages.evaluate import EVALUATORS
from histonic.stages.patient_columns import sorted_levels
from histonic.stages.prediction_table import PredictionTable
from histonic.stages.repeats import mean_measures, split_repeats

FEW_PATIENTS = 30
FEW_CASES = 10
"""Of the smaller class, or events; with fewer a group says little."""


def evaluate_groups(
    task: Task,
    predictions: pd.DataFrame,
    groupings: Mapping[str, Mapping[str, str]],
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Score each group of patients by itself.

    Args:
        task: The target.
        predictions: As for :func:`histonic.stages.evaluate.evaluate_task`.
        groupings: Per name, such as ``site``, the group of each patient; patients without one are left out.
        resamples: Of the patients of a group, for its 95 % interval.
        seed: Of the resamples.

    Returns:
        Per grouping ``name`` and ``levels``: name, n, ``cases`` (patients of the smaller class, or events;
        None for a value), ``score`` (None if it cannot be computed, and ``problem`` says why) and ``few``.

    Raises:
        TableError: The table is damaged.
    """
    tables = split_repeats(PredictionTable(task, predictions))
    return [
        {"name": name, "levels": [
            _level(tables, level, levels, resamples=resamples, seed=seed) for level in sorted_levels(levels)
        ]}
        for name, levels in groupings.items()
    ]  # fmt: skip


def site_grouping(table: PredictionTable) -> dict[str, str]:
    """Site per patient of a table of predictions; empty if it names fewer than two."""
    sites = dict(zip(table.texts("patient_id"), table.texts("site"), strict=True))
    known = {patient: site for patient, site in sites.items() if site}
    return known if len(set(known.values())) > 1 else {}


def _level(
    tables: list[PredictionTable], level: str, levels: Mapping[str, str], *, resamples: int, seed: int
) -> dict[str, Any]:
    mine = [
        table.rows(np.array([levels.get(patient) == level for patient in table.texts("patient_id")], bool))
        for table in tables
    ]
    task = tables[0].task
    row: dict[str, Any] = {"name": level, **_sizes(mine[0]), "score": None, "problem": ""}
    row["few"] = row["n"] < FEW_PATIENTS or (row["cases"] is not None and row["cases"] < FEW_CASES)
    try:
        evaluated = [EVALUATORS[task.kind](table) for table in mine]
    except CohortError as error:
        return {**row, "problem": error.found}
    measure = mean_measures([each.measures[:1] for each in evaluated])[0]
    n = len(evaluated[0].fold)
    score = score_measures([measure], n, resamples=resamples, rng=np.random.default_rng(seed))[0]
    return {**row, "score": score.to_dict()}


def _sizes(table: PredictionTable) -> dict[str, Any]:
    """Patients with a truth, and those of the smaller class or with an event."""
    kind = table.task.kind
    if table.task.is_classification:
        truth = table.classes("truth", missing=True)
        counts = np.bincount(truth[truth >= 0], minlength=len(table.task.classes))
        return {"n": int(counts.sum()), "cases": int(counts.min()) if len(counts) else 0}
    if kind == "survival":
        time, event = (table.numbers(name, missing=True) for name in ("time", "event"))
        known = np.isfinite(time) & np.isfinite(event)
        return {"n": int(known.sum()), "cases": int(np.nansum(event[known]))}
    return {"n": int(np.isfinite(table.numbers("truth", missing=True)).sum()), "cases": None}
