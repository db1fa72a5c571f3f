"""What the evaluator of one kind of target hands back, and the plain values of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.calibration.probabilities import CalibrationBins
from histonic.metrics.inference.intervals import Statistic
from histonic.metrics.inference.scores import Measure
from histonic.metrics.ranks import rows_of_groups
from histonic.runs.predictions import PredictionTable
from histonic.runs.primary import primary_of
from histonic.stages.evaluate.curves import Curves

FEWEST_PATIENTS = 4
"""Below this no resample says anything."""


class Evaluated(NamedTuple):
    """What an evaluator makes of the ``n`` patients with a truth."""

    measures: list[Measure]
    """The leading one first."""
    curves: Curves
    """Data of the figures."""
    fold: npt.NDArray[Any]
    """``(n,)``, the fold in which each patient was predicted."""
    bands: Mapping[str, Statistic] = MappingProxyType({})
    """Per name of a curve with a ``value``: counts ``(B, n)`` to ``(B, points)``, for its 95 % band."""

    def led_by(self, task: Task) -> Evaluated:
        """The same with the target's leading metric first, and what pools the folds beside it.

        Raises:
            CohortError: It cannot be computed in these patients.
        """
        primary = primary_of(task)
        names = (primary, primary + POOLED)
        first = [measure for measure in self.measures if measure.name in names]
        if not first:
            raise CohortError(
                f"Evaluate the predictions of {task.name!r} by {primary}.",
                "It cannot be computed in these patients: they are too few, or followed for no span of time.",
                f"Let another metric lead with --primary {task.name}=METRIC.",
            )
        others = [measure for measure in self.measures if measure.name not in names]
        return self._replace(measures=[*first, *others])


POOLED = ", folds pooled"
"""After the name of a metric: of all pairs of patients, also of those whom different networks predicted."""


def fold_or_none(fold: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The folds ``(n,)`` within which patients are compared; None if there is but one.

    Each fold's predictions carry the level of the patients who trained for it, which is low where the fold's
    own is high. Compared over folds, predictions that know nothing would seem to point the wrong way.
    """
    return fold if len(np.unique(fold)) > 1 else None


def within_folds(
    leading: Measure, pooled: Statistic, fold: npt.NDArray[Any], table: PredictionTable
) -> list[Measure]:
    """The leading metric and, where there are several folds, the same of all pairs beside it.

    Args:
        leading: Takes pairs of the same fold only.
        pooled: Its statistic over all pairs.
        fold: ``(n,)``.
        table: The predictions that it is computed from, in the order of ``fold``.
    """
    if fold_or_none(fold) is None:
        return [leading]
    silent = _silent_folds(leading.statistic, fold)
    what = "sites" if table.splits_sites() else "folds"
    note = {
        "sites": "Only patients of the same fold are compared, and a fold holds whole sites: this is how "
        "well the patients of one site (or of sites tested together) are told apart.",
        "folds": "Only patients of the same fold, whom the same networks predicted, are compared.",
    }[what]
    if silent:
        said = "Fold" if len(silent) == 1 else "Folds"
        note += f" {said} {', '.join(silent)}: no two patients to compare."
    first = replace(leading, note=f"{leading.note} {note}".strip())
    second = replace(
        leading,
        name=leading.name + POOLED,
        statistic=pooled,
        note="All patients are compared, also those whom different networks predicted, as often published.",
    )
    return [first, second]


def met_classes(truth: npt.NDArray[np.int64], fold: npt.NDArray[Any] | None) -> list[int]:
    """Classes with a patient in some fold beside one of another class.

    Args:
        truth: ``(n,)`` class index.
        fold: ``(n,)``, or None for one fold.

    Example:
        >>> met_classes(np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1]))
        [0, 1]
    """
    parts = [truth[rows] for rows in rows_of_groups(fold, len(truth))]
    met = [np.unique(part) for part in parts if len(np.unique(part)) > 1]
    return [int(k) for k in np.unique(np.concatenate(met))] if met else []


def _silent_folds(statistic: Statistic, fold: npt.NDArray[Any]) -> list[str]:
    """Folds of whose patients alone the metric cannot be computed."""
    names = np.unique(fold)
    values = statistic((fold == names[:, None]).astype(np.float64))
    return [f"{name:g}" for name, value in zip(names, values, strict=True) if not np.isfinite(value)]


def same_folds(folds: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any] | None:
    """The folds if all repeats have the same ones, else None: then patients have none of their own.

    Example:
        >>> same_folds([np.array([0, 0, 1]), np.array([1, 1, 0])]).tolist()
        [0, 0, 1]
        >>> same_folds([np.array([0, 0, 1]), np.array([0, 1, 1])]) is None
        True
    """
    first, *others = (np.unique(fold, return_inverse=True)[1] for fold in folds)
    for other in others:
        pairs = len(np.unique(np.stack([first, other]), axis=1).T)
        if not pairs == len(np.unique(first)) == len(np.unique(other)):
            return None
    return np.asarray(folds[0])


def number_or_none(value: Any) -> float | None:
    """A float, or None where JSON has no word for it."""
    return float(value) if np.isfinite(value) else None


def listed(values: Any) -> list[float | None]:
    """An array as a list for JSON."""
    return [number_or_none(value) for value in np.asarray(values, dtype=np.float64)]


def require_patients(task: Task, *, n: int, varies: bool, constant: str) -> None:
    """Refuse what no metric can be computed for.

    Args:
        task: The target.
        n: Patients with a truth.
        varies: Whether their truth differs enough for a metric.
        constant: What was found if it does not.

    Raises:
        CohortError: Too few patients, or their truth does not vary.
    """
    asked = f"Evaluate the predictions of {task.name!r} ({task.kind})."
    if n < FEWEST_PATIENTS:
        todo = f"At least {FEWEST_PATIENTS} patients are needed: add patients or labels."
        raise CohortError(asked, f"{n} patients have a truth.", todo)
    if not varies:
        raise CohortError(asked, constant, "Add patients, or leave this target out.")


def decision_thresholds(chance: Any) -> npt.NDArray[np.float64]:
    """Thresholds of a decision curve: whole percents, up to a little above the highest predicted chance."""
    last = int(np.clip(np.ceil(100 * np.max(chance)) + 2, 5, 99))
    return np.arange(1, last + 1) / 100


def bins_of(bins: CalibrationBins) -> dict[str, Any]:
    """Calibration bins as lists: ``predicted``, ``observed`` and ``count`` of patients."""
    return {
        "predicted": listed(bins.predicted),
        "observed": listed(bins.observed),
        "count": bins.patients.tolist(),
    }


def difference_measure(first: Measure, second: Measure) -> Measure:
    """First minus second, on the same resamples; 0 is no difference.

    Example:
        >>> one = Measure("mean", lambda counts: counts @ np.array([1.0, 3.0]) / 2, None)
        >>> other = Measure("mean", lambda counts: counts @ np.array([1.0, 1.0]) / 2, None)
        >>> float(difference_measure(one, other).statistic(np.ones(2)))
        1.0
    """
    return Measure(
        first.name,
        lambda counts: first.statistic(counts) - second.statistic(counts),
        0.0,
        first.higher_is_better,
        # What takes the jackknife's error alone takes it as a difference; its scale has none there.
        scale="linear" if first.scale else None,
    )
