"""Maps of what speaks for a prediction: a number per cell, on the map's own grid, with checks beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Unpack

from histonic.core.errors import HistonicError, SettingsError
from histonic.core.files import hash_of, require_writable_folder
from histonic.core.notebooks.results import Result
from histonic.core.processes.memory import keep_memory
from histonic.core.progress import Listener, Progress, heard
from histonic.core.settings import resolve
from histonic.core.task import Task
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.remote.opening import have_copy
from histonic.data.maps.store import MAP_SUFFIX
from histonic.models.bundle import read_bundle
from histonic.models.own_maps import require_own_maps
from histonic.runs.documents import CohortPatient
from histonic.runs.run import Run, read_run
from histonic.stages.explain.attribution.views import networks_of
from histonic.stages.explain.choice import (
    chosen_patients,
    find_task,
    require_slides_for_workers,
    require_store,
    settings_for_workers,
    slide_of,
)
from histonic.stages.explain.explaining import Bench, SlideJob, explain_one
from histonic.stages.explain.files import write_summary
from histonic.stages.explain.lesion import find_lesions
from histonic.stages.explain.record import FOLDER, Explanation
from histonic.stages.explain.settings import ExplainKeywords, ExplainSettings
from histonic.training.executors.base import Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.sending import paths_of


@dataclass(repr=False)
class ExplainResult(Result):
    """What an explanation did.

    Attributes:
        folder: ``RUN/explain/METHOD``.
        records: What ``explanation.json`` says, one item per target and slide that was asked for.
        failures: Target, slide and reason of what could not be explained.
        folders: Of each of ``records``: ``RUN/explain/METHOD/TARGET/SLIDE``.
    """

    folder: Path
    records: list[Explanation] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


def explain(
    settings: ExplainSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ExplainKeywords],
) -> ExplainResult:
    """Explain predictions of a run: for every cell of a slide how much it speaks for the prediction.

    A slide of the cohort is explained by the networks that never saw its patient, any other by all. For each
    target and slide the folder ``RUN/explain/METHOD/TARGET/SLIDE`` gets ``overlay.png``, ``tiles.png``,
    ``cells.geojson``, ``tiles.geojson`` (QuPath), ``values.zarr``, ``curves.png`` and
    ``explanation.json``; above them stand ``summary.csv`` and ``summary.json``. What is there already, by the
    same settings, is kept.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``run="run"``, ``slide=["s1"]``, ``method="hires-cam"``.

    Raises:
        RunError: There is no such run, it is not finished, or a file of it is damaged.
        SettingsError: A setting is wrong, a slide or target is unknown, the aggregator has no attention, or
            all networks were trained on the patient of a slide that was asked for.
        BundleError: The bundle is damaged, or a map was made by another encoder.
        StoreError: The store is not there, or a map is damaged.
        MaskError: An annotation file of a slide cannot be used.
        OutputError: The folder cannot be written.
    """
    resolved = resolve(ExplainSettings, settings, values)
    return explain_read_run(read_run(resolved.run), resolved, heard(progress))


def explain_read_run(run: Run, settings: ExplainSettings, listener: Progress) -> ExplainResult:
    """The same of a run that is read already; see :func:`explain`."""
    sent = None if settings.cluster is None else settings_for_workers(settings, run)
    bench = _bench_of(run, sent or settings)
    jobs = _jobs(bench)
    _have_maps(bench, jobs, listener)
    require_store(bench.store, [job.slide for job in jobs])
    if sent is not None:
        require_slides_for_workers(sent, bench.store, [job.slide for job in jobs])
    result = ExplainResult(require_writable_folder(run.folder / FOLDER / settings.method))
    listener.stage("explain", len(jobs))
    work = Job(
        f"Explain {run.folder}.", partial(_prepare, sent, bench if sent is None else None), _do, _spoken
    )
    reads = [run.folder, *paths_of(bench.settings, "store", "slides_at", "masks")]
    with open_executor(
        work, listener, cluster=settings.cluster, device="cpu", reads=reads, writes=result.folder
    ) as executor:
        for job, found in zip(jobs, executor.results(jobs), strict=True):
            if isinstance(found, HistonicError):
                # A slide that was asked for by name must not fail silently; of many, the others go on.
                if len(jobs) == 1 or isinstance(found, SettingsError):
                    raise found
                result.failures.append((job.task.name, job.slide, found.reason))
            else:
                result.records.append(found[0])
                result.folders.append(result.folder / found[1])
            listener.advance(note=_spoken(job))
    write_summary(result.folder)
    return result


def _bench_of(run: Run, settings: ExplainSettings) -> Bench:
    bundle = read_bundle(run.folder / "bundle")
    names = [slide_id for patient in run.cohort.patients for slide_id in patient.slide_ids]
    parts = [part.name for part in bundle.parts]
    asked = [slide_of(name, parts) for name in settings.slide]
    lesions = find_lesions(settings.masks, sorted({*names, *asked}))
    place = settings.store or run.facts.store
    return Bench(
        settings=settings,
        run=run,
        networks=networks_of(bundle),
        fusion=bundle.fusion,
        parts=bundle.parts,
        place=place,
        store=local_folder(place),
        lesions=lesions,
        bundle_fingerprint=hash_of(run.folder / "bundle" / "bundle.json"),
        require_own=lambda slide: require_own_maps(bundle, [slide]),
    )


def _have_maps(bench: Bench, jobs: Sequence[SlideJob], listener: Progress | None = None) -> None:
    """Have copies here of the maps that jobs look at, where the store is a remote one."""
    needed = _slides_of(bench.run, jobs)
    have_copy(bench.place, maps=needed, pictures=needed, progress=listener)


@contextmanager
def _prepare(sent: ExplainSettings | None, bench: Bench | None, device: str) -> Iterator[Bench]:
    """What pieces share: here already, or on a worker read from the paths in the settings."""
    keep_memory()
    if bench is None and sent is not None:
        bench = _bench_of(read_run(sent.run), sent)
        _have_maps(bench, _jobs(bench))
    yield bench  # type: ignore[misc]  # one of the two is given


def _do(bench: Bench, job: SlideJob, listener: Listener) -> tuple[Explanation, str] | HistonicError:
    """The record of an explanation and the name of its folder, or why there is none."""
    listener.doing(_spoken(job))
    try:
        return explain_one(bench, job, listener)
    except HistonicError as error:
        return error


def _spoken(job: SlideJob) -> str:
    return f"{job.task.name} {slide_of(job.slide)}"


def _slides_of(run: Run, jobs: Sequence[SlideJob]) -> list[str]:
    """The slides of all jobs, and those that their patients have besides."""
    names = {job.slide for job in jobs if not job.slide.rstrip("/").endswith(MAP_SUFFIX)}
    patients = [patient for name in names if (patient := run.cohort.patient_of(name)) is not None]
    return sorted(names.union(*(patient.slide_ids for patient in patients)))


def _jobs(bench: Bench) -> list[SlideJob]:
    """Target and slide, in the order of the targets."""
    settings, run = bench.settings, bench.run
    tasks = [find_task(run, name) for name in settings.target] or list(run.tasks)
    if settings.slide and settings.all_slides:
        raise SettingsError(
            "Explain slides.", "Both --slide and --all-slides are given.", "Give one of the two."
        )
    if settings.output is not None and len(tasks) > 1:
        raise SettingsError(
            f"Explain the output {settings.output!r}.",
            f"There are {len(tasks)} targets: {', '.join(task.name for task in tasks)}.",
            "Say which one with --target.",
        )
    jobs = []
    for task in tasks:
        if settings.slide:
            jobs += [SlideJob(task, name, "asked") for name in settings.slide]
            continue
        roles = chosen_patients(run.tables[task.name], settings.patients)
        for patient in _ordered(run, task, list(roles), everyone=settings.all_slides):
            why = roles.get(patient.patient_id, "asked")
            jobs += [SlideJob(task, slide_id, why) for slide_id in patient.slide_ids]
    return jobs


def _ordered(run: Run, task: Task, first: list[str], *, everyone: bool) -> list[CohortPatient]:
    """The chosen patients, or all who were predicted by a network that had not seen them."""
    by_name = {patient.patient_id: patient for patient in run.cohort.patients}
    chosen = [by_name[name] for name in first if name in by_name]
    if not everyone:
        return chosen
    predicted = set(run.tables[task.name].texts("patient_id"))
    return [patient for name, patient in by_name.items() if name in predicted]
