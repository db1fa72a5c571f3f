"""The figures of the report, one function each, from the curves in report.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.core.task import TaskKind
from histonic.stages.evaluate.curves import ClassCurves, RiskGroup, SurvivalCurves, ValueCurves
from histonic.stages.report import words
from histonic.stages.report.curves import (
    auc_over_time_picture,
    brier_over_time_picture,
    decision_picture,
    incidence_picture,
    survival_calibration_picture,
)
from histonic.stages.report.document import NetworkHistory, Target
from histonic.stages.report.drawing import (
    COLOURS,
    MARKS,
    PALE,
    Picture,
    bin_pairs,
    draw_cell_texts,
    draw_dots,
    draw_figure,
    draw_identity,
    draw_numbers_at_risk,
    draw_unit_square,
    line_style,
    name_width,
    place_legend,
    short_name,
    with_legend,
)


def target_pictures(target: Target) -> list[Picture]:
    """The figures of one target, by its kind; none if it could not be evaluated.

    Args:
        target: Task, scores and curves.
    """
    if target.problem:
        return []
    drawn = [picture(target, target.curves) for picture in PICTURES[target.task.kind]]
    return [picture for picture in drawn if picture is not None]


# ---------------------------------------------------------------------- classification


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


def calibration_picture(target: Target, curves: ClassCurves) -> Picture:
    """Predicted probability against observed share, in groups of equally many patients."""
    lines = curves.calibration
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
                **line_style(index),
            )
        if curves.smooth is not None:
            axes.plot(curves.smooth.x, curves.smooth.y, color=COLOURS[0], linewidth=2.4, alpha=0.45)
        draw_unit_square(axes, "Predicted probability (mean of group)", "Share that was true")
        place_legend(figure, axes, len(lines), "upper left")

    points = "; ".join(f"“{curve.name}” {bin_pairs(curve)}" for curve in lines)
    smooth = "" if curves.smooth is None else " The pale line is a smooth curve through the single patients."
    return Picture(
        "Calibration",
        draw_figure(draw, with_legend(len(lines))),
        f"Calibration. Predicted and observed shares: {points}.",
        "Patients grouped by predicted probability. On the dotted diagonal, a predicted 30 % comes true in "
        "30 of 100 patients; points below it mean that the model promises too much." + smooth,
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


# -------------------------------------------------------------------------- regression


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
    line = (
        "The predictions do not vary, so no line was fitted."
        if slope is None or intercept is None
        else f"Fitted line: truth = {words.line_words(slope, intercept)}."
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        predicted, observed = np.array(bins.predicted), np.array(bins.observed)
        if slope is not None and intercept is not None:
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
        f"Patients grouped by predicted value. {line} A slope of 1 is right; between 0 and 1 the predictions "
        "are spread too far; at 0 or below they do not follow the truth.",
    )


# ---------------------------------------------------------------------------- survival


def survival_picture(target: Target, curves: SurvivalCurves) -> Picture | None:
    """Kaplan-Meier curves of the risk groups, numbers at risk below."""
    km = curves.km
    if km is None:
        return incidence_picture(target, curves)
    groups, at = km.groups, km.at

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 0.45 + 0.32 * len(groups)]}
        )
        for index, group in enumerate(groups):
            _survival_curve(axes, group, index)
        axes.set(ylim=(0, 1.03), ylabel="Share without event")
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.legend(
            loc="upper right", title=f"log-rank {words.p_words(km.p)}", handlelength=2.6, alignment="left"
        )
        draw_numbers_at_risk(below, groups, at, target.task.columns[0])

    listed = "; ".join(
        f"{group.name}: {words.counted(group.n, 'patient')}, "
        f"{words.counted(group.events, 'event')}, at risk "
        + ", ".join(f"{n} at {words.compact(t)}" for n, t in zip(group.at_risk, at, strict=True))
        for group in groups
    )
    return Picture(
        "Survival by predicted risk",
        draw_figure(draw, (4.9, 4.7)),
        f"Kaplan-Meier curves. {listed}. Log-rank {words.p_words(km.p)}. "
        f"{words.score_words(target.scores[0])}.",
        "The share of patients without the event as time passes. A small upright stroke is a patient whose "
        "follow-up ended there (censored); the pale band is the 95 % interval. The wider the lines "
        "are apart, the better the model tells the groups apart.",
    )


def _survival_curve(axes: Axes, group: RiskGroup, index: int) -> None:
    line = line_style(index)
    time, share = np.array(group.time, dtype=float), np.array(group.survival, dtype=float)
    low, high = np.array(group.low, dtype=float), np.array(group.high, dtype=float)
    axes.step(time, share, where="post", linewidth=2, label=f"{group.name} ({group.n} patients)", **line)
    axes.fill_between(time, low, high, step="post", color=line["color"], alpha=0.13, linewidth=0)
    censored = np.array(group.censored, dtype=float)
    place = np.maximum(np.searchsorted(time, censored, side="right") - 1, 0)
    axes.plot(censored, share[place], "|", color=line["color"], markersize=7, markeredgewidth=1.2)


# ---------------------------------------------------------------------------- training


def training_picture(history: Sequence[NetworkHistory]) -> Picture | None:
    """Training and validation loss by epoch, one line a network; None without epochs."""
    curves = [item for item in history if any(loss is not None for loss in item.validation_loss)]
    if not curves:
        return None
    repeats = max(item.repeat for item in curves) + 1
    if repeats > 1:
        curves = [item for item in curves if item.repeat == 0]
    folds = sorted({item.fold for item in curves})

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        for item in curves:
            _loss_curves(above, below, item, folds)
        above.set(ylabel="Training loss")
        below.set(xlabel="Epoch (pass over the training patients)", ylabel="Validation loss")
        # Several networks of a fold share its look, so each fold is named once.
        handles = dict(zip(*above.get_legend_handles_labels()[::-1], strict=True))
        above.legend(list(handles.values()), list(handles), loc="upper right", ncols=2, handlelength=2.6)

    lowest = "; ".join(
        f"fold {item.fold + 1}: lowest "
        f"{words.significant(min(x for x in item.validation_loss if x is not None))}"
        f" in {words.counted(len(item.epoch), 'epoch')}"
        for item in curves
    )
    return Picture(
        "Training",
        draw_figure(draw, (4.6, 4.8)),
        f"Training and validation loss by epoch. Validation: {lowest}.",
        "How far the predictions were off while the networks learned, for the patients they learned from "
        "(above) and for the validation part (below); lower is better. The mark is the epoch that was kept; "
        "epoch 0 is the untrained network." + (f" Of {repeats} repeats the first." if repeats > 1 else ""),
    )


def _loss_curves(above: Axes, below: Axes, item: NetworkHistory, folds: Sequence[int]) -> None:
    """One network: its training loss above, its validation loss with the epoch that was kept below."""
    index = folds.index(item.fold)
    line = line_style(index)
    train, validation = (np.array(each, dtype=float) for each in (item.train_loss, item.validation_loss))
    above.plot(item.epoch, train, linewidth=1.6, label=f"fold {item.fold + 1}", **line)
    below.plot(item.epoch, validation, linewidth=1.6, **line)
    best = int(np.nanargmin(validation))
    below.plot(item.epoch[best], validation[best], marker=MARKS[index % len(MARKS)], color=line["color"])


_CLASSES = (roc_picture, calibration_picture, confusion_picture)
PICTURES: dict[TaskKind, tuple[Callable[[Target, Any], Picture | None], ...]] = {
    "binary": (*_CLASSES, decision_picture),
    "multiclass": _CLASSES,
    "ordinal": (*_CLASSES, class_score_picture),
    "regression": (scatter_picture, value_calibration_picture),
    "survival": (
        survival_picture,
        auc_over_time_picture,
        brier_over_time_picture,
        survival_calibration_picture,
        decision_picture,
    ),
}
"""The figures of each kind of target; None where its data do not suffice."""
