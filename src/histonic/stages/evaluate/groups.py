"""The leading metric of each site and each subgroup, with interval, and whether groups differ by chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.documents import Part
from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.inference.comparisons import holm
from histonic.metrics.inference.scores import Score, score_measures
from histonic.runs.patient_columns import sorted_levels
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_measures, split_repeats
from histonic.stages.evaluate.evaluate import EVALUATORS
from histonic.stages.evaluate.evaluated import same_folds

FEW_PATIENTS = 30
FEW_CASES = 10
"""Of the smaller class, or events; with fewer a group says little."""
FEWEST_PAIRS = 30
"""Of patients of one fold; with fewer a value is mostly 0 or 1."""
PERMUTATIONS = 999
"""Of the patients among the groups, for the test of whether these differ."""
_AT_ONCE = 200


class GroupScore(Part):
    """One group of patients.

    Attributes:
        name: Such as a site.
        n: Patients with a truth.
        cases: Those of the smaller class, or with an event; None for a value.
        few: Whether they are too few to say much.
        score: The leading metric among them; None if it cannot be computed, and ``problem`` says why.
        problem: Else empty.
        warning: What a report says of few patients.
    """

    name: str
    n: int
    cases: int | None
    few: bool
    score: Score | None = None
    problem: str = ""
    warning: str = ""


class Grouping(Part):
    """Groups of patients by one column.

    Attributes:
        name: Of the column, or ``site``.
        levels: The groups.
        p_value: Of groups that differ in the metric by chance alone; None where fewer than two can be scored.
    """

    name: str
    levels: tuple[GroupScore, ...]
    p_value: float | None


def evaluate_groups(
    task: Task,
    predictions: pd.DataFrame,
    groupings: Mapping[str, Mapping[str, str]],
    *,
    resamples: int,
    seed: int,
) -> list[Grouping]:
    """Score each group of patients by itself.

    Args:
        task: The target.
        predictions: As for :func:`histonic.stages.evaluate.evaluate.evaluate_task`.
        groupings: Per name, such as ``site``, the group of each patient; patients without one are left out.
        resamples: Of the patients of a group, for its 95 % interval.
        seed: Of the resamples.

    Returns:
        The groupings. For the p-value patients are permuted among the groups, within their class or by
        whether their event was seen, so that groups may differ in those; it is corrected by Holm's method
        for several groupings.

    Raises:
        TableError: The table is damaged.
    """
    tables = split_repeats(PredictionTable(task, predictions))
    found: list[Grouping] = []
    for name, levels in groupings.items():
        rows = [
            _level(tables, level, levels, resamples=resamples, seed=seed) for level in sorted_levels(levels)
        ]
        scored = [row.name for row in rows if row.score and row.score.value is not None]
        found.append(Grouping(name=name, p_value=_chance(tables, scored, levels, seed), levels=rows))
    corrected = iter(holm([each.p_value for each in found if each.p_value is not None]).tolist())
    return [
        each if each.p_value is None else each.model_copy(update={"p_value": next(corrected)})
        for each in found
    ]


def site_grouping(table: PredictionTable) -> dict[str, str]:
    """Site per patient of a table of predictions; empty if it names fewer than two."""
    sites = dict(zip(table.texts("patient_id"), table.texts("site"), strict=True))
    known = {patient: site for patient, site in sites.items() if site}
    return known if len(set(known.values())) > 1 else {}


def _level(
    tables: list[PredictionTable], level: str, levels: Mapping[str, str], *, resamples: int, seed: int
) -> GroupScore:
    mine = [
        table.rows(np.array([levels.get(patient) == level for patient in table.texts("patient_id")], bool))
        for table in tables
    ]
    task = tables[0].task
    patients, cases = _sizes(mine[0])
    few = patients < FEW_PATIENTS or (cases is not None and cases < FEW_CASES)
    row = GroupScore(name=level, n=patients, cases=cases, few=few)
    try:
        evaluated = [EVALUATORS[task.kind](table) for table in mine]
    except CohortError as error:
        return row.model_copy(update={"problem": error.found})
    measure = mean_measures([each.measures[:1] for each in evaluated])[0]
    n = len(evaluated[0].fold)
    pairs = min(_pairs(each.fold) for each in evaluated)
    if pairs < FEWEST_PAIRS:
        found = f"Only {pairs} pairs of its {patients} patients are of one fold; {FEWEST_PAIRS} are needed."
        return row.model_copy(update={"problem": found})
    fold = same_folds([each.fold for each in evaluated])
    rng = np.random.default_rng(seed)
    score = score_measures([measure], n, resamples=resamples, rng=rng, fold=fold)[0]
    return row.model_copy(update={"score": score})


def _pairs(fold: npt.NDArray[Any]) -> int:
    """Pairs of patients of the same fold."""
    sizes = np.unique(fold, return_counts=True)[1]
    return int(np.sum(sizes * (sizes - 1)) // 2)


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

    def spreads(permuted: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Groups of patients ``(B, n)`` to ``(B,)``; a group without a value is left out."""
        member = permuted[:, None, :] == np.arange(len(scored))[:, None]
        value = measure.statistic(member.reshape(-1, permuted.shape[1]).astype(float)).reshape(
            member.shape[:2]
        )
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
        permuted = np.repeat(number[None], min(left, _AT_ONCE), axis=0)
        for each in np.unique(stratum):
            permuted[:, stratum == each] = rng.permuted(permuted[:, stratum == each], axis=1)
        # Rounding must not make an equal spread a smaller one.
        as_far += int(np.sum(spreads(permuted) >= observed - 1e-12))
        left -= len(permuted)
    return (1 + as_far) / (1 + PERMUTATIONS)


def _strata(table: PredictionTable) -> npt.NDArray[np.int64]:
    """Class, or whether the event was seen, of patients with a truth; 0 for a value."""
    if table.task.is_classification:
        return table.classes("truth")
    if table.task.kind == "survival":
        return table.numbers("event").astype(np.int64)
    return np.zeros(len(table.frame), np.int64)


def _sizes(table: PredictionTable) -> tuple[int, int | None]:
    """Patients with a truth, and those of the smaller class or with an event."""
    known = _strata(table.rows(table.has_truth()))
    if table.task.is_classification:
        counts = np.bincount(known, minlength=len(table.task.classes))
        return len(known), int(counts.min())
    return len(known), int(known.sum()) if table.task.kind == "survival" else None
