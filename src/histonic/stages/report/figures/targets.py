"""Which figures a target has, by its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from histonic.core.task import TaskKind
from histonic.stages.report.document.target import Target
from histonic.stages.report.figures.classes import (
    calibration_picture,
    class_score_picture,
    confusion_picture,
    roc_picture,
)
from histonic.stages.report.figures.decision import decision_picture
from histonic.stages.report.figures.drawing import Picture
from histonic.stages.report.figures.survival import (
    auc_over_time_picture,
    brier_over_time_picture,
    survival_calibration_picture,
    survival_picture,
)
from histonic.stages.report.figures.values import scatter_picture, value_calibration_picture

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


def target_pictures(target: Target) -> list[Picture]:
    """The figures of one target, by its kind; none if it could not be evaluated.

    Args:
        target: Task, scores and curves.
    """
    if target.problem:
        return []
    drawn = [picture(target, target.curves) for picture in PICTURES[target.task.kind]]
    return [picture for picture in drawn if picture is not None]
