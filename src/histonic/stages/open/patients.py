"""One patient of a run in a notebook: the slides, what speaks for the prediction, prediction and truth."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from histonic.core.compressed import CellMap
from histonic.core.errors import RunError
from histonic.core.task import Task
from histonic.data.maps.remote.opening import have_copy
from histonic.data.maps.store import thumbnail_path
from histonic.models.bundle import read_bundle
from histonic.runs.documents import CohortPatient
from histonic.runs.run import Run
from histonic.stages.explain.attribution.methods import METHODS
from histonic.stages.explain.attribution.model_input import model_input_of
from histonic.stages.explain.attribution.output import choose_output
from histonic.stages.explain.attribution.views import ExplainedNetwork, explain_map, networks_of
from histonic.stages.explain.choice import find_map, require_store, rows_of, unseen_networks
from histonic.stages.explain.explaining import METHOD_WORDS
from histonic.stages.explain.pictures import paint_overlay
from histonic.stages.explain.record import UNSIGNED, prediction_words
from histonic.stages.explain.slide import slide_picture
from histonic.stages.report.figures.drawing import STYLE

PANEL_INCHES = 3.4
SHOWN_PX = 600


@dataclass(frozen=True)
class _Shown:
    """A slide of the patient."""

    slide_id: str
    picture: Any
    cells: CellMap | None
    speaks_for: str
    wh: tuple[int, int]


def show(
    run: Run,
    patient: str,
    target: str | None = None,
    *,
    method: str | None = "integrated-gradients",
    store: Path | None = None,
    slides_at: Path | None = None,
    figure: Any = None,
) -> Any:
    """Show a patient's slides beside what speaks for and against the prediction, and the truth.

    The explanation is of the networks that never saw the patient. It is computed now and written nowhere;
    ``histonic.explain`` writes files.

    Args:
        run: The run.
        patient: As in the label table.
        target: Name of the target; not needed where there is but one.
        method: One of those of ``histonic.explain``; None: the slides alone.
        store: Of the maps, if it has moved.
        slides_at: Folder of the slide files, if they have moved; without them the store's pictures are shown.
        figure: Matplotlib figure to draw on; a new one by default.

    Returns:
        The Matplotlib figure's axes, two a slide (one without explanation).

    Raises:
        RunError: There is no such patient (the nearest is told) or target, or no such method.
        StoreError: The store has moved, or a map is damaged.
        BundleError: The bundle is damaged, or holds an aggregator of another session.
    """
    from matplotlib import pyplot

    task, found = run.find_task(target), find_patient(run, patient)
    if method is not None and method not in METHODS:
        raise RunError(
            f"Explain the patient {patient!r} by {method!r}.",
            "There is no such method.",
            f"Give one of {', '.join(METHODS)}, or method=None.",
        )
    place = have_copy(store or run.facts.store, maps=found.slide_ids, pictures=found.slide_ids)
    require_store(place, found.slide_ids)
    networks = networks_of(read_bundle(run.folder / "bundle")) if method is not None else []
    shown = [
        _look_at(run, found, slide_id, task, networks, method, place, slides_at)
        for slide_id in found.slide_ids
    ]
    columns = 1 if method is None or all(each.cells is None for each in shown) else 2
    if figure is None:  # before the style is taken, see histonic.stages.open.figures.draw
        size = (PANEL_INCHES * columns + 0.4, sum(map(_height, shown)) + 0.9)
        figure = pyplot.figure(figsize=size, layout="constrained")
    with mpl.rc_context(STYLE):
        axes = figure.subplots(
            len(shown), columns, squeeze=False, height_ratios=[_height(each) for each in shown]
        )
        for row, each in zip(axes, shown, strict=True):
            _draw(row, each, method)
        figure.suptitle(title_of(run, found, task), fontsize=11)
    return axes.ravel().tolist()


def find_patient(run: Run, patient: str) -> CohortPatient:
    """A patient of a run.

    Raises:
        RunError: There is none of that name; the nearest is told.
    """
    names = [each.patient_id for each in run.cohort.patients]
    if str(patient) not in names:
        near = difflib.get_close_matches(str(patient), names, n=1)
        left_out = next((each for each in run.cohort.exclusions if each.name == str(patient)), None)
        why = f" It was left out: {left_out.reason}." if left_out else ""
        raise RunError(
            f"Find the patient {patient!r} in the run {run.folder}.",
            f"Of its {len(names)} patients none has that name.{why}",
            f"Did you mean {near[0]!r}?" if near else f"They are called such as {', '.join(names[:3])}.",
        )
    return run.cohort.patients[names.index(str(patient))]


def title_of(run: Run, patient: CohortPatient, task: Task) -> str:
    """The patient, the out-of-fold prediction and the truth in a line; with repeats of the first."""
    rows = rows_of(run.tables[task.name], patient.patient_id).frame
    truth = patient.targets.get(task.name)
    known = "not known"
    if isinstance(truth, tuple):
        known = f"{'event at' if truth[1] else 'no event until'} {truth[0]:g}"
    elif truth is not None:
        known = truth if isinstance(truth, str) else f"{truth:.3g}"
    said = "no out-of-fold prediction"
    if len(rows):
        values = {str(key): _typed(str(key), cell, task) for key, cell in rows.iloc[0].items()}
        said = f"predicted {prediction_words(values, task.kind)}"
    return f"{patient.patient_id}   {task.name}: {said}, truth {known}"


def _typed(column: str, cell: Any, task: Task) -> Any:
    """A cell of a table of text as the number that it is, but for names."""
    named = column in ("patient_id", "site", "truth", "decided_by", "cause")
    called = task.is_classification and column.startswith("predicted")
    number = pd.to_numeric(cell, errors="coerce")
    return cell if named or called or np.isnan(number) else float(number)


def _look_at(
    run: Run,
    patient: CohortPatient,
    slide_id: str,
    task: Task,
    networks: Sequence[ExplainedNetwork],
    method: str | None,
    store: Path,
    slides_at: Path | None,
) -> _Shown:
    slide = find_map(store, slide_id)
    picture = slide_picture(slide, _stored(run, store, slide_id), slides_at).whole
    step = max(1, max(picture.shape) // SHOWN_PX)
    wide, high = slide.grid.slide_wh
    unseen = unseen_networks(run, networks, task, slide_id)
    if method is None or not unseen:
        return _Shown(slide_id, picture[::step, ::step], None, "", (wide, high))
    seen = model_input_of(
        slide, patient, run.facts.fusion, lambda name: find_map(store, name), run.facts.parts
    )
    rows = rows_of(run.tables[task.name], patient.patient_id).frame
    called = str(rows.iloc[0]["predicted"]) if task.is_classification else None
    output = choose_output(task, None, called)
    values = seen.on_slide(explain_map(unseen, seen.maps, seen.name, output, METHODS[method]))
    cells = CellMap(slide_id, values.astype(np.float32), slide.grid, METHOD_WORDS[method])
    return _Shown(slide_id, picture[::step, ::step], cells, output.name, (wide, high))


def _stored(run: Run, store: Path, slide_id: str) -> Path | None:
    places = (thumbnail_path(store, slide_id), run.thumbnail(slide_id))
    return next((place for place in places if place.is_file()), None)


def _height(shown: _Shown) -> float:
    high, wide = shown.picture.shape[:2]
    return float(PANEL_INCHES * min(high / wide, 2.0) + 0.3)


def _draw(row: Any, shown: _Shown, method: str | None) -> None:
    extent = (0, shown.wh[0], shown.wh[1], 0)
    for axes in row:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    row[0].imshow(shown.picture, extent=extent)
    row[0].set_title(shown.slide_id, fontsize=10)
    if len(row) == 1:
        return
    if shown.cells is None:
        row[1].text(0.5, 0.5, "no network that never saw this patient", ha="center", va="center", fontsize=9)
        return
    signed = method not in UNSIGNED
    row[1].imshow(paint_overlay(shown.picture, shown.cells, signed), extent=extent)
    row[1].set_title(
        f"orange: for “{shown.speaks_for}”, blue: against" if signed else f"the stronger, the more {method}",
        fontsize=10,
    )
