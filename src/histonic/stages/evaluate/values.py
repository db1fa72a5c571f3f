"""Evaluation of values: measures and the data of the scatter and the calibration figure."""

from __future__ import annotations

from functools import partial

import numpy as np

from histonic.metrics.calibration.probabilities import calibration_bins
from histonic.metrics.discrimination import regression
from histonic.metrics.inference.scores import Measure
from histonic.metrics.ranks import FloatArray
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.curves import Scatter, ValueBins, ValueCurves
from histonic.stages.evaluate.evaluated import (
    Evaluated,
    bins_of,
    fold_or_none,
    listed,
    require_patients,
    within_folds,
)


def evaluate_regression(table: PredictionTable) -> Evaluated:
    """Measures and curves of a regression target."""
    table = table.rows(table.has_truth())
    truth = table.numbers("truth")
    varies = len(np.unique(truth)) > 1
    require_patients(table.task, n=len(truth), varies=varies, constant="All patients have the same value.")
    predicted, fold = table.numbers("predicted"), table.numbers("fold")
    blind = regression.mean_of_other_folds(truth, fold)
    few = _dominating(table, truth, predicted)
    order = Measure(
        "Spearman correlation",
        partial(regression.spearman, truth, predicted, within=fold_or_none(fold)),
        0.0,
        scale="fisher",
    )
    measures = [
        *within_folds(order, partial(regression.spearman, truth, predicted), fold, table),
        Measure(
            "Mean absolute error",
            partial(regression.mean_absolute_error, truth, predicted),
            float(np.mean(np.abs(truth - blind))),
            higher_is_better=False,
            note=f"Chance: the mean of the other folds' patients as prediction.{few}",
        ),
        Measure(
            "Median absolute error",
            partial(regression.median_absolute_error, truth, predicted),
            float(np.median(np.abs(truth - blind))),
            higher_is_better=False,
            note="Chance: as above.",
        ),
        Measure("R²", partial(regression.explained_variance, truth, predicted), 0.0, note=few.strip()),
        Measure("Calibration slope", partial(regression.linear_calibration_slope, truth, predicted), None),
    ]
    line = regression.calibration_line(truth, predicted)
    curves = ValueCurves(
        scatter=Scatter(truth=listed(truth), predicted=listed(predicted), fold=fold.astype(int).tolist()),
        calibration=ValueBins(
            **bins_of(calibration_bins(truth, predicted)),
            slope=None if line is None else line.slope,
            intercept=None if line is None else line.intercept,
        ),
    )
    return Evaluated(measures, curves, fold).led_by(table.task)


def _dominating(table: PredictionTable, truth: FloatArray, predicted: FloatArray) -> str:
    """Names of the few patients who make up most of the squared error or spread; empty if there are none."""
    patients = table.texts("patient_id")
    for what, parts in (
        ("error", (truth - predicted) ** 2),
        ("variation", (truth - truth.mean()) ** 2),
    ):
        few = regression.dominating(parts)
        if len(few):
            share = parts[few].sum() / parts.sum()
            names = ", ".join(patients[row] for row in few)
            return (
                f" {share:.0%} of the squared {what} is of {len(few)} patient(s) ({names}): with such heavy "
                "tails the interval is too narrow (64 to 80 of 100 held the truth in trials); check these "
                "values, and look at the median absolute error."
            )
    return ""
