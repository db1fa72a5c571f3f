"""How long a study will take, as far as it was measured on this machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from histonic.core.errors import HistonicError
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.maps.store import Store
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.stages.bench.settings import BenchTrainSettings
from histonic.stages.bench.train import bench_train
from histonic.stages.compress.compress import compress
from histonic.stages.compress.plan import duration_words
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.study.frame.plan import Step

PROBED = 3
"""Slides that are opened to measure the pace."""
FEW_STEPS = 2_000
"""So few steps of a training need no measurement."""
MEASURE_S = 1.0


def compress_estimate(step: Step) -> str:
    """In words how long a compression takes, by opening a few of the slides that wait.

    The encoder must be there already.
    """
    settings = make_settings(CompressSettings, step.settings, "the settings of compress")
    if not _is_there(settings.encoder):
        return f"compress {step.title}: measured once the encoder is trained"
    rows = read_slide_list(settings.slides)
    there = set(Store.open(settings.out).slide_ids) if settings.out.is_dir() else set()
    waiting = [row for row in rows if row.slide_id not in there]
    if not waiting:
        return f"compress {step.title}: all {len(rows)} slides are done"
    probes = _spread(waiting)
    paths = tuple(row.path for row in probes)
    default = settings.mpp or next((row.mpp for row in probes if row.mpp), None)
    probe = settings.model_copy(update={"slides": paths, "dry_run": True, "mpp": default})
    try:
        plan = compress(probe, progress=Silent()).plan
    except HistonicError as error:
        return f"compress {step.title}: {len(waiting)} slides, not measured ({error.found})"
    working = 0 if plan is None else plan.count("to do")
    if plan is None or not working or plan.seconds is None:
        return (
            f"compress {step.title}: {len(waiting)} slides, not measured (none of {len(probes)} can be used)"
        )
    seconds = plan.seconds / working * len(waiting)
    done = f", {len(rows) - len(waiting)} done" if len(waiting) < len(rows) else ""
    return (
        f"compress {step.title}: about {duration_words(seconds)} for {len(waiting)} slides{done} (measured "
        f"on {working}, whose sizes and tissue may not be those of all)"
    )


def train_estimate(step: Step) -> str:
    """In words how long a training takes at most, by a second of it on the maps that are there."""
    store = Store.open(Path(step.settings["store"]))
    folds, each = int(step.settings["folds"]), int(step.settings["initialisations"])
    batch, epochs = int(step.settings.get("batch", 16)), int(step.settings["max_epochs"])
    learned = max(1, len(store.slide_ids) * (folds - 2) // folds)
    steps = folds * each * epochs * math.ceil(learned / batch)
    head = f"train: {folds} folds of {each} networks, at most {epochs} epochs each ({steps:,} steps)"
    if steps <= FEW_STEPS:
        return f"{head}; training stops early"
    settings = BenchTrainSettings(
        store=store.path, seconds=MEASURE_S, batch=batch, device=step.settings["device"]
    )
    try:
        found = bench_train(settings, progress=Silent())
    except HistonicError as error:
        return f"{head}; not measured ({error.found})"
    workers = max(1, int(step.settings.get("workers", 1)))
    seconds = steps / max(found.achieved, 1e-9) / workers
    return f"{head}: at most about {duration_words(seconds)}, usually much less, since training stops early"


def _is_there(encoder: str) -> bool:
    return not encoder.endswith(".safetensors") or Path(encoder).is_file()


def _spread(rows: Sequence[SlideRow]) -> list[SlideRow]:
    """A few of the rows, from the first to the last."""
    if len(rows) <= PROBED:
        return list(rows)
    return [rows[round(number * (len(rows) - 1) / (PROBED - 1))] for number in range(PROBED)]
