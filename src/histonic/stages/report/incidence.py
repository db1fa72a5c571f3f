"""The figure of the risk groups where other causes than the event may come first."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from histonic.stages.evaluate.curves import IncidenceGroup, SurvivalCurves
from histonic.stages.report import words
from histonic.stages.report.document import Target
from histonic.stages.report.drawing import Picture, draw_figure, draw_numbers_at_risk, line_style


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
