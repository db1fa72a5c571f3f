"""The whole of histonic on a simulated cohort: no network, no data."""

from __future__ import annotations

import time
from pathlib import Path

from histonic.app.settings import DemoSettings
from histonic.core.errors import TrainingError
from histonic.core.files import require_writable_folder
from histonic.core.processes.cores import usable_cores
from histonic.core.progress import Progress
from histonic.simulate.slides import simulate_cohort
from histonic.stages.compress.compress import compress
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.train import train_slides
from histonic.training.devices import pick_device

SIDE_PX = 1792
"""Of a slide: enough cells to learn from, at half the work of 2560 px."""
TARGETS = (
    "grade:multiclass",
    "proliferation_score:regression",
    "overall_survival:survival:os_months,os_event",
)


def run_demo(settings: DemoSettings, progress: Progress) -> Path:
    """Simulate slides, compress them, train on three kinds of target, and write the report.

    Args:
        settings: Folder, number of patients, encoder, length of the training and seed.
        progress: Listener to the progress.

    Returns:
        Path of ``report.html``.
    """
    began = time.monotonic()
    out = require_writable_folder(settings.out)
    progress.say(f"1 of 4: simulate {settings.patients} patients in {out}")
    cohort = simulate_cohort(
        out,
        patients=settings.patients,
        seed=settings.seed,
        side_px=SIDE_PX,
        processes=usable_cores(),
        progress=progress,
    )
    progress.say(f"2 of 4: compress the slides with the encoder {settings.encoder!r}")
    store = CompressSettings(slides=(cohort.slides_dir,), encoder=settings.encoder, out=out / "store")
    result = compress(store, progress=progress)
    if result.failures:
        raise TrainingError(
            "Compress the simulated slides.",
            f"{len(result.failures)} failed, first {result.failures[0]}.",
            f"Delete {out} and run the demo again.",
        )
    progress.say("3 of 4: train and cross-validate on a class, a score and a survival time at once")
    run = TrainSettings(
        store=out / "store",
        labels=cohort.labels_csv,
        target=TARGETS,
        out=out / "run",
        max_epochs=settings.max_epochs,
        # Networks this small leave cores idle: on a CPU one trains on each.
        workers=usable_cores() if pick_device("auto") == "cpu" else 1,
        seed=settings.seed,
    )
    folder = train_slides(run, progress=progress)
    progress.say("4 of 4: write the report")
    path = write_report(ReportSettings(run=folder), progress=progress)
    progress.say(f"done in {time.monotonic() - began:.0f} s")
    return path
