"""Evaluation of classes, ordered or not: measures and the data of ROC, calibration and confusion."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.metrics.calibration import probabilities as calibration
from histonic.metrics.calibration.decision import net_benefit
from histonic.metrics.calibration.probabilities import calibration_bins
from histonic.metrics.calibration.smooth import FEWEST_OF_A_CLASS, SmoothCalibration, smooth_calibration
from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference.scores import Measure
from histonic.metrics.ranks import FloatArray
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.curves import (
    ClassBins,
    ClassCurves,
    ClassLine,
    Confusion,
    DecisionCurve,
    Scatter,
)
from histonic.stages.evaluate.evaluated import (
    Evaluated,
    bins_of,
    decision_thresholds,
    fold_or_none,
    listed,
    met_classes,
    require_patients,
    within_folds,
)


class _Labelled(NamedTuple):
    """Classification predictions of the patients with a truth."""

    table: PredictionTable
    truth: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    probabilities: FloatArray
    fold: npt.NDArray[Any]

    def one_hot(self) -> FloatArray:
        return np.eye(self.probabilities.shape[1])[self.truth]

    def confusion(self, counts: FloatArray | None = None) -> FloatArray:
        return labels.confusion(self.truth, self.predicted, self.probabilities.shape[1], counts)


def _read_labelled(table: PredictionTable) -> _Labelled:
    task = table.task
    table = table.rows(table.has_truth())
    truth = table.classes("truth")
    found = np.unique(truth)
    only = f"All {len(truth)} patients are {task.classes[found[0]]!r}." if len(found) else ""
    require_patients(task, n=len(truth), varies=len(found) > 1, constant=only)
    fold = table.numbers("fold")
    return _Labelled(table, truth, table.classes("predicted"), table.probabilities(), fold)


def _class_measures(cases: _Labelled) -> list[Measure]:
    """AUROC and AUPRC of the positive class, or their means over all classes."""
    truth, probabilities, fold = cases.truth, cases.probabilities, fold_or_none(cases.fold)
    smallest = int(np.bincount(truth)[np.unique(truth)].min())
    if cases.table.task.kind == "binary":
        positive, score = truth == 1, probabilities[:, 1]
        chance = labels.chance_precision(int(positive.sum()), len(truth))
        area = Measure("AUROC", partial(labels.auroc, positive, score, within=fold), 0.5, units=smallest)
        precision = partial(labels.average_precision, positive, score)
        return [
            *within_folds(area, partial(labels.auroc, positive, score), cases.fold, cases.table),
            Measure("AUPRC", precision, chance, units=int(positive.sum()), scale="logit"),
        ]
    present = np.bincount(truth)[np.unique(truth)]
    chance = float(np.mean([labels.chance_precision(int(m), len(truth)) for m in present]))
    note = "Mean over the classes, each against the rest."
    met = met_classes(truth, fold)
    alone = [cases.table.task.classes[k] for k in np.unique(truth) if k not in met]
    left_out = f" Without {', '.join(alone)}, which no fold has beside another class." if alone else ""
    mean = partial(labels.macro, partial(labels.auroc, within=fold), truth, probabilities, classes=met)
    area = Measure("AUROC", mean, 0.5, note=note + left_out, units=smallest)
    pooled = partial(labels.macro, labels.auroc, truth, probabilities)
    precision = partial(labels.macro, labels.average_precision, truth, probabilities)
    return [
        *within_folds(area, pooled, cases.fold, cases.table),
        Measure("AUPRC", precision, chance, note=note, units=smallest, scale="logit"),
        *_per_class_measures(cases),
    ]


def _per_class_measures(cases: _Labelled) -> list[Measure]:
    fold = fold_or_none(cases.fold)
    return [
        Measure(
            f"AUROC of {cases.table.task.classes[k]}",
            partial(labels.auroc, cases.truth == k, cases.probabilities[:, k], within=fold),
            0.5,
            note="Against all other classes.",
            units=int(min(np.sum(cases.truth == k), np.sum(cases.truth != k))),
        )
        for k in np.unique(cases.truth)
    ]


def _decision_measures(cases: _Labelled) -> list[Measure]:
    """Of the called classes, and of the probabilities as such."""
    table = cases.confusion()
    present = table.sum(axis=1) > 0
    smallest = int(table.sum(axis=1)[present].min())
    uninformed = regression.mean_of_other_folds(cases.one_hot(), cases.fold)
    return [
        Measure(
            "Balanced accuracy",
            lambda counts: labels.balanced_accuracy(cases.confusion(counts), present),
            _chance_balanced_accuracy(table, present),
            units=smallest,
        ),
        Measure(
            "Accuracy",
            lambda counts: labels.accuracy(cases.confusion(counts)),
            labels.chance_accuracy(table),
            note="Chance: calls as frequent as these, made blindly.",
            units=len(cases.truth),
        ),
        Measure(
            "Brier score",
            partial(labels.brier, cases.truth, cases.probabilities),
            float(labels.brier(cases.truth, uninformed)),
            higher_is_better=False,
            note="Chance: the class shares of the other folds as probabilities.",
        ),
    ]


CURVE_POINTS = 60
SMOOTH_NAMES = ("Integrated calibration index", "Calibration E50", "Calibration E90")


def _smooth_measures(cases: _Labelled, found: SmoothCalibration | None) -> list[Measure]:
    """Distances from the smooth curve; none where a class has too few patients for one.

    That follows from the truth alone, so that all repeats have the same measures.
    """
    positive = cases.truth == 1
    if min(int(positive.sum()), int((~positive).sum())) < FEWEST_OF_A_CLASS:
        return []
    measures = []
    for place, name in enumerate(SMOOTH_NAMES):
        value, note = np.nan, ""
        if found is not None:
            value = found.errors[place]
            note = (
                f"A perfect model of as many patients would show {found.by_noise[place]:.3f} in the mean, by "
                f"noise alone, and in 95 of 100 cases no more than {found.by_noise_most[place]:.3f}."
            )
        statistic = partial(_same_for_all, value)
        measures.append(
            Measure(
                name, statistic, None, higher_is_better=False, note=note, ends=lambda: None,
                undefined="no smooth curve fits best, as where chances do not vary or separate the classes",
            )
        )  # fmt: skip
    return measures


def _same_for_all(value: float, counts: FloatArray) -> FloatArray:
    return np.full(len(counts), value)


def _smooth_line(cases: _Labelled, found: SmoothCalibration) -> ClassLine:
    """The smooth curve at equally spaced chances, from the least to the greatest predicted one."""
    chance, first = np.unique(cases.probabilities[:, 1], return_index=True)
    x = np.linspace(chance[0], chance[-1], CURVE_POINTS)
    y = np.interp(x, chance, found.observed[first])
    return ClassLine(name=cases.table.task.classes[1], x=listed(x), y=listed(y))


def _calibration_measures(cases: _Labelled) -> list[Measure]:
    """Of the positive class's probability."""
    positive, chance = cases.truth == 1, cases.probabilities[:, 1]
    error = calibration.calibration_error(positive, chance)
    note = f"A perfect model of as many patients would show {error.by_noise:.2f}, by noise alone."
    return [
        Measure("Calibration intercept", partial(calibration.calibration_intercept, positive, chance), None),
        Measure("Calibration slope", partial(calibration.calibration_slope, positive, chance), None),
        Measure(
            "Expected calibration error",
            lambda counts: np.full(len(counts), error.value),
            None,
            higher_is_better=False,
            note=note,
            ends=lambda: error.interval,
        ),
    ]


def _decision(cases: _Labelled) -> DecisionCurve:
    """The decision curve of the positive class; its band comes with the resamples."""
    positive, chance = cases.truth == 1, cases.probabilities[:, 1]
    thresholds = decision_thresholds(chance)
    return DecisionCurve(
        threshold=listed(thresholds),
        value=listed(net_benefit(positive, chance, thresholds)),
        all=listed(net_benefit(positive, np.ones_like(chance), thresholds)),
    )


def _chance_balanced_accuracy(table: FloatArray, present: npt.NDArray[np.bool_]) -> float:
    """Balanced accuracy of calls as frequent as these that know nothing; 1/K if all classes occur."""
    return float(table.sum(axis=0)[present].sum() / table.sum() / present.sum())


def _class_curves(cases: _Labelled, **more: Any) -> ClassCurves:
    classes = cases.table.task.classes
    shown = [1] if cases.table.task.kind == "binary" else [int(k) for k in np.unique(cases.truth)]
    roc: list[ClassLine] = []
    pr: list[ClassLine] = []
    calibrated = []
    for k in shown:
        positive, score = cases.truth == k, cases.probabilities[:, k]
        for lines, draw in ((roc, labels.roc_curve), (pr, labels.precision_recall_curve)):
            x, y = draw(positive, score)
            lines.append(ClassLine(name=classes[k], x=listed(x), y=listed(y)))
        bins = calibration_bins(positive.astype(np.float64), score)
        calibrated.append(ClassBins(name=classes[k], **bins_of(bins)))
    confusion = Confusion(classes=classes, counts=cases.confusion().astype(int).tolist())
    return ClassCurves(roc=roc, pr=pr, calibration=calibrated, confusion=confusion, **more)


def evaluate_classes(table: PredictionTable) -> Evaluated:
    """Measures and curves of a binary or multiclass target."""
    cases = _read_labelled(table)
    measures = _class_measures(cases) + _decision_measures(cases)
    if table.task.kind != "binary":
        return Evaluated(measures, _class_curves(cases), cases.fold).led_by(table.task)
    positive, chance = cases.truth == 1, cases.probabilities[:, 1]
    band = partial(net_benefit, positive, chance, decision_thresholds(chance))
    smooth = smooth_calibration(positive, chance)
    line = {} if smooth is None else {"smooth": _smooth_line(cases, smooth)}
    curves = _class_curves(cases, decision=_decision(cases), **line)
    measures += _calibration_measures(cases) + _smooth_measures(cases, smooth)
    return Evaluated(measures, curves, cases.fold, {"decision": band}).led_by(table.task)


def evaluate_ordinal(table: PredictionTable) -> Evaluated:
    """Measures and curves of an ordinal target: those of its classes, and of their order."""
    cases = _read_labelled(table)
    # From the probabilities: tables of earlier versions have scores by the place of a class, not its number.
    values = np.array(cases.table.task.class_values)
    truth, score = cases.truth.astype(np.float64), cases.probabilities @ values
    fold, called = fold_or_none(cases.fold), (cases.truth, cases.predicted, len(values))
    kappa = partial(labels.quadratic_kappa_within, *called, within=fold)
    agreement = Measure("Quadratic weighted kappa", kappa, 0.0)
    order = [
        *within_folds(agreement, partial(labels.quadratic_kappa_within, *called), cases.fold, cases.table),
        Measure(
            "Spearman correlation",
            partial(regression.spearman, truth, score, within=fold),
            0.0,
            note="Of the score (the mean of the predicted distribution) with the true class.",
            scale="fisher",
        ),
    ]
    scatter = Scatter(truth=listed(truth), predicted=listed(score), fold=cases.fold.astype(int).tolist())
    curves = _class_curves(cases, scatter=scatter)
    measures = [*order, *_class_measures(cases), *_decision_measures(cases)]
    return Evaluated(measures, curves, cases.fold).led_by(table.task)
