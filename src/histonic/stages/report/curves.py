"""Figures of use and of survival over time, and the forest of sites and subgroups, from report.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.metrics.inference.scores import Score
from histonic.stages.evaluate.curves import ClassCurves, IncidenceGroup, SurvivalCurves
from histonic.stages.report import words
from histonic.stages.report.document import Target
from histonic.stages.report.drawing import (
    COLOURS,
    INK,
    PALE,
    Picture,
    draw_figure,
    draw_numbers_at_risk,
    line_style,
    short_name,
)

GROUPS_DRAWN = 40
"""Levels of sites and subgroups in the forest; the table has all."""
OTHER_FOLDS = "the other folds' patients"


def decision_picture(target: Target, curves: ClassCurves | SurvivalCurves) -> Picture | None:
    """Net benefit of treating by the model, all, or none, over the thresholds."""
    curve = curves.decision
    if curve is None:
        return None
    threshold = np.array(curve.threshold)
    model, everyone = _floats(curve.value), _floats(curve.all)
    where = _ranges(threshold, model > np.maximum(everyone, 0))
    of = _event(target, curves) if isinstance(curves, SurvivalCurves) else f"“{target.task.classes[1]}”"

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(threshold, model, label="by the model", linewidth=2, **line_style(0))
        axes.fill_between(
            threshold,
            _floats(curve.low),
            _floats(curve.high),
            color=COLOURS[0],
            alpha=0.13,
            linewidth=0,
        )
        axes.plot(threshold, everyone, label="everyone", linewidth=1.6, **line_style(1))
        axes.axhline(0, label="no one", color=INK, linewidth=1.2)
        top = max(float(np.nanmax(model)), float(everyone[0]), 0.01)
        axes.set(ylim=(-0.25 * top, 1.35 * top), xlim=(0, threshold[-1]))
        axes.set(xlabel="Threshold: treat above this predicted chance", ylabel="Net benefit")
        _percent_axis(axes, threshold[-1])
        axes.legend(loc="upper right", title="Treated:", handlelength=2.6, alignment="left")

    said = f"the model is of more use than both for thresholds of {where}" if where else (
        "the model is at no threshold of more use than treating everyone or no one"
    )  # fmt: skip
    return Picture(
        "Decision curve",
        draw_figure(draw),
        f"Decision curve for {of}: {said}.",
        f"Of use for whom? If one would treat from a predicted chance of, say, 20 % of {of}, look at 20 %: "
        "net benefit is the share of patients treated rightly, less those treated for nothing at the rate "
        "that this "
        f"threshold says is fair. Higher is better; here {said}. The pale band is the 95 % interval.",
    )


def _event(target: Target, curves: SurvivalCurves) -> str:
    return f"an event by {words.compact(curves.horizon)} ({short_name(target.task.columns[0])})"


def _ranges(threshold: Any, better: Any) -> str:
    """The longest run of thresholds at which the model is best, such as ``5 to 60 %``."""
    runs: list[tuple[int, int]] = []
    start = None
    for index, yes in enumerate([*better, False]):
        if yes and start is None:
            start = index
        elif not yes and start is not None:
            runs.append((start, index - 1))
            start = None
    if not runs:
        return ""
    first, last = max(runs, key=lambda run: run[1] - run[0])
    return f"{threshold[first]:.0%} to {threshold[last]:.0%}".replace("%", " %")


def _percent_axis(axes: Axes, last: float) -> None:
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if last / step <= 6)
    ticks = np.arange(0, last + 1e-9, step)
    axes.set_xticks(ticks, [f"{round(100 * tick)} %" for tick in ticks])


def auc_over_time_picture(target: Target, curves: SurvivalCurves) -> Picture | None:
    """AUC at each time with its band."""
    curve = curves.auc_t
    if curve is None:
        return None
    time, value = _floats(curve.time), _floats(curve.value)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0.5, color=PALE, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(time, value, linewidth=2, **line_style(0))
        axes.fill_between(
            time, _floats(curve.low), _floats(curve.high), color=COLOURS[0], alpha=0.13, linewidth=0
        )
        axes.set(ylim=(0, 1.02), ylabel="AUC", xlabel=f"Time ({short_name(target.task.columns[0])})")

    at = "; ".join(f"{words.score_number('AUROC', v)} at {words.compact(t)}" for t, v in _few(time, value))
    return Picture(
        "AUC over time",
        draw_figure(draw),
        f"Time-dependent AUC: {at}.",
        "For each time: of two patients of whom one has had the event by then and one has not, how often the "
        "former has the higher risk. 0.5 (dotted) is tossing a coin; the pale band is the 95 % interval. "
        "Early "
        "on there are few events, so the band is wide.",
    )


def brier_over_time_picture(target: Target, curves: SurvivalCurves) -> Picture | None:
    """Brier score at each time, of the model and of the same curve for everyone."""
    curve = curves.brier_t
    if curve is None:
        return None
    time, value, blind = _floats(curve.time), _floats(curve.value), _floats(curve.blind)
    whose = "the run's own patients" if curves.survival_from == "run" else OTHER_FOLDS

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(time, value, label="by predicted risk", linewidth=2, **line_style(0))
        axes.fill_between(
            time, _floats(curve.low), _floats(curve.high), color=COLOURS[0], alpha=0.13, linewidth=0
        )
        axes.plot(time, blind, label="same for everyone", linewidth=1.6, **line_style(1))
        top = max(np.nanmax(_floats(curve.high)), np.nanmax(blind), 0.05)
        axes.set(ylim=(0, 1.3 * top), ylabel="Brier score (lower is better)")
        axes.set(xlabel=f"Time ({short_name(target.task.columns[0])})")
        axes.legend(loc="upper left", handlelength=2.6, title="Predicted survival", alignment="left")

    at = "; ".join(
        f"{v:.3f} against {b:.3f} at {words.compact(t)}"
        for (t, v), (_, b) in zip(_few(time, value), _few(time, blind), strict=True)
    )
    return Picture(
        "Error of predicted survival",
        draw_figure(draw),
        f"Brier score over time, by predicted risk against the Kaplan-Meier curve for everyone: {at}.",
        "How far the predicted chance of being without the event is from what happened, squared, at each "
        "time. The "
        "model is worth something where its line is below the dashed one, which gives every patient the "
        f"curve of {whose}.",
    )


def survival_calibration_picture(target: Target, curves: SurvivalCurves) -> Picture | None:
    """Predicted against observed share of events by the horizon, in groups of equally many patients."""
    bins = curves.calibration
    if bins is None:
        return None
    predicted, observed = _floats(bins.predicted), _floats(bins.observed)
    ends = np.abs(np.stack([_floats(bins.low), _floats(bins.high)]) - observed)
    of = _event(target, curves)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        top = min(1.02, 1.15 * max(predicted.max(), _floats(bins.high).max(), 0.05))
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (2, 3)))
        axes.errorbar(predicted, observed, yerr=ends, fmt="o", color=COLOURS[0], markersize=7, elinewidth=1.3)
        axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        axes.set(xlabel="Predicted share with event (mean of group)", ylabel="Observed share with event")

    points = ", ".join(
        f"{p:.0%} and {o:.0%} ({n})".replace("%", " %")
        for p, o, n in zip(predicted, observed, bins.count, strict=True)
    )
    return Picture(
        "Calibration of survival",
        draw_figure(draw),
        f"Predicted and observed share with {of} in groups: {points}.",
        f"Patients grouped by the predicted chance of {of}; the observed share is the Kaplan-Meier "
        f"estimate with "
        "its 95 % interval. On the dotted line what was predicted came true; points above it mean more "
        "events than "
        "promised.",
    )


def forest_picture(target: Target) -> Picture | None:
    """The leading metric of each site and subgroup with its interval."""
    if not target.groups:
        return None
    overall = target.scores[0]
    rows: list[tuple[str, Score, bool]] = [("All patients", overall, False)]
    for grouping in target.groups:
        rows += [
            (
                f"{short_name(grouping.name, 14)}: {short_name(level.name, 16)}  (n = {level.n})",
                level.score,
                level.few,
            )
            for level in grouping.levels
            if level.score is not None and level.score.value is not None
        ]
    if len(rows) == 1:
        return None
    drawn = rows[: GROUPS_DRAWN + 1]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if overall.value is not None:
            axes.axvline(overall.value, color=COLOURS[0], linewidth=1, alpha=0.5)
        if overall.chance is not None:
            axes.axvline(overall.chance, color=PALE, linewidth=1, linestyle=(0, (2, 3)))
        for place, (_, score, few) in enumerate(drawn):
            _forest_row(axes, place, score, few)
        axes.set_yticks(range(len(drawn)), [name for name, _, _ in drawn])
        axes.set_ylim(len(drawn) - 0.5, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(short_name(overall.name, 40))

    listed = "; ".join(f"{name} {words.score_words(score)}" for name, score, _ in drawn)
    return Picture(
        "Group by group",
        draw_figure(draw, (6.4, 1.3 + 0.36 * len(drawn))),
        f"{overall.name} by group: {listed}.",
        "The dot is the value in that group alone, the line its 95 % interval; hollow where patients are "
        "few. The "
        "upright line is the value of all patients, the dotted one chance. Groups differ by chance as "
        "well: look "
        "for intervals that leave the upright line behind, and for a site that carries the whole result.",
    )


def _forest_row(axes: Axes, place: int, score: Score, few: bool) -> None:
    colour = COLOURS[0] if place == 0 else INK
    if score.low is not None and score.high is not None:
        axes.plot([score.low, score.high], [place, place], color=colour, linewidth=1.6)
    face = "white" if few else colour
    axes.plot(
        _floats([score.value]), place, "o", color=colour, markerfacecolor=face, markersize=7 if place else 8
    )


def _floats(values: Sequence[Any]) -> Any:
    """A list of report.json as an array, NaN where there is no number."""
    return np.array(values, dtype=np.float64)


def _few(x: Any, y: Any) -> list[tuple[float, float]]:
    """First, middle and last point that exist."""
    known = np.flatnonzero(np.isfinite(y))
    chosen = sorted({known[0], known[len(known) // 2], known[-1]}) if len(known) else []
    return [(float(x[index]), float(y[index])) for index in chosen]


def incidence_picture(target: Target, curves: SurvivalCurves) -> Picture | None:
    """Cumulative incidence of the event in the risk groups, where other causes may come first."""
    found = curves.incidence
    if found is None:
        return None
    groups, at = found.groups, found.at
    top = max((value or 0.0) for group in groups for value in group.high)

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 0.45 + 0.32 * len(groups)]}
        )
        for index, group in enumerate(groups):
            line = line_style(index)
            time, share = np.array(group.time, dtype=float), np.array(group.incidence, dtype=float)
            low, high = np.array(group.low, dtype=float), np.array(group.high, dtype=float)
            label = f"{group.name} ({group.n} patients)"
            axes.step(time, share, where="post", linewidth=2, label=label, **line)
            axes.fill_between(time, low, high, step="post", color=line["color"], alpha=0.13, linewidth=0)
        axes.set(ylim=(0, min(1.03, 1.35 * max(top, 0.05))), ylabel="Share with the event")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        title = f"log-rank {words.p_words(found.p)}"
        axes.legend(loc="upper left", title=title, handlelength=2.6, alignment="left")
        draw_numbers_at_risk(below, groups, at, target.task.columns[0])

    others = words.joined([f"“{cause}”" for cause in found.causes])
    listed = "; ".join(
        f"{group.name}: {words.counted(group.n, 'patient')}, {words.counted(group.events, 'event')}, "
        f"{group.competing} of other causes, share with the event at the end {_last(group):.0%}"
        for group in groups
    ).replace("%", " %")
    return Picture(
        "Cumulative incidence by predicted risk",
        draw_figure(draw, (4.9, 4.7)),
        f"Cumulative incidence by Aalen and Johansen. {listed}. {words.score_words(target.scores[0])}.",
        f"The share of patients who have had the event as time passes, where {others} may come first "
        "(Aalen-Johansen; the pale band is the 95 % interval). Who has had another cause stays without the "
        "event, so that the line rises less than one minus Kaplan-Meier would say. The wider the lines are "
        "apart, the better the model tells the groups apart.",
    )


def _last(group: IncidenceGroup) -> float:
    return group.incidence[-1] or 0.0
