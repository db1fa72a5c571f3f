"""How long a study will take, as far as it was measured on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histonic.core.errors import HistonicError
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.store import Store
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.stages.bench.settings import BenchTrainSettings
from histonic.stages.bench.train import bench_train
from histonic.stages.compress.compress import compress
from histonic.stages.compress.plan import duration_words
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.study.steps.records import StepRecord
from histonic.stages.study.steps.step import Step
from histonic.stages.train.settings import TrainSettings

PROBED = 3
"""Slides that are opened to measure the pace."""
FEW_STEPS = 2_000
"""So few steps of a training need no measurement."""
MEASURE_S = 1.0


@dataclass(frozen=True)
class Estimate:
    """How long something takes.

    Attributes:
        seconds: About; None if it was not measured.
        words: How it is known, or why not.
        at_most: Whether it usually takes less.
    """

    seconds: float | None
    words: str
    at_most: bool = False

    def line(self) -> str:
        """In words, such as ``about 3 min (measured on 2 slides)``."""
        if self.seconds is None:
            return self.words
        least = "at most about" if self.at_most else "about"
        return f"{least} {duration_words(self.seconds)} ({self.words})"


def compress_time(
    settings: CompressSettings, waiting: Sequence[SlideRow], record: StepRecord | None = None
) -> Estimate:
    """How long a compression takes.

    Args:
        settings: Of the compression; its encoder is there.
        waiting: Slides that are still to be compressed.
        record: Of an earlier one by the same settings; without it a few of the slides are opened and timed.
    """
    if record is not None and record.work and record.seconds:
        return Estimate(record.seconds / record.work * len(waiting), f"as the {record.work} slides before")
    probes = _spread(waiting)
    paths = tuple(row.path for row in probes)
    default = settings.mpp or next((row.mpp for row in probes if row.mpp), None)
    # Apart from the store: what lies there may be of another encoder.
    changes = {"slides": paths, "dry_run": True, "mpp": default, "out": _nowhere(settings.folder)}
    changes["private"] = False  # nothing is kept, and these have no names of a table
    try:
        plan = compress(settings.model_copy(update=changes), progress=Silent()).plan
    except HistonicError as error:
        return Estimate(None, f"not measured ({error.found})")
    working = 0 if plan is None else plan.count("to do")
    if plan is None or not working or plan.seconds is None:
        return Estimate(None, f"not measured (none of {len(probes)} can be used)")
    few = f"measured on {working}, whose sizes and tissue may not be those of all"
    return Estimate(plan.seconds / working * len(waiting), few)


def compress_estimate(step: Step) -> str:
    """In words how long a compression takes, by opening a few of the slides that wait.

    The encoder must be there already.
    """
    settings = make_settings(CompressSettings, step.settings, "the settings of compress")
    if not _is_there(settings.encoder):
        return f"{step.words}: measured once the encoder is trained"
    rows = read_slide_list(settings.slides)
    there = set(Store.open(settings.folder).slide_ids) if settings.folder.is_dir() else set()
    waiting = [row for row in rows if row.slide_id not in there]
    if not waiting:
        return f"{step.words}: all {len(rows)} slides are done"
    found = compress_time(settings, waiting)
    done = f", {len(rows) - len(waiting)} done" if len(waiting) < len(rows) else ""
    return f"{step.words}: {len(waiting)} slides{done}: {found.line()}"


def train_time(values: Mapping[str, Any], record: StepRecord | None = None) -> Estimate:
    """How long a training takes at most, by a second of it on the maps that are there.

    Args:
        values: Its settings.
        record: Of an earlier one: its pace is taken, for as many networks and slides as there are now.
    """
    settings = make_settings(TrainSettings, values, "the settings of train")
    store = local_folder(settings.store)
    if not store.is_dir():
        return Estimate(None, "measured once the maps are there")
    slides = len(Store.open(store).slide_ids)
    if settings.quick:
        return Estimate(None, "a first look: about as long as the maps take to read")
    networks = settings.folds * settings.repeats * settings.initialisations
    if record is not None and record.work and record.seconds:
        return Estimate(record.seconds / record.work * networks * slides, "as it took before")
    if settings.search:
        return Estimate(None, "not measured: settings are searched")
    learned = max(1, slides * (settings.folds - 2) // settings.folds)
    steps = networks * settings.max_epochs * math.ceil(learned / settings.batch)
    head = f"{networks} networks of at most {settings.max_epochs} epochs, {steps:,} steps"
    if steps <= FEW_STEPS:
        return Estimate(None, f"{head}: not measured, since it is short")
    bench = BenchTrainSettings(
        store=store,
        seconds=MEASURE_S,
        batch=settings.batch,
        aggregator=settings.aggregator,
        crop_cells=settings.crop_cells,
        device=settings.device,
    )
    try:
        found = bench_train(bench, progress=Silent())
    except HistonicError as error:
        return Estimate(None, f"{head}: not measured ({error.found})")
    seconds = steps / max(found.achieved, 1e-9) / settings.workers
    return Estimate(seconds, f"{head}; usually much less, since training stops early", at_most=True)


def train_estimate(step: Step) -> str:
    """In words how long a training takes at most."""
    return f"train: {train_time(step.settings).line()}"


def _nowhere(out: Path) -> Path:
    """A store beside the real one that is not there."""
    number = 0
    while (place := out.with_name(f"{out.name}-probe-{number}")).exists():
        number += 1
    return place


def _is_there(encoder: str) -> bool:
    return not encoder.endswith(".safetensors") or Path(encoder).is_file()


def _spread(rows: Sequence[SlideRow]) -> list[SlideRow]:
    """A few of the rows, from the first to the last."""
    if len(rows) <= PROBED:
        return list(rows)
    return [rows[round(number * (len(rows) - 1) / (PROBED - 1))] for number in range(PROBED)]
