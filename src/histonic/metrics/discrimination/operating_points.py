"""A threshold chosen on some patients, and what its calls are worth on others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from histonic.core.calls import OperatingPoint
from histonic.metrics.discrimination.labels import DRAW
from histonic.metrics.inference.intervals import Interval
from histonic.metrics.inference.shares import ratio_of_shares, wilson
from histonic.metrics.ranks import BoolArray, FloatArray, ratio

ROUNDING = 1e-9
"""By how much a share may miss what was asked for: 19 of 20 are 0.95."""


def choose_threshold(positive: BoolArray, score: FloatArray, point: OperatingPoint) -> float | None:
    """The threshold of an operating point among some patients: who reaches it is called.

    Thresholds are scores of patients. Of several that fit, ``youden`` and ``sensitivity`` take the highest
    (fewest false positives), ``specificity`` the lowest (most true ones). Where nobody may be called, it lies
    just above the highest score. Youden, Cancer 3:32 (1950).

    Args:
        positive: ``(n,)`` bool.
        score: ``(n,)`` of the positive class, finite. Those that differ by rounding only are the same.
        point: Which.

    Returns:
        The threshold; None where no patient of a class that it needs is there.

    Example:
        >>> positive, score = np.array([False, True, False, True]), np.array([0.1, 0.3, 0.5, 0.8])
        >>> [choose_threshold(positive, score, OperatingPoint.parse(each))
        ...  for each in ("youden", "sensitivity=0.9", "specificity=0.9")]
        [0.8, 0.3, 0.8]
    """
    if point.threshold is not None:
        return point.threshold
    positives, negatives = int(positive.sum()), int((~positive).sum())
    needed = {"sensitivity": positives, "specificity": negatives}.get(point.kind, min(positives, negatives))
    if not needed:
        return None
    levels = _levels(score)
    # Nobody is called at the first.
    falling = np.concatenate(([levels[-1] + 2 * DRAW], levels[::-1]))
    reached = is_called(score, falling[:, None])
    hits, false_alarms = (reached & positive).sum(axis=1), (reached & ~positive).sum(axis=1)
    if point.kind == "youden":
        # Whole numbers: a draw is not decided by rounding.
        return float(falling[np.argmax(hits * negatives - false_alarms * positives)])
    if point.kind == "sensitivity":
        return float(falling[np.argmax(hits >= (point.values[0] - ROUNDING) * positives)])
    fit = negatives - false_alarms >= (point.values[0] - ROUNDING) * negatives
    return float(falling[np.flatnonzero(fit)[-1]])


def is_called(score: FloatArray, threshold: float | FloatArray) -> BoolArray:
    """Whether scores reach a threshold, rounding aside."""
    return np.asarray(score >= threshold - DRAW)


def _levels(score: FloatArray) -> FloatArray:
    """Rising, the lowest of every group of scores that differ by rounding only."""
    ordered = np.sort(score)
    return ordered[np.concatenate(([True], np.diff(ordered) > DRAW))]


class CallCounts(NamedTuple):
    """Patients by truth and call; means over repeats, and so no whole numbers, where these differ."""

    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float

    @classmethod
    def of(cls, positive: BoolArray, called: FloatArray) -> CallCounts:
        """From the truth ``(n,)`` and the share of repeats ``(n,)`` in which a patient is called."""
        called = np.asarray(called, dtype=np.float64)
        return cls(
            float(called[positive].sum()),
            float(called[~positive].sum()),
            float((1 - called[positive]).sum()),
            float((1 - called[~positive]).sum()),
        )


class CallScore(NamedTuple):
    """A number of an operating point.

    Attributes:
        name: As the reader sees it.
        value: NaN where nothing is divided by nothing, infinite where something is.
        interval: Its 95 % interval, whose upper end may be infinite; None where the value is NaN.
    """

    name: str
    value: float
    interval: Interval | None


def score_calls(calls: CallCounts) -> tuple[CallScore, ...]:
    """Sensitivity, specificity, predictive values, likelihood ratios and F1, each with a 95 % interval.

    The unit is the patient. Shares have Wilson's interval, likelihood ratios that of Miettinen and Nurminen
    (see :mod:`histonic.metrics.inference.shares`). F1 is ``2 J / (1 + J)`` of the share J of true positives
    among all patients who are positive or called (Hand, Christen and Kirielle, Machine Learning 110:451,
    2021), and so are the ends of its interval. Thresholds count as given, and predictive values hold for the
    share of positives among these patients.

    Example:
        >>> [f"{each.name} {each.value:.3g}" for each in score_calls(CallCounts(18, 8, 2, 32))]
        ['Sensitivity 0.9', 'Specificity 0.8', 'PPV 0.692', 'NPV 0.941', 'LR+ 4.5', 'LR− 0.125', 'F1 0.783']
    """
    tp, fp, fn, tn = calls
    jaccard = _share("F1", tp, tp + fp + fn)
    return (
        _share("Sensitivity", tp, tp + fn),
        _share("Specificity", tn, tn + fp),
        _share("PPV", tp, tp + fp),
        _share("NPV", tn, tn + fn),
        _ratio("LR+", tp, tp + fn, fp, fp + tn),
        _ratio("LR−", fn, tp + fn, tn, fp + tn),
        jaccard._replace(value=_f1(jaccard.value), interval=_moved(jaccard.interval, _f1)),
    )


def _share(name: str, hits: float, trials: float) -> CallScore:
    return CallScore(name, float(ratio(hits, trials)), wilson(hits, trials))


def _ratio(name: str, hits: float, trials: float, other_hits: float, other_trials: float) -> CallScore:
    interval = ratio_of_shares(hits, trials, other_hits, other_trials)
    if interval is None:
        return CallScore(name, float("nan"), None)
    value = (hits / trials) / (other_hits / other_trials) if other_hits > 0 else float("inf")
    return CallScore(name, value, interval)


def _f1(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)


def _moved(interval: Interval | None, function: Callable[[float], float]) -> Interval | None:
    return None if interval is None else Interval(function(interval.low), function(interval.high))
