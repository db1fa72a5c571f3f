"""Figures of survival: curves of the risk groups, and measures over time."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.stages.evaluate.curves import IncidenceGroup, RiskGroup, SurvivalCurves
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.classes import FEWEST_DRAWN
from histonic.stages.report.figures.decision import event_by
from histonic.stages.report.figures.drawing import (
    COLOURS,
    PALE,
    Picture,
    draw_figure,
    draw_numbers_at_risk,
    floats,
    line_style,
    short_name,
)
from histonic.stages.report.wording import words


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


OTHER_FOLDS = "the other folds' patients"


def auc_over_time_picture(target: Target, curves: SurvivalCurves) -> Picture | None:
    """AUC at each time with its band."""
    curve = curves.auc_t
    if curve is None:
        return None
    time, value = floats(curve.time), floats(curve.value)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0.5, color=PALE, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(time, value, linewidth=2, **line_style(0))
        axes.fill_between(
            time, floats(curve.low), floats(curve.high), color=COLOURS[0], alpha=0.13, linewidth=0
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
    time, value, blind = floats(curve.time), floats(curve.value), floats(curve.blind)
    whose = "the run's own patients" if curves.survival_from == "run" else OTHER_FOLDS

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(time, value, label="by predicted risk", linewidth=2, **line_style(0))
        axes.fill_between(
            time, floats(curve.low), floats(curve.high), color=COLOURS[0], alpha=0.13, linewidth=0
        )
        axes.plot(time, blind, label="same for everyone", linewidth=1.6, **line_style(1))
        top = max(np.nanmax(floats(curve.high)), np.nanmax(blind), 0.05)
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


def events_by_horizon(target: Target) -> int:
    """Events by the time of the calibration; of reports of earlier versions, all events."""
    if target.calibration is not None and target.calibration.rows:
        return target.calibration.rows[0].events
    follow_up = target.curves.follow_up if isinstance(target.curves, SurvivalCurves) else None
    return FEWEST_DRAWN if follow_up is None else follow_up.events


def survival_calibration_picture(target: Target, curves: SurvivalCurves) -> Picture | None:
    """Predicted against observed share of events by the horizon, in groups of equally many patients."""
    bins = curves.calibration
    if bins is None or events_by_horizon(target) < FEWEST_DRAWN:
        return None
    predicted, observed = floats(bins.predicted), floats(bins.observed)
    ends = np.abs(np.stack([floats(bins.low), floats(bins.high)]) - observed)
    of = event_by(target, curves)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        top = min(1.02, 1.15 * max(predicted.max(), floats(bins.high).max(), 0.05))
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


def _few(x: Any, y: Any) -> list[tuple[float, float]]:
    """First, middle and last point that exist."""
    known = np.flatnonzero(np.isfinite(y))
    chosen = sorted({known[0], known[len(known) // 2], known[-1]}) if len(known) else []
    return [(float(x[index]), float(y[index])) for index in chosen]
