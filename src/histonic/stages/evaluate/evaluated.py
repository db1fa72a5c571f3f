"""What the evaluator of one kind of target hands back, and the plain values of figures."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.calibration.probabilities import CalibrationBins
from histonic.metrics.inference.intervals import Statistic
from histonic.metrics.inference.scores import Measure
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
