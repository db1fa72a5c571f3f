"""The forest of sites and subgroups."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.metrics.inference.scores import Score
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.drawing import (
    COLOURS,
    INK,
    PALE,
    Picture,
    draw_figure,
    floats,
    short_name,
)
from histonic.stages.report.wording import words

GROUPS_DRAWN = 40
"""Levels of sites and subgroups in the forest; the table has all."""


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
        floats([score.value]), place, "o", color=colour, markerfacecolor=face, markersize=7 if place else 8
    )
