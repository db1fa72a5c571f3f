"""How wide intervals will be, and which differences a comparison will see, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from histonic.core.task import Task
from histonic.metrics.inference.comparisons import BOTH_WAYS
from histonic.metrics.inference.intervals import NORMAL_REACH
from histonic.metrics.inference.scores import FEWEST_UNITS
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival.concordance import concordance
from histonic.metrics.survival.outcome import Survival, has_comparable_pair

ASSUMED = {"AUROC": 0.75, "C-index": 0.65, "Spearman correlation": 0.4}
"""Values of a useful, far from perfect model, at which widths are told."""
CORRELATION = 0.5
"""Assumed between the errors of two models on the same patients."""
POWER = 0.8
DRAWS = 200
SEED = 0


class Expected(NamedTuple):
    """What to expect of the leading metric."""

    metric: str
    value: float
    """Assumed."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    difference: float
    """Least difference of two models that ``compare`` sees with a power of 80 %."""


def auroc_error(area: float, positives: float, negatives: float, folds: int = 1) -> float:
    """Standard error of an AUROC of patients compared within their fold.

    Hanley and McNeil, Radiology 143:29 (1982), for folds with an equal share of each class.

    Args:
        area: The AUROC.
        positives: Patients of the class.
        negatives: The others.
        folds: Parts within which patients are compared.

    Example:
        >>> round(auroc_error(0.75, 30, 30), 3)
        0.063
    """
    here, there = positives / folds, negatives / folds
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (here - 1) * (first - area**2) + (there - 1) * (second - area**2)
    return math.sqrt(max(variance, 0.0) / (here * there) / folds)


def concordance_error(outcome: Survival, value: float, folds: int = 1) -> float | None:
    """Standard error of a C-index near ``value`` in patients with such a follow-up, by drawing scores.

    Scores are the order of the times with noise, as much as gives the C-index; patients are drawn anew each
    time.

    Args:
        outcome: Follow-up.
        value: The C-index.
        folds: Parts within which patients are compared.

    Returns:
        None where no two patients can be compared.
    """
    if not has_comparable_pair(outcome):
        return None
    n, rng = len(outcome.time), np.random.default_rng(SEED)
    signal = -stats.norm.ppf((stats.rankdata(outcome.time) - 0.5) / n)
    low, high = 0.0, 4.0
    for _ in range(20):
        middle = (low + high) / 2
        drawn = np.mean([_concordance(outcome, middle * signal + rng.normal(size=n)) for _ in range(5)])
        low, high = (middle, high) if drawn < value else (low, middle)
    part, found = rng.permutation(np.arange(n) % folds), []
    for _ in range(DRAWS):
        rows = rng.integers(0, n, n)
        mine = Survival(outcome.time[rows], outcome.event[rows])
        score = low * signal[rows] + rng.normal(size=n)
        found.append(_concordance(mine, score, part if folds > 1 else None))
    known = np.array(found)[np.isfinite(found)]
    return float(known.std(ddof=1)) if len(known) > DRAWS // 2 else None


def _concordance(outcome: Survival, score: FloatArray, within: object = None) -> float:
    return float(concordance(outcome, score, within=within))  # type: ignore[arg-type]


def expected_of(task: Task, values: Sequence[float | tuple[float, float]], folds: int) -> Expected | None:
    """Width of the interval and least difference that is seen, in cross-validation.

    Args:
        task: The target.
        values: What is known of each patient: class index, value, or time and event.
        folds: Of the cross-validation.

    Returns:
        None for too few patients.
    """
    if task.kind == "survival":
        pairs = [value for value in values if isinstance(value, tuple)]
        time, event = (np.array([pair[k] for pair in pairs], dtype=np.float64) for k in (0, 1))
        if event.sum() < max(FEWEST_UNITS, 1):
            return None
        error = concordance_error(Survival(time, event > 0), ASSUMED["C-index"], folds)
        return None if error is None else _expected("C-index", error, (0.0, 1.0))
    numbers = np.array([value for value in values if not isinstance(value, tuple)], dtype=np.float64)
    if not len(numbers):
        return None
    if task.kind in ("binary", "multiclass"):
        counts = np.bincount(numbers.astype(int), minlength=len(task.classes))
        smallest = int(counts[counts > 0].min())
        if smallest < FEWEST_UNITS or (counts > 0).sum() < 2:
            return None
        value = ASSUMED["AUROC"]
        return _expected("AUROC", auroc_error(value, smallest, len(numbers) - smallest, folds), (0.0, 1.0))
    left = len(numbers) - 3 * folds
    if left < FEWEST_UNITS:
        return None
    value = ASSUMED["Spearman correlation"]
    # Fieller, Hartley and Pearson, Biometrika 44:470 (1957), for the inverse hyperbolic tangent.
    error = math.sqrt(1.06 / left) * (1 - value**2)
    return _expected("Spearman correlation", error, (-1.0, 1.0))


def _expected(metric: str, error: float, ends: tuple[float, float]) -> Expected:
    value = ASSUMED[metric]
    reach = NORMAL_REACH * error
    apart = math.sqrt(2 * (1 - CORRELATION) * BOTH_WAYS) * error
    seen = (NORMAL_REACH + float(stats.norm.ppf(POWER))) * apart
    return Expected(metric, value, max(ends[0], value - reach), min(ends[1], value + reach), seen)


def expected_words(task: Task, values: Sequence[float | tuple[float, float]], folds: int) -> str:
    """The same in a sentence; empty for too few patients.

    Example:
        >>> task = Task("msi", "binary", ("msi",), ("no", "yes"))
        >>> expected_words(task, [0.0] * 40 + [1.0] * 20, 5).split(" would")[0]
        'in cross-validation by 5 folds, the 95 % interval of an AUROC of 0.75'
    """
    found = expected_of(task, values, folds)
    if found is None:
        return ""
    article = "an" if found.metric == "AUROC" else "a"
    of = "" if task.kind != "multiclass" else " of the rarest class"
    return (
        f"in cross-validation by {folds} folds, the 95 % interval of {article} {found.metric}{of} of "
        f"{found.value:g} would reach from about {found.low:.2f} to {found.high:.2f}, and 'histonic compare' "
        f"would tell two models apart, with a power of 80 %, if they differed by {found.difference:.2f} or "
        f"more (errors of the two correlated by {CORRELATION:g})"
    )
