"""Simulated H&E slides and cohorts whose right answer is known, at 0.5 microns per pixel."""

from __future__ import annotations

import json
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from histonic.core.errors import SettingsError
from histonic.core.files import csv_text, write_json, write_text
from histonic.core.progress import Progress, heard
from histonic.simulate.patients import SLIDE_STREAM, Latents, SimulatedPatient, draw_patients
from histonic.simulate.render import render_tissue
from histonic.simulate.stains import UInt8Image, draw_stain
from histonic.slides.formats.pyramid import write_pyramid

__all__ = ["CohortFiles", "Latents", "draw_patients", "simulate_cohort", "simulate_slide", "simulate_tissue"]

SLIDE_MPP = 0.5
SMALLEST_SIDE_PX = 256
LABEL_COLUMNS = ("patient_id", "slide_id", "site", "grade", "proliferation_score", "os_months", "os_event")
TRUTH_COLUMNS = ("patient_id", "slide_id", "proliferation", "differentiation", "layout")


@dataclass(frozen=True)
class CohortFiles:
    """Where a simulated cohort lies."""

    slides_dir: Path
    labels_csv: Path


@dataclass(frozen=True)
class _Job:
    path: Path
    latents: Latents
    site: str
    entropy: tuple[int, ...]
    side_px: int


def simulate_slide(latents: Latents, site: str, rng: np.random.Generator, side_px: int = 2560) -> UInt8Image:
    """A piece of tumour tissue on glass, at 0.5 microns per pixel.

    Args:
        latents: What drives nuclei and their layout.
        site: One of :data:`histonic.simulate.stains.SITES`; it decides the shade of the stains.
        rng: Source of randomness.
        side_px: Side of the square slide.

    Returns:
        uint8 ``(side_px, side_px, 3)``.

    Example:
        >>> simulate_slide(Latents(0.5, 0.5, 0.5), "north", np.random.default_rng(0), 256).shape
        (256, 256, 3)
    """
    return render_tissue(latents, draw_stain(site, rng), side_px, rng, glass=True)


def simulate_tissue(
    side_px: int,
    rng: np.random.Generator,
    latents: Latents = Latents(0.5, 0.5, 0.5),  # noqa: B008 - frozen
    site: str = "north",
) -> UInt8Image:
    """The same tissue without glass around it, uint8 ``(side_px, side_px, 3)``."""
    return render_tissue(latents, draw_stain(site, rng), side_px, rng, glass=False)


def simulate_cohort(
    out: str | Path,
    *,
    patients: int = 48,
    seed: int = 0,
    side_px: int = 2560,
    processes: int = 2,
    progress: Progress | None = None,
) -> CohortFiles:
    """Write a cohort: ``slides/<slide_id>.tif``, ``labels.csv`` and, for checking, ``truth.csv``.

    Slides that exist are kept. A slide depends on the seed, its patient and its number alone, so that the
    files are the same whatever the number of patients and processes. The processes are spawned: a script
    that calls this needs the usual ``if __name__ == "__main__":``.

    Args:
        out: Folder of the cohort.
        patients: How many; about one in eight has two slides.
        seed: Seed of the cohort.
        side_px: Side of the square slides.
        processes: Slides drawn at the same time.
        progress: Listener.

    Returns:
        Folder of the slides and the label table.

    Raises:
        SettingsError: A number is too small, or the folder holds slides of another seed or size.
        OutputError: A file cannot be written.
    """
    out, progress = Path(out), heard(progress)
    if patients < 1 or seed < 0 or side_px < SMALLEST_SIDE_PX or processes < 1:
        found = f"patients={patients}, seed={seed}, side_px={side_px}, processes={processes}."
        todo = f"Give patients and processes from 1, a seed from 0 and a side from {SMALLEST_SIDE_PX} on."
        raise SettingsError("Simulate a cohort.", found, todo)
    _claim(out, seed, side_px)
    cohort = draw_patients(patients, seed)
    jobs = _jobs(out / "slides", cohort, seed, side_px)
    progress.stage("simulate", len(jobs))
    waiting = [job for job in jobs if not job.path.exists()]
    if len(jobs) > len(waiting):
        progress.advance(len(jobs) - len(waiting), "kept")
    _write_slides(waiting, processes, progress)
    write_text(out / "labels.csv", _table(LABEL_COLUMNS, cohort))
    write_text(out / "truth.csv", _table(TRUTH_COLUMNS, cohort))
    return CohortFiles(out / "slides", out / "labels.csv")


def _claim(out: Path, seed: int, side_px: int) -> None:
    """Note in the folder which slides it holds, so that a later call cannot mix in others."""
    path, wanted = out / "simulation.json", {"seed": seed, "side_px": side_px}
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = "a damaged simulation.json"
        if found != wanted:
            todo = "Choose another folder, or delete this one."
            raise SettingsError(f"Simulate {wanted} in {out}.", f"The folder holds {found}.", todo)
    write_json(path, wanted)


def _jobs(folder: Path, cohort: list[SimulatedPatient], seed: int, side_px: int) -> list[_Job]:
    return [
        _Job(
            folder / f"{name}.tif", patient.latents, patient.site, (seed, SLIDE_STREAM, row, number), side_px
        )
        for row, patient in enumerate(cohort)
        for number, name in enumerate(patient.slide_ids)
    ]


def _write_slides(jobs: list[_Job], processes: int, progress: Progress) -> None:
    workers = min(processes, len(jobs))
    if workers < 2:
        for job in jobs:
            progress.advance(note=_write_slide(job))
        return
    # Spawned, not forked: a fork of a process that holds threads of other libraries may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _ignore_interruptions) as pool:
        try:
            for name in pool.map(_write_slide, jobs):
                progress.advance(note=name)
        except BaseException:
            # Only what is being drawn is still waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _ignore_interruptions() -> None:
    """Ctrl-C reaches all processes of a terminal; the parent tells it to the user and ends its pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_slide(job: _Job) -> str:
    rng = np.random.default_rng(job.entropy)
    write_pyramid(job.path, simulate_slide(job.latents, job.site, rng, job.side_px), mpp=SLIDE_MPP)
    return job.path.stem


def _table(columns: tuple[str, ...], cohort: list[SimulatedPatient]) -> str:
    rows = []
    for patient in cohort:
        for slide_id in patient.slide_ids:
            latents = {name: round(value, 6) for name, value in vars(patient.latents).items()}
            cells = {**vars(patient), **latents, "slide_id": slide_id}
            rows.append([cells.get(name) for name in columns])
    return csv_text(columns, rows)
