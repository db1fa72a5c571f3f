"""Which figures a target has, by its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from histonic.core.task import TaskKind
from histonic.stages.evaluate.curves import ClassCurves, SurvivalCurves
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.classes import (
    FEWEST_DRAWN,
    calibration_picture,
    class_score_picture,
    confusion_picture,
    drawn_classes,
    roc_picture,
)
from histonic.stages.report.figures.decision import decision_picture
from histonic.stages.report.figures.drawing import Picture
from histonic.stages.report.figures.smooth import smooth_picture
from histonic.stages.report.figures.survival import (
    auc_over_time_picture,
    brier_over_time_picture,
    events_by_horizon,
    survival_calibration_picture,
    survival_picture,
)
from histonic.stages.report.figures.values import scatter_picture, value_calibration_picture
from histonic.stages.report.wording import words

_CLASSES = (roc_picture, calibration_picture, confusion_picture)


PICTURES: dict[TaskKind, tuple[Callable[[Target, Any], Picture | None], ...]] = {
    "binary": (*_CLASSES, decision_picture),
    "multiclass": (*_CLASSES, smooth_picture),
    "ordinal": (*_CLASSES, smooth_picture, class_score_picture),
    "regression": (scatter_picture, value_calibration_picture),
    "survival": (
        survival_picture,
        auc_over_time_picture,
        brier_over_time_picture,
        survival_calibration_picture,
        smooth_picture,
        decision_picture,
    ),
}
"""The figures of each kind of target; None where its data do not suffice."""


def not_drawn(target: Target) -> str:
    """Which calibration is not drawn because patients are few, in a sentence; empty if all is.

    Args:
        target: With its curves.
    """
    curves = target.curves
    few: list[str] = []
    if isinstance(curves, ClassCurves):
        enough = drawn_classes(curves)
        few = [f"“{curve.name}”" for curve in curves.calibration if curve.name not in enough]
    elif isinstance(curves, SurvivalCurves) and curves.calibration is not None:
        few = ["survival"] if events_by_horizon(target) < FEWEST_DRAWN else []
    if not few:
        return ""
    if isinstance(curves, SurvivalCurves):
        return (
            f"Calibration of survival is not drawn: {FEWEST_DRAWN} events by the time are needed, or it "
            "would show noise."
        )
    return (
        f"Calibration of {words.joined(few)} is not drawn: {FEWEST_DRAWN} patients with and as many without "
        "are needed, or it would show noise."
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
