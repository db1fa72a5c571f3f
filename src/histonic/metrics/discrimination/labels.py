"""Scores of classifications, ordered or not, and the data of their curves.

Metrics take ``counts``, ``(n,)`` or ``(B, n)``: how often each patient was drawn in a resample, once
each by default. They return one value per row of counts, NaN where the metric is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.metrics.ranks import (
    BoolArray,
    FloatArray,
    IntArray,
    Levels,
    as_counts,
    ratio,
    rows_of_groups,
)

ClassMetric = Callable[[BoolArray, FloatArray, FloatArray], FloatArray]
"""Of one class against the rest: (positive, score, counts) -> values."""


def auroc(
    positive: BoolArray,
    score: FloatArray,
    counts: FloatArray | None = None,
    *,
    within: npt.NDArray[Any] | None = None,
) -> FloatArray:
    """Area under the ROC curve: how often a positive scores above a negative, ties half.

    Hanley and McNeil, Radiology 143:29 (1982).

    Args:
        positive: ``(n,)`` bool.
        score: ``(n,)``, finite; higher = more likely positive.
        counts: See the head of this file.
        within: ``(n,)`` labels; only pairs with equal labels count. With the fold as label, scores of
            different models are not compared.

    Returns:
        One value per row of counts, in [0, 1]; chance 0.5; NaN if no pair counts.

    Example:
        >>> float(auroc(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.8])))
        0.875
    """
    drawn = as_counts(counts, len(score))
    right, pairs = np.zeros(drawn.shape[:-1]), np.zeros(drawn.shape[:-1])
    for rows in rows_of_groups(within, len(score)):
        levels = Levels(score[rows])
        positives = levels.totals(drawn[..., rows] * positive[rows])
        negatives = levels.totals(drawn[..., rows] * ~positive[rows])
        below = np.cumsum(negatives, axis=-1) - negatives / 2
        right += np.sum(positives * below, axis=-1)
        pairs += positives.sum(axis=-1) * negatives.sum(axis=-1)
    return ratio(right, pairs)


def average_precision(positive: BoolArray, score: FloatArray, counts: FloatArray | None = None) -> FloatArray:
    """Area under the precision-recall curve as average precision (no interpolation).

    Args:
        positive: ``(n,)`` bool.
        score: ``(n,)``, finite; higher = more likely positive.
        counts: See the head of this file.

    Returns:
        One value per row of counts, in (0, 1]; chance :func:`chance_precision`; NaN without positives.

    Example:
        >>> round(float(average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.1]))), 4)
        0.8333
    """
    drawn = as_counts(counts, len(score))
    levels = Levels(-score)
    positives = levels.totals(drawn * positive)
    called = np.cumsum(levels.totals(drawn), axis=-1)
    # Where nothing is called yet nothing is weighted either, so any divisor will do.
    precision = np.cumsum(positives, axis=-1) / np.maximum(called, 1)
    return ratio(np.sum(positives * precision, axis=-1), positives.sum(axis=-1))


def chance_precision(positives: int, n: int) -> float:
    """Mean average precision of a random order, which is above the prevalence in small samples.

    Mean over ranks k of E[precision at k | positive at k]. Bestgen, PLOS ONE 10:e0118432 (2015).

    Example:
        >>> round(chance_precision(1, 2), 3), round(chance_precision(3000, 10000), 3)
        (0.75, 0.301)
    """
    if n < 2:
        return float(positives)
    harmonic = float(np.sum(1 / np.arange(1, n + 1)))
    return (harmonic + (positives - 1) / (n - 1) * (n - harmonic)) / n


def macro(
    metric: ClassMetric,
    truth: IntArray,
    scores: FloatArray,
    counts: FloatArray,
    classes: Sequence[int] | None = None,
) -> FloatArray:
    """Mean of a metric over the classes, each against the rest.

    Args:
        metric: :func:`auroc` or :func:`average_precision`.
        truth: ``(n,)`` class index.
        scores: ``(n, K)``, a column per class.
        counts: See the head of this file.
        classes: Those to average over; all that some patient has by default.

    Returns:
        One value per row of counts. Classes that no patient has are left out; NaN if a class that
        some patient has is absent from the resample.
    """
    chosen = np.unique(truth) if classes is None else classes
    values = [metric(truth == k, scores[:, k], counts) for k in chosen]
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)


def most_probable(probabilities: FloatArray) -> IntArray:
    """``(n,)``, of ``(n, K)`` the most probable class; at a draw the first of them."""
    return np.asarray(np.argmax(probabilities, axis=1), dtype=np.int64)


def median_class(probabilities: FloatArray) -> IntArray:
    """``(n,)``, of ``(n, K)`` over ordered classes the first with which half of the probability is reached.

    No other class has a smaller expected distance from the truth, counted in classes.

    Example:
        >>> median_class(np.array([[0.4, 0.2, 0.4], [0.6, 0.3, 0.1], [0.5, 0.0, 0.5]])).tolist()
        [1, 0, 0]
    """
    reached = np.cumsum(probabilities, axis=1)
    half = reached[:, -1:] / 2
    return np.asarray(np.argmax(reached >= half - DRAW, axis=1), dtype=np.int64)


CALLED: dict[str, Callable[[FloatArray], IntArray]] = {
    "most probable": most_probable,
    "median": median_class,
}
"""By the word that a table of predictions has for it, how a class is called from probabilities alone."""
DRAW = 1e-9
"""Probabilities that differ by less are the same; they are written with nine digits."""


def confusion(
    truth: IntArray, predicted: IntArray, classes: int, counts: FloatArray | None = None
) -> FloatArray:
    """How many patients of each class (rows) were called what (columns).

    Returns:
        ``(..., K, K)``, one matrix per row of counts.

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    drawn = as_counts(counts, len(truth))
    cell = np.eye(classes * classes)[truth * classes + predicted]
    return np.asarray(drawn @ cell, dtype=np.float64).reshape(*drawn.shape[:-1], classes, classes)


def accuracy(table: FloatArray) -> FloatArray:
    """Share of right calls of :func:`confusion` tables ``(..., K, K)``."""
    return ratio(np.trace(table, axis1=-2, axis2=-1), table.sum(axis=(-2, -1)))


def chance_accuracy(table: FloatArray) -> float:
    """Accuracy expected if calls with these frequencies knew nothing of the truth."""
    total = table.sum()
    return float((table.sum(axis=0) / total) @ (table.sum(axis=1) / total))


def balanced_accuracy(table: FloatArray, present: BoolArray | None = None) -> FloatArray:
    """Mean over classes of the share called right.

    Args:
        table: ``(..., K, K)`` of :func:`confusion`.
        present: ``(K,)``, the classes to average over; all by default.

    Returns:
        ``(...)``, chance one by the number of classes; NaN if one of the classes has no patient.
    """
    right = ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1))
    chosen = right if present is None else right[..., present]
    return np.asarray(np.mean(chosen, axis=-1), dtype=np.float64)[()]


def quadratic_kappa(table: FloatArray) -> FloatArray:
    """Agreement beyond chance, disagreements weighted by the squared distance of the classes.

    Cohen, Psychological Bulletin 70:213 (1968).

    Args:
        table: ``(..., K, K)`` of :func:`confusion`, classes in order.

    Returns:
        ``(...)`` in [-1, 1]; chance 0; NaN if truth and calls are all of one and the same class.

    Example:
        >>> float(quadratic_kappa(np.diag([3.0, 4.0, 5.0])))
        1.0
    """
    return 1 - ratio(*_disagreement(table))


def quadratic_kappa_within(
    truth: IntArray,
    predicted: IntArray,
    classes: int,
    counts: FloatArray | None = None,
    *,
    within: npt.NDArray[Any] | None = None,
) -> FloatArray:
    """:func:`quadratic_kappa` with the disagreement by chance taken within groups.

    Observed and expected disagreement are summed over the groups. With the fold as group, calls of models
    that learned other shares of the classes are not held against patients of other folds: calls that know
    nothing get 0 whatever the shares in each fold. Within several groups, chance is the mean over pairs of
    different patients, so that small groups are not too low; a single group gives the usual kappa.

    Args:
        truth: ``(n,)`` class index.
        predicted: ``(n,)`` class index.
        classes: How many there are.
        counts: See the head of this file.
        within: ``(n,)`` labels; one group by default.

    Returns:
        One value per row of counts, at most 1; NaN if nothing is expected to disagree.

    Example:
        >>> truth, called = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
        >>> fold = np.array([0, 0, 0, 1, 1, 1])
        >>> round(float(quadratic_kappa_within(truth, called, 2)), 3)
        0.333
        >>> float(quadratic_kappa_within(truth, called, 2, within=fold))
        0.0
    """
    drawn = as_counts(counts, len(truth))
    groups = rows_of_groups(within, len(truth))
    seen, chance = np.zeros(drawn.shape[:-1]), np.zeros(drawn.shape[:-1])
    for rows in groups:
        table = confusion(truth[rows], predicted[rows], classes, drawn[..., rows])
        here, expected = _disagreement(table)
        if len(groups) > 1:
            count = table.sum(axis=(-2, -1))
            # Who is alone in a fold has nobody to be compared with.
            expected = np.where(count > 1, (count * expected - here) / np.maximum(count - 1, 1), 0.0)
            here = np.where(count > 1, here, 0.0)
        seen, chance = seen + here, chance + expected
    return 1 - ratio(seen, chance)


def _disagreement(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of :func:`confusion` tables ``(..., K, K)`` the squared distances seen, and expected by chance."""
    index = np.arange(table.shape[-1])
    penalty = (index[:, None] - index) ** 2.0
    rows, columns = table.sum(axis=-1), table.sum(axis=-2)
    expected = np.sum((rows @ penalty) * columns, axis=-1) / np.maximum(rows.sum(axis=-1), 1)
    return np.sum(table * penalty, axis=(-2, -1)), expected


def brier(truth: IntArray, probabilities: FloatArray, counts: FloatArray | None = None) -> FloatArray:
    """Mean squared error of probabilities; smaller is better.

    Brier, Monthly Weather Review 78:1 (1950), halved for two classes as is usual.

    Args:
        truth: ``(n,)`` class index.
        probabilities: ``(n, K)``, rows sum to 1.
        counts: See the head of this file.

    Returns:
        One value per row of counts, in [0, 1] for two classes, else in [0, 2].
    """
    drawn = as_counts(counts, len(truth))
    error = np.sum((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2, axis=1)
    scale = 0.5 if probabilities.shape[1] == 2 else 1.0
    return ratio(scale * (drawn @ error), drawn.sum(axis=-1))


class Curve(NamedTuple):
    """Points of a curve; ``x`` does not fall."""

    x: FloatArray
    y: FloatArray


def _called(positive: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Positives and negatives called positive as the threshold falls over the distinct scores."""
    levels = Levels(-score)
    hits = np.cumsum(levels.totals(positive.astype(np.float64)))
    false_alarms = np.cumsum(levels.totals((~positive).astype(np.float64)))
    return hits, false_alarms


def roc_curve(positive: BoolArray, score: FloatArray) -> Curve:
    """False positive rate ``x`` and true positive rate ``y`` from (0, 0) to (1, 1).

    Both classes must occur. Points on a straight line between their neighbours are left out.

    Example:
        >>> curve = roc_curve(np.array([True, False]), np.array([0.9, 0.2]))
        >>> curve.x.tolist(), curve.y.tolist()
        ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0])
    """
    hits, false_alarms = (np.concatenate(([0.0], part)) for part in _called(positive, score))
    bends = np.ones(len(hits), dtype=bool)
    bends[1:-1] = (
        np.diff(hits)[:-1] * np.diff(false_alarms)[1:] != np.diff(hits)[1:] * np.diff(false_alarms)[:-1]
    )
    return Curve(false_alarms[bends] / false_alarms[-1], hits[bends] / hits[-1])


def precision_recall_curve(positive: BoolArray, score: FloatArray) -> Curve:
    """Recall ``x`` and precision ``y`` as the threshold falls; at least one positive must occur."""
    hits, false_alarms = _called(positive, score)
    return Curve(hits / hits[-1], hits / (hits + false_alarms))
