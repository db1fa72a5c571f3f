"""The figures of the report by name, drawn with pyplot in a notebook."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from histonic.core.errors import SettingsError
from histonic.core.places.frames import TablePlace
from histonic.core.task import TaskKind
from histonic.runs.patient_columns import as_levels, read_patient_columns
from histonic.runs.run import Run, read_settings, read_whole_run
from histonic.stages.evaluate.groups import site_grouping
from histonic.stages.report.content import target_of
from histonic.stages.report.document.target import Target
from histonic.stages.report.evidence import groups_of
from histonic.stages.report.figures import classes, decision, smooth, survival, training, values
from histonic.stages.report.figures.drawing import STYLE, Picture
from histonic.stages.report.figures.forest import forest_picture
from histonic.stages.report.training import network_histories

Draws = Callable[[Target, Any], Picture | None]
TRAINING, FOREST = "training", "forest"
_CLASSES: dict[str, Draws] = {
    "roc": classes.roc_picture,
    "calibration": classes.calibration_picture,
    "confusion": classes.confusion_picture,
}
FIGURES: dict[TaskKind, dict[str, Draws]] = {
    "binary": {**_CLASSES, "decision": decision.decision_picture},
    "multiclass": {**_CLASSES, "smooth": smooth.smooth_picture},
    "ordinal": {**_CLASSES, "smooth": smooth.smooth_picture, "score": classes.class_score_picture},
    "regression": {"scatter": values.scatter_picture, "calibration": values.value_calibration_picture},
    "survival": {
        "km": survival.survival_picture,
        "auc": survival.auc_over_time_picture,
        "brier": survival.brier_over_time_picture,
        "calibration": survival.survival_calibration_picture,
        "smooth": smooth.smooth_picture,
        "decision": decision.decision_picture,
    },
}
"""Names of the report's figures by kind of target; ``forest`` and ``training`` are there for all."""


def figure_names(kind: TaskKind) -> list[str]:
    """What :func:`plot` draws of a kind of target.

    Example:
        >>> figure_names("regression")
        ['scatter', 'calibration', 'forest', 'training']
    """
    return [*FIGURES[kind], FOREST, TRAINING]


def plot(
    run: Run,
    name: str,
    target: str | None = None,
    *,
    figure: Any = None,
    subgroups: Sequence[str] = (),
    labels: TablePlace | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Any:
    """Draw a figure of the report.

    Args:
        run: The run.
        name: One of :func:`figure_names`.
        target: Name of the target; not needed where there is but one.
        figure: Matplotlib figure, or part of one (``figure.subfigures``), to draw on; a new one by default.
        subgroups: Columns of the label table, for the forest.
        labels: The label table, if it has moved.
        resamples: Of the patients, for bands and intervals.
        seed: Of the resamples.

    Returns:
        The Matplotlib axes, or a list of them where the figure has several.

    Raises:
        SettingsError: There is no such figure for this kind of target, or its data do not suffice for it.
        RunError: There is no such target.
        TableError: A column is absent.
        CohortError: The target cannot be evaluated.
    """
    task = run.find_task(target)
    names = figure_names(task.kind)
    asked = f"Draw {name!r} of the target {task.name!r}."
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise SettingsError(
            asked,
            f"A {task.kind} target has the figures {', '.join(names)}.",
            f"Did you mean {near[0]!r}?" if near else "Name one of them.",
        )
    if name == TRAINING:
        picture = training.training_picture(network_histories(read_whole_run(run.folder)))
    else:
        table = run.tables[task.name]
        found = target_of(table, resamples, run.facts, alone=True)
        if name == FOREST:
            sites = site_grouping(table)
            groupings = {"site": sites} if sites and "site" not in subgroups else {}
            columns = _columns(run, subgroups, labels)
            groupings |= {column: as_levels(columns[column]) for column in subgroups}
            groups = groups_of(table, groupings, resamples, seed)
            picture = forest_picture(found.model_copy(update={"groups": groups}))
        else:
            picture = FIGURES[task.kind][name](found, found.curves)
    if picture is None:
        raise SettingsError(
            asked,
            "The run's data do not suffice for it, as in the report.",
            "For a forest name subgroups=[...]; linear models have no training curves."
            if name in (FOREST, TRAINING)
            else f"Draw another one: {', '.join(each for each in names if each != name)}.",
        )
    return draw(picture, figure)


def draw(picture: Picture, figure: Any = None) -> Any:
    """Draw a picture of the report on a figure; a new one of pyplot by default. Returns its axes."""
    from matplotlib import pyplot

    # Made before the style is taken: what a backend sets as it is loaded would go with the style again.
    shown = figure or pyplot.figure(figsize=picture.drawing.size_inches, layout="constrained")
    with mpl.rc_context(STYLE):
        before = list(shown.axes)
        picture.drawing.draw(shown)
    axes = [each for each in shown.axes if each not in before]
    return axes[0] if len(axes) == 1 else axes


def _columns(run: Run, names: Sequence[str], labels: TablePlace | None) -> dict[str, dict[str, str]]:
    return read_patient_columns(read_settings(Path(run.folder)), names, labels, run.folder)
