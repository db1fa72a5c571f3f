"""Figures of targets with classes: ROC, calibration, confusion, score by class."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from histonic.stages.evaluate.curves import ClassCurves
from histonic.stages.report.cases.plain import dots_words, enough_in_groups
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.drawing import (
    COLOURS,
    MARKS,
    PALE,
    Picture,
    bin_pairs,
    dot_style,
    draw_cell_texts,
    draw_dots,
    draw_figure,
    draw_unit_square,
    line_style,
    name_width,
    place_legend,
    short_name,
    with_legend,
)
from histonic.stages.report.wording import words


def roc_picture(target: Target, curves: ClassCurves) -> Picture:
    """ROC curve, per class if there are more than two."""
    lines = curves.roc
    scores = {score.name: score for score in target.scores}
    only, width = len(lines) == 1, name_width(len(lines))
    of = [scores.get("AUROC" if only else f"AUROC of {curve.name}") for curve in lines]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (2, 3)))
        for index, (curve, score) in enumerate(zip(lines, of, strict=True)):
            value = "" if score is None else f"  {words.score_number('AUROC', score.value)}"
            axes.plot(
                curve.x,
                curve.y,
                label=f"{short_name(curve.name, width)}{value}",
                **line_style(index),
                linewidth=2,
            )
        draw_unit_square(axes, "False alarms (1 − specificity)", "Found cases (sensitivity)")
        place_legend(figure, axes, len(lines), "lower right", title="AUROC")

    listed = "; ".join(
        f"“{curve.name}” {words.score_words(score)}" for curve, score in zip(lines, of, strict=True) if score
    )
    which = f"“{lines[0].name}” against the rest" if only else "each class against all others"
    return Picture(
        "ROC curve",
        draw_figure(draw, with_legend(len(lines))),
        f"ROC curve, {which}. {listed}.",
        f"For {which}: each point is one possible cut-off. The closer the line comes to the upper left "
        "corner, the better; the dotted diagonal is guessing.",
    )


FEWEST_DRAWN = 20
"""Patients with, and without, what is predicted, from which on calibration is drawn: fewer show noise."""


def drawn_classes(curves: ClassCurves) -> set[str]:
    """Classes with enough patients of the class and of the others for a figure of calibration."""
    confusion = curves.confusion
    sizes = {name: sum(row) for name, row in zip(confusion.classes, confusion.counts, strict=True)}
    total = sum(sizes.values())
    return {name for name, size in sizes.items() if min(size, total - size) >= FEWEST_DRAWN}


def calibration_picture(target: Target, curves: ClassCurves) -> Picture | None:
    """Predicted probability against observed share, in groups of equally many patients; None with few."""
    enough = drawn_classes(curves)
    lines = [curve for curve in curves.calibration if curve.name in enough]
    if not lines:
        return None
    width = name_width(len(lines))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (2, 3)))
        for index, curve in enumerate(lines):
            axes.plot(
                curve.predicted,
                curve.observed,
                marker=MARKS[index % len(MARKS)],
                markersize=7,
                label=short_name(curve.name, width),
                linewidth=1.3,
                **(line_style(index) if enough_in_groups(curve.count) else dot_style(index)),
            )
        if curves.smooth is not None:
            axes.plot(curves.smooth.x, curves.smooth.y, color=COLOURS[0], linewidth=2.4, alpha=0.45)
        draw_unit_square(axes, "Predicted probability (mean of group)", "Share that was true")
        place_legend(figure, axes, len(lines), "upper left")

    points = "; ".join(f"“{curve.name}” {bin_pairs(curve)}" for curve in lines)
    few = dots_words([count for curve in lines for count in curve.count])
    smooth = "" if curves.smooth is None else " The pale line is a smooth curve through the single patients."
    return Picture(
        "Calibration",
        draw_figure(draw, with_legend(len(lines))),
        f"Calibration. Predicted and observed shares: {points}.",
        "Patients grouped by predicted probability. On the dotted diagonal, a predicted 30 % comes true in "
        "30 of 100 patients; points below it mean that the model promises too much." + smooth + few,
    )


def confusion_picture(target: Target, curves: ClassCurves) -> Picture:
    """Counts of true against called class, shaded by share of the true class."""
    confusion = curves.confusion
    classes, counts = confusion.classes, np.array(confusion.counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        # Only the pale half of the scale: the counts stay dark on light in every cell.
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1.9)
        ticks = range(len(classes))
        turn = 0 if len(classes) <= 3 else 45
        names = [short_name(name, 14) for name in classes]
        axes.set_xticks(ticks, names, rotation=turn, ha="right" if turn else "center")
        axes.set_yticks(ticks, names, rotation=90 if not turn else 0, va="center")
        axes.set(xlabel="Called", ylabel="True class")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        draw_cell_texts(axes, counts, share)

    rows = "; ".join(
        f"truly “{name}”: "
        + ", ".join(f"{n} called “{other}”" for n, other in zip(row, classes, strict=True))
        for name, row in zip(classes, counts.tolist(), strict=True)
    )
    return Picture(
        "Called and true class",
        draw_figure(draw),
        f"Confusion matrix. {rows}.",
        "Number of patients, and in % how the patients of one true class (a row) were called. Right calls "
        "are on the diagonal from the upper left.",
    )


def class_score_picture(target: Target, curves: ClassCurves) -> Picture | None:
    """Ordinal score per true class: one dot a patient, a bar at the median."""
    scatter, classes = curves.scatter, target.task.classes
    if scatter is None:
        return None
    truth, score = np.array(scatter.truth, dtype=float), np.array(scatter.predicted, dtype=float)
    values = target.task.class_values
    own = values != tuple(range(len(classes)))
    scale = "in the numbers of the classes" if own else "0 for the first class, 1 for the next"

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for index in range(len(classes)):
            mine = np.sort(score[truth == index])
            # Spread by the golden ratio: even, and the same each time.
            spread = (np.arange(len(mine)) * 0.618034 % 1 - 0.5) * 0.6
            draw_dots(axes, index + spread, mine)
            if len(mine):
                axes.hlines(np.median(mine), index - 0.36, index + 0.36, color=COLOURS[1], linewidth=3)
        names = [short_name(name, 14) for name in classes]
        axes.set_xticks(range(len(classes)), names)
        axes.set_yticks(values, names)
        axes.set(xlabel="True class", ylabel="Predicted score", xlim=(-0.6, len(classes) - 0.4))

    medians = ", ".join(
        f"“{name}” {words.significant(float(np.median(score[truth == i])))}"
        for i, name in enumerate(classes)
        if (truth == i).any()
    )
    return Picture(
        "Score by class",
        draw_figure(draw),
        f"Predicted score of the patients of each true class; medians: {medians}.",
        f"One dot is a patient. The score is the class expected on average ({scale}); the bar is the median. "
        "Clouds that climb from left to right mean that the order was learned.",
    )
