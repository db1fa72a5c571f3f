"""Figures of targets that are numbers: scatter and calibration."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from histonic.stages.evaluate.curves import ValueCurves
from histonic.stages.report.cases.plain import dots_words, enough_in_groups
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.drawing import (
    COLOURS,
    Picture,
    bin_pairs,
    draw_dots,
    draw_figure,
    draw_identity,
    short_name,
)
from histonic.stages.report.wording import words


def scatter_picture(target: Target, curves: ValueCurves) -> Picture:
    """True against predicted value, with the line of identity."""
    scatter = curves.scatter
    truth, predicted = np.array(scatter.truth), np.array(scatter.predicted)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        draw_dots(axes, predicted, truth)
        draw_identity(axes, np.concatenate([truth, predicted]))
        axes.set(xlabel=f"Predicted {short_name(target.label)}", ylabel=f"True {short_name(target.label)}")

    return Picture(
        "True and predicted value",
        draw_figure(draw),
        f"Scatter of true against predicted {target.label} for {words.counted(len(truth), 'patient')}. "
        f"{words.score_words(target.scores[0])}.",
        "One dot is a patient. On the dotted line the prediction equals the truth; above it the true value "
        "is higher than predicted.",
    )


def value_calibration_picture(target: Target, curves: ValueCurves) -> Picture:
    """Mean truth against mean prediction in groups of equally many patients, with the fitted line."""
    bins = curves.calibration
    slope, intercept = bins.slope, bins.intercept
    slopes = (
        " A slope of 1 is right; between 0 and 1 the predictions are spread too far; at 0 or below they do "
        "not follow the truth."
        if enough_in_groups(bins.count)
        else ""
    )
    line = (
        "The predictions do not vary, so no line was fitted."
        if slope is None or intercept is None
        else dots_words(bins.count).strip()
        if not enough_in_groups(bins.count)
        else f"Fitted line: truth = {words.line_words(slope, intercept)}."
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        predicted, observed = np.array(bins.predicted), np.array(bins.observed)
        if slope is not None and intercept is not None and enough_in_groups(bins.count):
            ends = np.array([predicted.min(), predicted.max()])
            axes.plot(ends, intercept + slope * ends, color=COLOURS[1], linewidth=2, label="fitted line")
        axes.plot(
            predicted, observed, color=COLOURS[0], marker="o", markersize=8, linestyle="", label="group"
        )
        draw_identity(axes, np.concatenate([predicted, observed]))
        name = short_name(target.label)
        axes.set(xlabel=f"Predicted {name} (mean of group)", ylabel=f"True {name} (mean of group)")
        axes.legend(loc="upper left")

    return Picture(
        "Calibration",
        draw_figure(draw),
        f"Calibration. Mean predicted and true values: {bin_pairs(bins)}. {line}",
        f"Patients grouped by predicted value. {line}{slopes}",
    )
