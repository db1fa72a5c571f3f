"""Scores of predictions of tiles: intervals that resample groups, and the paired test of two models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from histonic.core.task import Task
from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference.intervals import CONFIDENCE, COUNTS_AT_ONCE, Statistic, bootstrap
from histonic.metrics.inference.scores import Measure, Score, score_measures
from histonic.metrics.ranks import FloatArray, IntArray

RESAMPLES = 2000
FEW_GROUPS = 10
"""Below this the score says how few groups its interval rests on."""


@dataclass(frozen=True)
class TilePredictions:
    """What one model says of ``n`` tiles whose truth is known.

    Attributes:
        task: The target.
        truth: ``(n,)`` class index or value, finite.
        outputs: ``(n, K)``: a number per class, the highest is called, probabilities where the model gives
            them; ``(n, 1)`` the value for regression.
        group: ``(n,)`` int; tiles with the same number come from the same patient, slide or field.
    """

    task: Task
    truth: FloatArray
    outputs: FloatArray
    group: IntArray

    @property
    def called(self) -> IntArray:
        """``(n,)`` index of the class that is called."""
        return np.asarray(self.outputs.argmax(axis=1), dtype=np.int64)


def group_numbers(names: npt.ArrayLike) -> IntArray:
    """Numbers of groups by name; every tile without a name is a group of its own.

    Args:
        names: ``(n,)`` text, empty where the group is unknown.

    Returns:
        ``(n,)`` from 0 on, without gaps.

    Example:
        >>> group_numbers(["b", "a", "b", "", ""]).tolist()
        [3, 2, 3, 0, 1]
    """
    # A prefix keeps the numbers of nameless tiles apart from groups that are named by numbers.
    keys = [f"1{name}" if name else f"0{row:012d}" for row, name in enumerate(np.asarray(names).astype(str))]
    return np.asarray(np.unique(keys, return_inverse=True)[1], dtype=np.int64)


def tile_measures(predictions: TilePredictions) -> list[Measure]:
    """Measures over tiles, the leading one first: statistics take counts ``(B, n)`` of tiles.

    Balanced accuracy and AUROC (mean over the classes, each against the rest) of classes; also quadratic
    kappa and the rank correlation of the expected class if they are ordered; Spearman and R² of values.
    """
    task, truth = predictions.task, predictions.truth
    if not task.is_classification:
        value = predictions.outputs[:, 0]
        return [
            Measure("Spearman correlation", partial(regression.spearman, truth, value), 0.0),
            Measure("R2", partial(regression.explained_variance, truth, value), 0.0),
        ]
    measures = _class_measures(predictions)
    if task.kind == "ordinal":
        expected = predictions.outputs @ np.arange(predictions.outputs.shape[1])
        kappa = _of_confusion(predictions, labels.quadratic_kappa)
        measures += [
            Measure("Quadratic weighted kappa", kappa, 0.0),
            Measure("Spearman correlation", partial(regression.spearman, truth, expected), 0.0),
        ]
    return measures


def leading_value(predictions: TilePredictions) -> float:
    """The leading measure; a constant prediction has no rank correlation and is then as good as chance, 0."""
    value = float(tile_measures(predictions)[0].statistic(np.ones((1, len(predictions.truth))))[0])
    return value if np.isfinite(value) else 0.0


def _class_measures(predictions: TilePredictions) -> list[Measure]:
    truth, outputs = predictions.truth.astype(np.int64), predictions.outputs
    present = np.bincount(truth, minlength=outputs.shape[1]) > 0
    # Groups, not tiles, are the independent units of an interval where all calls are right.
    units = min(len(np.unique(predictions.group[truth == k])) for k in np.flatnonzero(present))
    right = _of_confusion(predictions, lambda table: labels.balanced_accuracy(table, present))
    area: Statistic = partial(labels.macro, labels.auroc, truth, outputs)
    if predictions.task.kind == "binary":
        area = partial(labels.auroc, truth == 1, outputs[:, 1] - outputs[:, 0])
    return [
        Measure("Balanced accuracy", right, 1 / int(present.sum()), units=units),
        Measure("AUROC", area, 0.5, units=units),
    ]


def _of_confusion(predictions: TilePredictions, of: Callable[[FloatArray], FloatArray]) -> Statistic:
    truth, called = predictions.truth.astype(np.int64), predictions.called
    classes = predictions.outputs.shape[1]
    return lambda counts: of(labels.confusion(truth, called, classes, counts))


def _over_groups(statistic: Statistic, group: IntArray) -> Statistic:
    """The statistic for counts of groups: all tiles of a group are drawn together."""

    def of_groups(counts: FloatArray) -> FloatArray:
        step = max(1, COUNTS_AT_ONCE // len(group))
        parts = [statistic(counts[start : start + step, group]) for start in range(0, len(counts), step)]
        return np.concatenate(parts)

    return of_groups


def score_tiles(
    predictions: TilePredictions, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[Score, ...]:
    """Score predictions of tiles, with 95 % intervals by resampling groups.

    Args:
        predictions: Of the tiles to be scored.
        seed: Of the resamples.
        resamples: How often the groups are drawn with replacement.

    Returns:
        The scores, the leading one first; no interval where all tiles are of one group.

    Example:
        >>> task = Task("tumour", "binary", ("label",), ("no", "yes"))
        >>> outputs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
        >>> predictions = TilePredictions(task, np.array([0.0, 1, 1, 1]), outputs, np.arange(4))
        >>> [(score.name, round(score.value, 3)) for score in score_tiles(predictions, resamples=100)]
        [('Balanced accuracy', 0.833), ('AUROC', 1.0)]
    """
    measures = [
        replace(measure, statistic=_over_groups(measure.statistic, predictions.group))
        for measure in tile_measures(predictions)
    ]
    return _with_intervals(measures, predictions.group, seed, resamples)


def _with_intervals(
    measures: Sequence[Measure], group: IntArray, seed: int, resamples: int
) -> tuple[Score, ...]:
    """Scores of measures whose statistics take counts of groups."""
    groups = int(group.max()) + 1
    rng = np.random.default_rng([seed, 11])
    scores = score_measures(measures, groups, resamples=resamples, rng=rng)
    if groups == 1:
        note = "All tiles are of one group: no interval."
        return tuple(replace(score, low=None, high=None, note=note) for score in scores)
    if groups < FEW_GROUPS:
        note = f"Interval from {groups} groups only."
        return tuple(replace(score, note=f"{score.note} {note}".strip()) for score in scores)
    return scores


def score_mean(models: Sequence[TilePredictions], *, seed: int = 0, resamples: int = RESAMPLES) -> Score:
    """The leading measure, mean over models that differ in their seed only, with an interval by group.

    Args:
        models: One entry a seed, all of the same tiles.
        seed: Of the resamples.
        resamples: How often the groups are drawn with replacement.
    """
    leading = tile_measures(models[0])[0]
    measure = replace(leading, statistic=partial(_mean_leading, models))
    return _with_intervals([measure], models[0].group, seed, resamples)[0]


@dataclass(frozen=True)
class Resampled:
    """The mean leading measure of some models, and what it would be on other draws of the test groups.

    Attributes:
        value: On the groups as they are.
        drawn: ``(B,)`` on resamples, the same ones for all models of the same tiles; NaN where undefined.
            None if there is one group only.
    """

    value: float
    drawn: FloatArray | None


def resample_leading(
    models: Sequence[TilePredictions], *, seed: int = 0, resamples: int = RESAMPLES
) -> Resampled:
    """The leading measure, mean over models of the same tiles, on resamples of the groups.

    Args:
        models: One entry a seed.
        seed: The same seed gives the same resamples, so that what is hard about a group cancels in
            differences.
        resamples: How often the groups are drawn with replacement.
    """
    statistic = partial(_mean_leading, models)
    groups = int(models[0].group.max()) + 1
    value = float(np.mean([leading_value(model) for model in models]))
    if groups == 1:
        return Resampled(value, None)
    return Resampled(value, bootstrap([statistic], groups, resamples, np.random.default_rng([seed, 13]))[0])


def mean_over_tasks(each: Sequence[Resampled]) -> Resampled:
    """Mean over tasks; tasks whose tiles are all of one group count as they are."""
    value = float(np.mean([one.value for one in each]))
    drawn = [one.drawn for one in each if one.drawn is not None]
    if not drawn:
        return Resampled(value, None)
    fixed = sum(one.value for one in each if one.drawn is None)
    total = np.asarray((np.sum(drawn, axis=0) + fixed) / len(each), dtype=np.float64)
    return Resampled(value, total)


def middle(drawn: FloatArray | None) -> tuple[float | None, float | None]:
    """Ends of the 95 % percentile interval; None without resamples."""
    values = np.empty(0) if drawn is None else drawn[np.isfinite(drawn)]
    if not len(values):
        return None, None
    low, high = np.quantile(values, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Paired:
    """The difference of two models on the same tiles.

    Attributes:
        difference: Leading measure of the first minus that of the second.
        low: Lower end of the 95 % interval of the difference; None where all tiles are of one group.
        high: Upper end.
        p: Two-sided p-value of no difference.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None


def compare_resampled(first: Resampled, second: Resampled) -> Paired:
    """Paired bootstrap test of two models on the same resamples of the same groups.

    The p-value is twice the smaller share of resamples on either side of zero, equal ones counting half,
    and at least 1 / resamples (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

    Example:
        >>> task = Task("tumour", "binary", ("label",), ("no", "yes"))
        >>> outputs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
        >>> same = resample_leading([TilePredictions(task, np.array([0.0, 1, 1, 1]), outputs, np.arange(4))])
        >>> compare_resampled(same, same).p
        1.0
    """
    value = first.value - second.value
    if first.drawn is None or second.drawn is None:
        return Paired(value, None, None, None)
    drawn = first.drawn - second.drawn
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Paired(value, None, None, None)
    tied = np.mean(drawn == 0) / 2
    p = 2 * min(np.mean(drawn < 0) + tied, np.mean(drawn > 0) + tied)
    return Paired(value, *middle(drawn), float(np.clip(p, 1 / len(drawn), 1.0)))


def standard_deviation(values: Sequence[float]) -> float | None:
    """Of a sample; None for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def beyond_two_sd(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the means over seeds differ by more than twice the larger standard deviation.

    The reading of Mormont et al. (2021). It says what another seed might change, not what other tiles might.
    With one seed there is no standard deviation, and nothing differs.

    Example:
        >>> beyond_two_sd([0.80, 0.82, 0.81], [0.70, 0.72, 0.71])
        True
    """
    one, other = standard_deviation(first), standard_deviation(second)
    if one is None or other is None:
        return False
    return bool(abs(np.mean(first) - np.mean(second)) > 2 * max(one, other))


def _mean_leading(models: Sequence[TilePredictions], counts: FloatArray) -> FloatArray:
    values = [_over_groups(tile_measures(model)[0].statistic, model.group)(counts) for model in models]
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)
