"""Comparing two models on the same patients: DeLong, permutation, and correction for several comparisons.

The paired bootstrap needs nothing of its own: :func:`histonic.metrics.inference.intervals.bootstrap` draws
the same patients for all statistics that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from histonic.core.errors import CohortError
from histonic.metrics.ranks import BoolArray, FloatArray, Levels

BOTH_WAYS = 2.0
"""At most so many times does the variance of an out-of-fold association exceed that of one made elsewhere."""


class Difference(NamedTuple):
    """Of the first model from the second.

    Attributes:
        value: First minus second.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Two-sided.
    """

    value: float
    low: float
    high: float
    p: float


def delong(positive: BoolArray, first: FloatArray, second: FloatArray) -> Difference:
    """Difference of two correlated areas under the ROC curve.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988); the placements are computed from ranks
    (Sun and Xu, IEEE Signal Processing Letters 21:1389, 2014).

    Args:
        positive: ``(n,)`` bool, at least two patients of each kind.
        first: ``(n,)`` scores of one model; higher = more likely positive. ``(n, repeats)`` for the mean
            area over several predictions of each patient.
        second: The same of the other model for the same patients; its repeats may be more or fewer.

    Returns:
        Normal interval and test. If no patient distinguishes the models, the difference is 0 with p = 1.

    Raises:
        CohortError: Fewer than two patients of a kind.

    Example:
        >>> truth = np.array([False, False, False, True, True, True])
        >>> found = delong(truth, np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 2, 4, 3, 5, 6]))
        >>> round(found.value, 4), found.p > 0.05
        (0.1111, True)
    """
    counts = int(positive.sum()), int((~positive).sum())
    if min(counts) < 2:
        raise CohortError(
            "Compare two ROC curves.",
            f"{counts[0]} positive and {counts[1]} negative patients.",
            "At least two of each are needed.",
        )
    placed = [_mean_placements(positive, score.reshape(len(score), -1)) for score in (first, second)]
    value = float(placed[0][0].mean() - placed[1][0].mean())
    parts = [np.cov(np.stack([placed[0][kind], placed[1][kind]])) / counts[kind] for kind in (0, 1)]
    covariance = parts[0] + parts[1]
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    # Rounding leaves a difference of equal models at some 1e-18.
    if variance <= 1e-15:
        return Difference(value, value, value, 1.0 if abs(value) < 1e-12 else 0.0)
    error = float(np.sqrt(variance))
    reach = float(stats.norm.ppf(0.975)) * error
    return Difference(value, value - reach, value + reach, float(2 * stats.norm.sf(abs(value) / error)))


def _mean_placements(positive: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    each = [_placements(positive, score) for score in scores.T]
    return np.mean([pair[0] for pair in each], axis=0), np.mean([pair[1] for pair in each], axis=0)


def _placements(positive: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """For each positive the share of negatives below it, for each negative the share of positives above."""
    levels = Levels(score)
    of_positive = levels.totals(positive.astype(np.float64))
    of_negative = levels.totals((~positive).astype(np.float64))
    below = (np.cumsum(of_negative) - of_negative / 2)[levels.of]
    above = (of_positive.sum() - np.cumsum(of_positive) + of_positive / 2)[levels.of]
    return below[positive] / of_negative.sum(), above[~positive] / of_positive.sum()


def permutation_p(
    score: Callable[[npt.NDArray[np.float64]], float],
    first: FloatArray,
    second: FloatArray,
    *,
    permutations: int = 5000,
    rng: np.random.Generator,
) -> float:
    """Whether two models differ: how often a difference as large arises when they swap patients at random.

    In each permutation a coin decides for each patient whether the models swap their predictions. Exact under
    the hypothesis that it does not matter which model made which prediction. Scores of different models must
    have one scale; ranks make them so.

    Args:
        score: From predictions ``(n, ...)`` of all patients to a number, such as the AUROC.
        first: ``(n, ...)`` predictions of one model.
        second: The same of the other model.
        permutations: How many are drawn.
        rng: The only source of randomness.

    Returns:
        Two-sided p, at least ``1 / (permutations + 1)``.

    Example:
        >>> truth = np.arange(20.0)
        >>> rng = np.random.default_rng(0)
        >>> right, wrong = truth, rng.permutation(truth)
        >>> error = lambda predicted: float(np.abs(predicted - truth).mean())
        >>> permutation_p(error, right, wrong, permutations=200, rng=rng) < 0.01
        True
    """
    observed = abs(score(first) - score(second))
    shape = (len(first),) + (1,) * (np.ndim(first) - 1)
    as_far = 0
    for _ in range(permutations):
        swap = (rng.random(len(first)) < 0.5).reshape(shape)
        one, other = np.where(swap, second, first), np.where(swap, first, second)
        # Rounding must not make an equal difference a smaller one.
        as_far += abs(score(one) - score(other)) >= observed - 1e-12
    return (1 + as_far) / (1 + permutations)


def crossed_p(p: float) -> float:
    """A two-sided p-value as it would be if the variance were :data:`BOTH_WAYS` as large.

    For cross-validated predictions, where each of two patients had a say in the prediction of the other: two
    models that learned noise, or equal ones that learned the same, otherwise differ below p = 0.05 in 13 to
    18 of 100 cohorts (``benchmarks/p_values.py``).

    Example:
        >>> round(crossed_p(0.05), 3), crossed_p(1.0)
        (0.166, 1.0)
    """
    return float(2 * stats.norm.sf(stats.norm.isf(p / 2) / np.sqrt(BOTH_WAYS)))


def holm(p: npt.ArrayLike) -> FloatArray:
    """P-values corrected for being several: the chance of any false claim stays below the level.

    Holm, Scandinavian Journal of Statistics 6:65 (1979).

    Args:
        p: ``(k,)``.

    Returns:
        ``(k,)`` in the same order, at most 1.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return corrected
