"""Calibration and missed cases by site and subgroup: a model may rank alike everywhere and be unfair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from histonic.core.calls import call_column
from histonic.core.documents import Part
from histonic.core.errors import CohortError
from histonic.metrics.inference.intervals import bootstrap, percentile_band
from histonic.metrics.inference.shares import wilson
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival.censoring import still_alive
from histonic.metrics.survival.outcome import check_survival
from histonic.runs.patient_columns import sorted_levels
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.competing import other_causes
from histonic.stages.evaluate.survival_times import evaluated_times, parts_of, predict_survival

FEWEST_CASES = 10
"""Cases of a group, and patients without, from which on something is said of it."""
RESAMPLES = 500


class SubgroupLevel(Part):
    """One group.

    Attributes:
        name: Of the group.
        n: Patients with a truth.
        cases: Positive ones, or those with the event by the horizon.
        few: Fewer than ten cases or ten others: nothing is said.
        observed: Share of cases; by Kaplan-Meier where follow-up may end before.
        expected: Mean predicted chance.
        ratio: Observed by expected; 1 is right, above 1 there were more than promised.
        low: Lower end of its 95 % interval, patients resampled.
        high: Upper end.
        missed: Share of positive patients who were not called, over all repeats; None for survival.
        missed_low: Lower end by Wilson.
        missed_high: Upper end.
    """

    name: str
    n: int
    cases: int
    few: bool
    observed: float | None = None
    expected: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    missed: float | None = None
    missed_low: float | None = None
    missed_high: float | None = None


class SubgroupCalibration(Part):
    """Groups by one column."""

    name: str
    levels: tuple[SubgroupLevel, ...]


class Fairness(Part):
    """Calibration and missed cases by site and subgroup.

    Attributes:
        horizon: By which an event counts; None for classes.
        called_by: The first operating point of the table, else the rule by which the positive class is
            called; empty for survival.
        groupings: Sites and subgroups.
    """

    horizon: float | None
    called_by: str
    groupings: tuple[SubgroupCalibration, ...]


def subgroup_calibration(
    table: PredictionTable,
    groupings: Mapping[str, Mapping[str, str]],
    seed: int,
    repeats: Sequence[PredictionTable] = (),
) -> Fairness | None:
    """Observed by expected cases, and missed ones, of each group.

    Args:
        table: Predictions of one repeat, or their mean.
        groupings: Per name the group of each patient.
        seed: Of the resamples.
        repeats: One table each, where ``table`` is their mean, with the same patients in the same order: a
            patient is missed in the share of them in which it is not called. None: the calls of ``table``.

    Returns:
        None for targets other than binary and survival, with competing causes, or without groups.
    """
    kind = table.task.kind
    if kind not in ("binary", "survival") or not groupings:
        return None
    known = table.has_truth()
    called = _share_called([each.rows(known) for each in repeats or (table,)])
    table = table.rows(known)
    horizon = None
    if kind == "survival":
        if other_causes(table):
            return None
        try:
            outcome = check_survival(table.numbers("time"), table.numbers("event"))
        except CohortError:
            return None
        times = evaluated_times(outcome)
        if not len(times.grid):
            return None
        horizon = times.horizon
        risk, part = table.numbers("risk"), parts_of(table.numbers("fold"))
        chance = 1 - predict_survival(outcome, risk, part, np.array([horizon])).by_risk[:, 0]
    else:
        chance = table.probabilities()[:, 1]
    patients = table.texts("patient_id")
    found = []
    for name, levels in groupings.items():
        of = np.array([levels.get(patient, "") for patient in patients], dtype=object)
        rows = [
            _level(table.rows(of == level), chance[of == level], called[of == level], level, horizon, seed)
            for level in sorted_levels(levels)
            if (of == level).any()
        ]
        found.append(SubgroupCalibration(name=name, levels=tuple(rows)))
    return Fairness(horizon=horizon, called_by=_rule(table), groupings=tuple(found))


def _rule(table: PredictionTable) -> str:
    if table.task.kind != "binary":
        return ""
    return next(iter(table.points), table.decided_by)


def _share_called(tables: Sequence[PredictionTable]) -> FloatArray:
    """Of each patient the share of the repeats in which it is called; NaN where no call is known."""
    first = tables[0]
    if first.task.kind != "binary":
        return np.full(len(first.frame), np.nan)
    column = call_column(first.points[0]) if first.points else "predicted"
    calls = np.stack([each.classes(column, missing=True) for each in tables])
    some = (calls >= 0).sum(axis=0)
    return np.where(some > 0, (calls == 1).sum(axis=0) / np.maximum(some, 1), np.nan)


def _level(
    table: PredictionTable,
    chance: FloatArray,
    called: FloatArray,
    name: str,
    horizon: float | None,
    seed: int,
) -> SubgroupLevel:
    n = len(chance)
    if horizon is None:
        positive = table.classes("truth") == 1
        cases = int(positive.sum())

        def observed(counts: FloatArray) -> FloatArray:
            return np.asarray(counts @ positive / counts.sum(axis=-1))

        others = n - cases
    else:
        outcome = check_survival(table.numbers("time"), table.numbers("event"))
        cases = int((outcome.event & (outcome.time <= horizon)).sum())
        others = int((outcome.time > horizon).sum())

        def observed(counts: FloatArray) -> FloatArray:
            return np.asarray(1 - still_alive(outcome, np.array([horizon]), counts)[..., 0])

    row = SubgroupLevel(name=name, n=n, cases=cases, few=min(cases, others) < FEWEST_CASES)
    if row.few:
        return row
    if horizon is None:
        not_called = 1 - called[positive & np.isfinite(called)]
        ends = wilson(float(not_called.sum()), float(len(not_called)))
        if ends is not None:
            missed = {"missed": float(not_called.mean()), "missed_low": ends.low, "missed_high": ends.high}
            row = row.model_copy(update=missed)

    def ratio(counts: FloatArray) -> FloatArray:
        return np.asarray(observed(counts) / (counts @ chance / counts.sum(axis=-1)))

    ones = np.ones((1, n))
    drawn = bootstrap([ratio], n, RESAMPLES, np.random.default_rng(seed))[0]
    low, high = percentile_band(drawn[:, None])
    return row.model_copy(
        update={
            "observed": float(observed(ones)[0]),
            "expected": float(chance.mean()),
            "ratio": float(ratio(ones)[0]),
            "low": float(np.ravel(low)[0]),
            "high": float(np.ravel(high)[0]),
        }
    )
