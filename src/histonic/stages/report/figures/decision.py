"""The decision curve: of use for whom?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.stages.evaluate.curves import ClassCurves, SurvivalCurves
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.drawing import (
    COLOURS,
    INK,
    Picture,
    draw_figure,
    floats,
    line_style,
    short_name,
)
from histonic.stages.report.wording import words


def decision_picture(target: Target, curves: ClassCurves | SurvivalCurves) -> Picture | None:
    """Net benefit of treating by the model, all, or none, over the thresholds."""
    curve = curves.decision
    if curve is None:
        return None
    threshold = np.array(curve.threshold)
    model, everyone = floats(curve.value), floats(curve.all)
    where = _ranges(threshold, model > np.maximum(everyone, 0))
    of = event_by(target, curves) if isinstance(curves, SurvivalCurves) else f"“{target.task.classes[1]}”"

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(threshold, model, label="by the model", linewidth=2, **line_style(0))
        axes.fill_between(
            threshold,
            floats(curve.low),
            floats(curve.high),
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


def event_by(target: Target, curves: SurvivalCurves) -> str:
    """``an event by 24 (os_months)``, for sentences."""
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
