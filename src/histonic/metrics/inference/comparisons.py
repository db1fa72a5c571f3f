"""Comparing two models on the same patients: DeLong, permutation, and correction for several comparisons.

The paired bootstrap needs nothing of its own: :func:`histonic.metrics.inference.intervals.bootstrap` draws
the same patients for all statistics that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from histonic.core.errors import CohortError
from histonic.metrics.ranks import BoolArray, FloatArray, Levels, rows_of_groups

_Scored = Callable[[FloatArray], float]
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


def delong(
    positive: BoolArray,
    first: FloatArray,
    second: FloatArray,
    *,
    folds: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
) -> Difference:
    """Difference of two correlated areas under the ROC curve.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988); the placements are computed from ranks
    (Sun and Xu, IEEE Signal Processing Letters 21:1389, 2014). Within folds the areas are the shares of all
    pairs of patients of the same fold, and the variance is that of a sample stratified by fold.

    Args:
        positive: ``(n,)`` bool, at least two patients of each kind.
        first: ``(n,)`` scores of one model; higher = more likely positive. ``(n, repeats)`` for the mean
            area over several predictions of each patient.
        second: The same of the other model for the same patients; its repeats may be more or fewer.
        folds: Of the first and of the second model, each of the shape of its scores: only pairs of the same
            fold count. All pairs by default.

    Returns:
        Normal interval and test. If no patient distinguishes the models, the difference is 0 with p = 1.

    Raises:
        CohortError: Fewer than two patients of a kind, or no two different ones in any fold.

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
    n = len(positive)
    scores = [score.reshape(n, -1) for score in (first, second)]
    labels = (
        [np.zeros_like(score) for score in scores] if folds is None else [f.reshape(n, -1) for f in folds]
    )
    areas, influences = zip(
        *(_areas(positive, score, fold) for score, fold in zip(scores, labels, strict=True)), strict=True
    )
    value = float(areas[0] - areas[1])
    variance = _stratified_variance(influences[0] - influences[1], positive, np.concatenate(labels, axis=1))
    # Rounding leaves a difference of equal models at some 1e-18.
    if variance <= 1e-15:
        return Difference(value, value, value, 1.0 if abs(value) < 1e-12 else 0.0)
    error = float(np.sqrt(variance))
    reach = float(stats.norm.ppf(0.975)) * error
    return Difference(value, value - reach, value + reach, float(2 * stats.norm.sf(abs(value) / error)))


def _areas(positive: BoolArray, scores: FloatArray, folds: npt.NDArray[Any]) -> tuple[float, FloatArray]:
    """Mean area over the repeats, and the influence of each patient on it ``(n,)``."""
    found = [_area(positive, score, fold) for score, fold in zip(scores.T, folds.T, strict=True)]
    return float(np.mean([each[0] for each in found])), np.mean([each[1] for each in found], axis=0)


def _area(positive: BoolArray, score: FloatArray, fold: npt.NDArray[Any]) -> tuple[float, FloatArray]:
    """Area of the pairs within folds, and how much it changes with the weight of each patient."""
    right, pairs = np.zeros(len(score)), np.zeros(len(score))
    for rows in rows_of_groups(fold, len(score)):
        here, levels = positive[rows], Levels(score[rows])
        of_positive, of_negative = (levels.totals(kind.astype(np.float64)) for kind in (here, ~here))
        below = (np.cumsum(of_negative) - of_negative / 2)[levels.of]
        above = (of_positive.sum() - np.cumsum(of_positive) + of_positive / 2)[levels.of]
        right[rows] = np.where(here, below, above)
        pairs[rows] = np.where(here, of_negative.sum(), of_positive.sum())
    total = pairs[positive].sum()
    if not total:
        raise CohortError(
            "Compare two ROC curves.",
            "No fold holds a positive and a negative patient.",
            "Compare runs whose folds hold patients of both classes.",
        )
    area = right[positive].sum() / total
    return float(area), (right - area * pairs) / total


def _stratified_variance(influence: FloatArray, positive: BoolArray, folds: npt.NDArray[Any]) -> float:
    """Of a sum of influences: of each class by itself, and of each fold if all repeats have the same.

    A patient who is alone in a stratum has no spread there, and gets the mean one of the class's others.
    """
    numbers = [np.unique(fold, return_inverse=True)[1] for fold in folds.T]
    alike = all(np.array_equal(numbers[0], other) for other in numbers[1:])
    variance = 0.0
    for kind in (positive, ~positive):
        of = numbers[0][kind] if alike else np.zeros(int(kind.sum()), np.int64)
        if np.bincount(of).max() < 2:
            of = np.zeros_like(of)
        values, sizes = influence[kind], np.bincount(of)
        mean = np.bincount(of, values) / np.maximum(sizes, 1)
        many = sizes[of] > 1
        each = (values - mean[of])[many] ** 2 * (sizes[of] / np.maximum(sizes[of] - 1, 1))[many]
        variance += float(each.sum() + each.mean() * np.sum(~many))
    return variance


def permutation_p(
    score: _Scored | tuple[_Scored, _Scored],
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
        score: From predictions ``(n, ...)`` of all patients to a number, such as the AUROC. Two functions
            where the models' predictions are scored in folds of their own.
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
    of_first, of_second = score if isinstance(score, tuple) else (score, score)
    observed = abs(of_first(first) - of_second(second))
    shape = (len(first),) + (1,) * (np.ndim(first) - 1)
    as_far = 0
    for _ in range(permutations):
        swap = (rng.random(len(first)) < 0.5).reshape(shape)
        one, other = np.where(swap, second, first), np.where(swap, first, second)
        # Rounding must not make an equal difference a smaller one.
        as_far += abs(of_first(one) - of_second(other)) >= observed - 1e-12
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
