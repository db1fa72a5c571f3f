"""Scores of predicted values, and their chance levels.

Metrics take ``counts`` as in :mod:`histonic.metrics.discrimination.labels`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.metrics.ranks import FloatArray, Levels, as_counts, centred_ranks, ratio, rows_of_groups

DOMINATING = 3
"""Patients are few up to here."""
PAIRS_AT_ONCE = 2**20
"""Pairs of patients held in memory at a time."""


def spearman(
    truth: FloatArray,
    predicted: FloatArray,
    counts: FloatArray | None = None,
    *,
    within: npt.NDArray[Any] | None = None,
) -> FloatArray:
    """Rank correlation; ties share the mean of their ranks.

    Args:
        truth: ``(n,)``.
        predicted: ``(n,)``; any rising function of it gives the same.
        counts: ``(n,)`` or ``(B, n)``.
        within: ``(n,)`` labels; ranks are taken within groups, see :func:`spearman_within`, if there are
            several.

    Returns:
        One value per row of counts, in [-1, 1]; chance 0; NaN if either is constant.

    Example:
        >>> round(float(spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 9]))), 6)
        0.8
    """
    drawn = as_counts(counts, len(truth))
    if within is not None and len(np.unique(within)) > 1:
        return spearman_within(truth, predicted, within, drawn)
    x, y = (centred_ranks(Levels(values), drawn) for values in (truth, predicted))
    weighted = drawn * y
    spread = np.sum(drawn * x * x, axis=-1) * np.sum(weighted * y, axis=-1)
    return ratio(np.sum(weighted * x, axis=-1), np.sqrt(spread))


def spearman_within(
    truth: FloatArray, predicted: FloatArray, within: npt.NDArray[Any], counts: FloatArray | None = None
) -> FloatArray:
    """Rank correlation of patients of the same group, groups weighted by their pairs.

    Spearman's correlation is three times the excess of concordant over discordant triples (one patient's
    truth and prediction set against the truth of a second and the prediction of a third one). Ranks count
    the pairs, too, in which second and third are the same patient, which draws the correlation of a small
    group towards Kendall's; they are taken out here, so that the value does not depend on the sizes of the
    groups (Hoeffding, Annals of Mathematical Statistics 19:293, 1948).

    Args:
        truth: ``(n,)``.
        predicted: ``(n,)``.
        within: ``(n,)`` labels of the groups; those of fewer than three patients say nothing.
        counts: ``(n,)`` or ``(B, n)``.

    Returns:
        One value per row of counts, in [-1, 1]; chance 0; NaN if either is constant within every group.

    Example:
        >>> fold = np.array([0, 0, 0, 1, 1, 1])
        >>> truth, level = np.array([1.0, 2, 3, 7, 8, 9]), np.array([20.0, 21, 22, 1, 2, 3])
        >>> float(spearman_within(truth, level, fold)), round(float(spearman(truth, level)), 2)
        (1.0, -0.54)
    """
    drawn = as_counts(counts, len(truth))
    sums = np.zeros((3, *drawn.shape[:-1]))
    for rows in rows_of_groups(within, len(truth)):
        if len(rows) > 2:
            sums += _triples(truth[rows], predicted[rows], drawn[..., rows])
    crossed, of_truth, of_predicted = sums
    value = ratio(crossed, np.sqrt(np.maximum(of_truth * of_predicted, 0.0)))
    return np.clip(value, -1.0, 1.0)


def _triples(truth: FloatArray, predicted: FloatArray, drawn: FloatArray) -> FloatArray:
    """Excess of concordant triples a patient, of truth with prediction and of each with itself: ``(3, ...)``.

    Of n different values it is n (n - 1) / 3 for a value with itself: the weight of a group is its pairs.
    """
    x, y = (centred_ranks(Levels(values), drawn) for values in (truth, predicted))
    total = drawn.sum(axis=-1)
    sums = [np.sum(drawn * one * other, axis=-1) for one, other in ((x, y), (x, x), (y, y))]
    found = 4 * np.array(sums) - _concordant_pairs(truth, predicted, drawn)
    return np.where(total > 2, found / np.maximum(total - 2, 1), 0.0)


def _concordant_pairs(truth: FloatArray, predicted: FloatArray, drawn: FloatArray) -> FloatArray:
    """Concordant less discordant ordered pairs, of the same two values as in :func:`_triples`."""
    found = np.zeros((3, *drawn.shape[:-1]))
    step = max(1, PAIRS_AT_ONCE // len(truth))
    for start in range(0, len(truth), step):
        rows = slice(start, start + step)
        x, y = (np.sign(values[rows, None] - values) for values in (truth, predicted))
        for at, agree in enumerate((x * y, x * x, y * y)):
            found[at] += np.sum((drawn[..., rows] @ agree) * drawn, axis=-1)
    return found


def mean_absolute_error(
    truth: FloatArray, predicted: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Mean distance of predicted and true value, in their unit; smaller is better."""
    drawn = as_counts(counts, len(truth))
    return ratio(drawn @ np.abs(truth - predicted), drawn.sum(axis=-1))


def median_absolute_error(
    truth: FloatArray, predicted: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Median distance of predicted and true value, in their unit; a few wild patients do not move it.

    Example:
        >>> float(median_absolute_error(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 5, 99])))
        1.5
    """
    drawn = as_counts(counts, len(truth))
    levels = Levels(np.abs(truth - predicted))
    reached = np.cumsum(levels.totals(drawn), axis=-1)
    half = reached[..., -1:] / 2
    lower, upper = (levels.values[np.argmax(side, axis=-1)] for side in (reached >= half, reached > half))
    return np.where(half[..., 0] > 0, (lower + upper) / 2, np.nan)[()]


def dominating(parts: FloatArray) -> npt.NDArray[np.int64]:
    """The few patients who together make up at least half of a sum, largest first; empty if it takes more.

    Few are three, or one in a hundred. Means of such values, and intervals of them, rest on too few patients.

    Args:
        parts: ``(n,)``, not negative.

    Example:
        >>> dominating(np.append(np.ones(50), 900.0)).tolist(), dominating(np.ones(50)).tolist()
        ([50], [])
    """
    order = np.argsort(-parts, kind="stable")
    needed = int(np.searchsorted(np.cumsum(parts[order]), parts.sum() / 2)) + 1
    few = needed <= max(DOMINATING, len(parts) // 100) and needed * 6 <= len(parts) and parts.sum() > 0
    return order[:needed] if few else order[:0]


def explained_variance(
    truth: FloatArray, predicted: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """R², 1 minus the squared error relative to that about the mean of the truth.

    Returns:
        One value per row of counts, at most 1; 0 = as good as the mean, below 0 = worse than the
        mean; NaN if the truth is constant.

    Example:
        >>> float(explained_variance(np.array([1.0, 2, 3]), np.array([2.0, 2, 2])))
        0.0
    """
    drawn = as_counts(counts, len(truth))
    total = drawn.sum(axis=-1)
    # Centred first: a large common offset would cancel badly in the sum of squares.
    centred = truth - truth.mean()
    mean = ratio(drawn @ centred, total)
    spread = np.sum(drawn * (centred - np.asarray(mean)[..., None]) ** 2, axis=-1)
    constant = np.count_nonzero(Levels(truth).totals(drawn), axis=-1) < 2
    return 1 - ratio(drawn @ (truth - predicted) ** 2, np.where(constant, 0.0, spread))


def linear_calibration_slope(
    truth: FloatArray, predicted: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Slope of the least-squares line of truth on prediction; see :func:`calibration_line`.

    Returns:
        One value per row of counts; 1 is right, below 1 the predictions are too extreme; NaN if they do
        not vary.

    Example:
        >>> float(linear_calibration_slope(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 4.0])))
        0.5
    """
    drawn = as_counts(counts, len(truth))
    total = drawn.sum(axis=-1)
    # Centred first: a large common offset would cancel badly in the sums of squares.
    x, y = predicted - predicted.mean(), truth - truth.mean()
    mean_x, mean_y = ratio(drawn @ x, total), ratio(drawn @ y, total)
    spread = drawn @ (x * x) - total * mean_x**2
    constant = np.count_nonzero(Levels(predicted).totals(drawn), axis=-1) < 2
    return ratio(drawn @ (x * y) - total * mean_x * mean_y, np.where(constant, 0.0, spread))


def mean_of_other_folds(truth: FloatArray, fold: npt.NDArray[Any]) -> FloatArray:
    """For each patient the mean truth of the patients of all other folds.

    What a model would predict that has learned nothing from the slides; its error is the chance
    level of :func:`mean_absolute_error`. With a single fold it is the mean of all.

    Args:
        truth: ``(n,)``, or ``(n, K)`` for class shares.
        fold: ``(n,)`` labels of the folds.

    Example:
        >>> mean_of_other_folds(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1])).tolist()
        [5.0, 5.0, 2.0]
    """
    predicted = np.empty_like(truth, dtype=np.float64)
    for name in np.unique(fold):
        here = fold == name
        predicted[here] = truth.mean(axis=0) if here.all() else truth[~here].mean(axis=0)
    return predicted


class Line(NamedTuple):
    """Straight line of truth on prediction; slope 1 and intercept 0 are perfect calibration."""

    slope: float
    intercept: float


def calibration_line(truth: FloatArray, predicted: FloatArray) -> Line | None:
    """Least-squares line of truth on prediction; None if all predictions are equal.

    A slope below 1 means that predictions are too extreme.

    Example:
        >>> calibration_line(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 4.0]))
        Line(slope=0.5, intercept=1.0)
    """
    if np.ptp(predicted) == 0:
        return None
    centred = predicted - predicted.mean()
    slope = float(centred @ (truth - truth.mean()) / (centred @ centred))
    return Line(slope, float(truth.mean() - slope * predicted.mean()))
