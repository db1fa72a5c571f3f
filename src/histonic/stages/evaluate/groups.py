"""The leading metric of each site and each subgroup, with interval, and whether groups differ by chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.inference.comparisons import holm
from histonic.metrics.inference.scores import score_measures
from histonic.runs.patient_columns import sorted_levels
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_measures, split_repeats
from histonic.stages.evaluate.evaluate import EVALUATORS

FEW_PATIENTS = 30
FEW_CASES = 10
"""Of the smaller class, or events; with fewer a group says little."""
PERMUTATIONS = 999
"""Of the patients among the groups, for the test of whether these differ."""
_AT_ONCE = 200


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
        predictions: As for :func:`histonic.stages.evaluate.evaluate.evaluate_task`.
        groupings: Per name, such as ``site``, the group of each patient; patients without one are left out.
        resamples: Of the patients of a group, for its 95 % interval.
        seed: Of the resamples.

    Returns:
        Per grouping ``name``, ``p_value`` and ``levels``: name, n, ``cases`` (patients of the smaller class,
        or events; None for a value), ``score`` (None if it cannot be computed, and ``problem`` says why)
        and ``few``. ``p_value`` is that of groups which differ in the metric by chance alone: patients are
        dealt out to the groups anew, within their class or by whether their event was seen, so that groups
        may differ in those; corrected by Holm's method for several groupings; None where fewer than two
        groups can be scored.

    Raises:
        TableError: The table is damaged.
    """
    tables = split_repeats(PredictionTable(task, predictions))
    found: list[dict[str, Any]] = []
    for name, levels in groupings.items():
        rows = [
            _level(tables, level, levels, resamples=resamples, seed=seed) for level in sorted_levels(levels)
        ]
        scored = [row["name"] for row in rows if row["score"] and row["score"]["value"] is not None]
        found.append({"name": name, "p_value": _chance(tables, scored, levels, seed), "levels": rows})
    tested = [grouping for grouping in found if grouping["p_value"] is not None]
    for grouping, p in zip(tested, holm([grouping["p_value"] for grouping in tested]), strict=True):
        grouping["p_value"] = float(p)
    return found


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


def _chance(
    tables: list[PredictionTable], scored: list[str], levels: Mapping[str, str], seed: int
) -> float | None:
    """P-value of the spread of the groups' values about their mean, groups weighted by their patients."""
    if len(scored) < 2:
        return None
    first = tables[0]
    group = np.array([levels.get(patient, "") for patient in first.texts("patient_id")], object)
    keep = np.isin(group, scored) & first.has_truth()
    try:
        measures = [EVALUATORS[first.task.kind](table.rows(keep)).measures[:1] for table in tables]
    except CohortError:
        return None
    measure = mean_measures(measures)[0]
    number, stratum = np.array([scored.index(each) for each in group[keep]]), _strata(first.rows(keep))

    def spreads(dealt: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Groups of patients ``(B, n)`` to ``(B,)``; a group without a value is left out."""
        member = dealt[:, None, :] == np.arange(len(scored))[:, None]
        value = measure.statistic(member.reshape(-1, dealt.shape[1]).astype(float)).reshape(member.shape[:2])
        weight = np.where(np.isfinite(value), member.sum(axis=2), 0)
        value = np.where(weight > 0, value, 0.0)
        total = weight.sum(axis=1)
        mean = (weight * value).sum(axis=1) / total
        spread: npt.NDArray[np.float64] = (weight * (value - mean[:, None]) ** 2).sum(axis=1) / total
        return spread

    observed = spreads(number[None])[0]
    rng = np.random.default_rng(seed)
    as_far, left = 0, PERMUTATIONS
    while left:
        dealt = np.repeat(number[None], min(left, _AT_ONCE), axis=0)
        for each in np.unique(stratum):
            dealt[:, stratum == each] = rng.permuted(dealt[:, stratum == each], axis=1)
        # Rounding must not make an equal spread a smaller one.
        as_far += int(np.sum(spreads(dealt) >= observed - 1e-12))
        left -= len(dealt)
    return (1 + as_far) / (1 + PERMUTATIONS)


def _strata(table: PredictionTable) -> npt.NDArray[np.int64]:
    """Class, or whether the event was seen, of patients with a truth; 0 for a value."""
    if table.task.is_classification:
        return table.classes("truth")
    if table.task.kind == "survival":
        return table.numbers("event").astype(np.int64)
    return np.zeros(len(table.frame), np.int64)


def _sizes(table: PredictionTable) -> dict[str, Any]:
    """Patients with a truth, and those of the smaller class or with an event."""
    known = _strata(table.rows(table.has_truth()))
    if table.task.is_classification:
        counts = np.bincount(known, minlength=len(table.task.classes))
        return {"n": len(known), "cases": int(counts.min())}
    return {"n": len(known), "cases": int(known.sum()) if table.task.kind == "survival" else None}
