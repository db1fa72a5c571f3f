"""Smooth calibration curves of classes and of survival, where patients suffice."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.drawing import (
    PALE,
    Picture,
    draw_figure,
    draw_unit_square,
    line_style,
    name_width,
    place_legend,
    short_name,
    with_legend,
)


def smooth_picture(target: Target, _: Any) -> Picture | None:
    """Observed against predicted chance as smooth curves; None where no class, or event, suffices."""
    if target.calibration is None:
        return None
    curves = [(row, row.smooth) for row in target.calibration.rows if row.smooth is not None]
    if not curves:
        return None
    survival = target.task.kind == "survival"
    width = name_width(len(curves))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (2, 3)))
        for index, (row, smooth) in enumerate(curves):
            name = f"event by {row.name}" if survival else row.name
            label = f"{short_name(name, width)}  ICI {smooth.ici:.3f}"
            axes.plot(smooth.x, smooth.y, label=label, linewidth=2, **line_style(index))
        draw_unit_square(axes, "Predicted chance", "Observed chance (smooth)")
        place_legend(figure, axes, len(curves), "upper left")

    listed = "; ".join(
        f"“{row.name}” ICI {smooth.ici:.3f}, by noise alone {smooth.noise:.3f} in the mean"
        for row, smooth in curves
    )
    return Picture(
        "Smooth calibration",
        draw_figure(draw, with_legend(len(curves))),
        f"Smooth calibration curves. {listed}.",
        "The same without groups: a smooth curve through single patients. ICI is its mean distance from the "
        "dotted line, on which what was predicted came true; the table says how much of it noise makes.",
    )
