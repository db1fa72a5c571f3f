"""Maps of what speaks for a prediction: a number per cell, on the map's own grid, with checks beside it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import folder_name
from histonic.core.compressed import CellMap, CompressedSlide, PatientPart
from histonic.core.documents import write_document
from histonic.core.errors import HistonicError, SettingsError, TableError
from histonic.core.files import hash_of, require_writable_folder
from histonic.core.notebooks.results import Result
from histonic.core.places.urls import Url
from histonic.core.processes.memory import keep_memory
from histonic.core.progress import Listener, Progress, heard
from histonic.core.settings import resolve
from histonic.core.task import Task
from histonic.data.maps.fusion import Fusion
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.remote.opening import have_copy
from histonic.data.maps.store import MAP_SUFFIX, thumbnail_path
from histonic.data.tables.issues import list_names
from histonic.models.bundle import read_bundle
from histonic.models.own_maps import require_own_maps
from histonic.runs.documents import CohortPatient
from histonic.runs.run import Run, read_run
from histonic.stages.explain.attribution.checks import (
    LESION_SHARE,
    cell_auc,
    deletion_insertion,
    randomise_weights,
)
from histonic.stages.explain.attribution.methods import METHODS
from histonic.stages.explain.attribution.model_input import ModelInput, model_input_of
from histonic.stages.explain.attribution.output import ExplainedOutput, choose_output
from histonic.stages.explain.attribution.views import ExplainedNetwork, explain_map, networks_of
from histonic.stages.explain.choice import (
    chosen_patients,
    find_map,
    find_task,
    require_slides_for_workers,
    require_store,
    require_unseen,
    settings_for_workers,
    slide_of,
    unseen_networks,
)
from histonic.stages.explain.files import TILES, write_explanation, write_summary
from histonic.stages.explain.lesion import find_lesions, lesion_shares
from histonic.stages.explain.predictions import of_patient, predict_seen
from histonic.stages.explain.record import (
    FOLDER,
    RECORD,
    Explanation,
    Inputs,
    LesionCheck,
    NetworkName,
    read_explanation,
)
from histonic.stages.explain.settings import ExplainKeywords, ExplainSettings
from histonic.stages.explain.slide import find_slide_file, slide_picture
from histonic.training.executors.base import Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.sending import paths_of

NO_LEVEL0 = "pixels of level 0 are not known: no GeoJSON"
METHOD_WORDS = {
    "integrated-gradients": "what the cell adds beyond average tissue",
    "grad-cam": "activations weighed by their mean gradient, what speaks for it",
    "hires-cam": "gradient times activation",
    "occlusion": "what is lost when the cell becomes average tissue",
    "attention": "attention, 1 = an average cell",
}


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


@dataclass(frozen=True)
class _Job:
    """One target on one slide."""

    task: Task
    slide: str
    why: str


@dataclass(frozen=True)
class _Bench:
    """What all jobs share."""

    settings: ExplainSettings
    run: Run
    networks: Sequence[ExplainedNetwork]
    fusion: Fusion
    parts: Sequence[PatientPart]
    place: Path | Url
    store: Path
    lesions: Mapping[str, Path]
    bundle_fingerprint: str
    require_own: Callable[[CompressedSlide], None]


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


def _bench_of(run: Run, settings: ExplainSettings) -> _Bench:
    bundle = read_bundle(run.folder / "bundle")
    names = [slide_id for patient in run.cohort.patients for slide_id in patient.slide_ids]
    parts = [part.name for part in bundle.parts]
    asked = [slide_of(name, parts) for name in settings.slide]
    lesions = find_lesions(settings.masks, sorted({*names, *asked}))
    place = settings.store or run.facts.store
    return _Bench(
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


def _have_maps(bench: _Bench, jobs: Sequence[_Job], listener: Progress | None = None) -> None:
    """Have copies here of the maps that jobs look at, where the store is a remote one."""
    needed = _slides_of(bench.run, jobs)
    have_copy(bench.place, maps=needed, pictures=needed, progress=listener)


@contextmanager
def _prepare(sent: ExplainSettings | None, bench: _Bench | None, device: str) -> Iterator[_Bench]:
    """What pieces share: here already, or on a worker read from the paths in the settings."""
    keep_memory()
    if bench is None and sent is not None:
        bench = _bench_of(read_run(sent.run), sent)
        _have_maps(bench, _jobs(bench))
    yield bench  # type: ignore[misc]  # one of the two is given


def _do(bench: _Bench, job: _Job, listener: Listener) -> tuple[Explanation, str] | HistonicError:
    """The record of an explanation and the name of its folder, or why there is none."""
    listener.doing(_spoken(job))
    try:
        return _explain_one(bench, job, listener)
    except HistonicError as error:
        return error


def _spoken(job: _Job) -> str:
    return f"{job.task.name} {slide_of(job.slide)}"


def _slides_of(run: Run, jobs: Sequence[_Job]) -> list[str]:
    """The slides of all jobs, and those that their patients have besides."""
    names = {job.slide for job in jobs if not job.slide.rstrip("/").endswith(MAP_SUFFIX)}
    patients = [patient for name in names if (patient := run.cohort.patient_of(name)) is not None]
    return sorted(names.union(*(patient.slide_ids for patient in patients)))


def _folder_name(bench: _Bench, job: _Job, slide: CompressedSlide) -> str:
    """Of one explanation: other questions to the same slide lie beside the usual one, not in its place."""
    output = "" if bench.settings.output is None else "--" + re.sub(r"[^\w.+-]+", "_", bench.settings.output)
    return folder_name(slide.slide_id) + output + ("--by-path" if job.slide != slide.slide_id else "")


def _jobs(bench: _Bench) -> list[_Job]:
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
            jobs += [_Job(task, name, "asked") for name in settings.slide]
            continue
        roles = chosen_patients(run.tables[task.name], settings.patients)
        for patient in _ordered(run, task, list(roles), everyone=settings.all_slides):
            why = roles.get(patient.patient_id, "asked")
            jobs += [_Job(task, slide_id, why) for slide_id in patient.slide_ids]
    return jobs


def _ordered(run: Run, task: Task, first: list[str], *, everyone: bool) -> list[CohortPatient]:
    """The chosen patients, or all who were predicted by a network that had not seen them."""
    by_name = {patient.patient_id: patient for patient in run.cohort.patients}
    chosen = [by_name[name] for name in first if name in by_name]
    if not everyone:
        return chosen
    predicted = set(run.tables[task.name].texts("patient_id"))
    return [patient for name, patient in by_name.items() if name in predicted]


def _explain_one(bench: _Bench, job: _Job, progress: Progress) -> tuple[Explanation, str]:
    slide = find_map(bench.store, job.slide, [part.name for part in bench.parts])
    bench.require_own(slide)
    name = f"{job.task.name}/{_folder_name(bench, job, slide)}"
    target = bench.run.folder / FOLDER / bench.settings.method / name
    inputs = _inputs(bench, job, slide)
    if (kept := _finished(target, inputs, slide.knows_level0)) is not None:
        if kept.why != job.why and job.why != "asked":
            kept = kept.model_copy(update={"why": job.why})
            write_document(target / RECORD, kept)
        return kept, name
    # A map given by its path is none of the cohort, even if it has the name of one that is.
    named_by_path = job.slide != slide.slide_id
    networks = (
        list(bench.networks)
        if named_by_path
        else unseen_networks(bench.run, bench.networks, job.task, slide.slide_id)
    )
    require_unseen(networks, job.task, slide.slide_id)
    patient = None if named_by_path else bench.run.cohort.patient_of(slide.slide_id)
    model_input = model_input_of(
        slide, patient, bench.fusion, lambda name: find_map(bench.store, name), bench.parts
    )
    prediction = predict_seen(networks, model_input, job.task, bench.run.facts.calls)
    output = choose_output(job.task, bench.settings.output, prediction.get("predicted"))
    seen = explain_map(networks, model_input.maps, model_input.name, output, METHODS[bench.settings.method])
    values = model_input.on_slide(seen)
    cells = CellMap(slide.slide_id, values.astype(np.float32), slide.grid, _meaning(bench, output))
    lesion = None
    if slide.slide_id in bench.lesions:
        lesion, other = lesion_shares(bench.lesions[slide.slide_id], slide, bench.settings.lesion, progress)
        if other:
            progress.say(
                f"{slide.slide_id}: the annotation knows {list_names(other)} but none of the classes "
                f"{list_names(bench.settings.lesion)}: taken as a slide without a lesion"
            )
    picture = slide_picture(slide, _thumbnail(bench, slide.slide_id), bench.settings.slides_at)
    record = Explanation(
        inputs=inputs,
        why=job.why,
        slide_id=slide.slide_id,
        patient_id=patient.patient_id if patient else "",
        target=job.task.name,
        kind=job.task.kind,
        method=bench.settings.method,
        output=output.name,
        meaning=cells.meaning,
        prediction=prediction,
        patient_prediction=of_patient(bench.run.tables[job.task.name], patient),
        joined=model_input.is_joined,
        truth=patient.targets.get(job.task.name) if patient else None,
        networks=[_network_name(each) for each in networks],
        unseen=patient is not None,
        shrinkage=float(np.mean([float(each.model.heads[job.task.name].shrinkage) for each in networks])),
        cells=int(np.isfinite(values).sum()),
        picture_note="; ".join(
            note
            for note in (picture.note, "" if slide.knows_level0 else NO_LEVEL0, _stain_note(slide))
            if note
        ),
        **_checks(bench, output, networks, model_input, seen, lesion),
    )
    write_explanation(target, record, slide, cells, picture, lesion, bench.settings.tiles)
    if record.shrinkage == 0:
        progress.say(
            f"{job.task.name}, {slide.slide_id}: validation shrank the predictions to nothing, so that the "
            "prediction is the baseline and no cell speaks for anything"
        )
    return record, name


def _stain_note(slide: CompressedSlide) -> str:
    """What the network saw other colours of than the picture shows; empty if it saw these."""
    wanted, own = slide.settings.stain, slide.slide.stain
    if wanted is None:
        return ""
    if own is not None and own.left:
        return f"stains were not normalised: {own.left}"
    return f"the networks saw stains normalised by {wanted.words}; the picture shows the slide's own"


def _thumbnail(bench: _Bench, slide_id: str) -> Path | None:
    places = (thumbnail_path(bench.store, slide_id), bench.run.thumbnail(slide_id))
    return next((place for place in places if place.is_file()), None)


def _codes_of(slide: CompressedSlide) -> str:
    """What a slide's codes were made of; features from elsewhere may change while its file does not."""
    if not slide.encoder.spec.tool:
        return slide.slide.fingerprint
    return hashlib.sha256(f"{slide.slide.fingerprint} {slide.reader.note}".encode()).hexdigest()


def _inputs(bench: _Bench, job: _Job, slide: CompressedSlide) -> Inputs:
    settings = bench.settings
    mask = bench.lesions.get(slide.slide_id)
    return Inputs(
        bundle=bench.bundle_fingerprint,
        slide=_codes_of(slide),
        tissue=hashlib.sha256(np.packbits(np.asarray(slide.mask) > 0).tobytes()).hexdigest(),
        picture=str(find_slide_file(slide, settings.slides_at)),
        by_path=job.slide != slide.slide_id,
        output=settings.output,
        checks=settings.checks,
        tiles=settings.tiles,
        seed=settings.seed,
        lesion=settings.lesion,
        mask=hash_of(mask) if mask else None,
    )


def _finished(target: Path, inputs: Inputs, with_tiles: bool) -> Explanation | None:
    """What lies there by the same inputs; what is absent, damaged or of another version is made anew."""
    if with_tiles and not (target / TILES).is_file():
        return None
    try:
        record = read_explanation(target / RECORD)
    except TableError:
        return None
    return record if record.inputs == inputs else None


def _meaning(bench: _Bench, output: ExplainedOutput) -> str:
    words = METHOD_WORDS[bench.settings.method]
    return words if bench.settings.method == "attention" else f"{words} ({output.unit})"


def _network_name(network: ExplainedNetwork) -> NetworkName:
    member = network.member
    return NetworkName(repeat=member.repeat, fold=member.fold, initialisation=member.initialisation)


def _checks(
    bench: _Bench,
    output: ExplainedOutput,
    networks: Sequence[ExplainedNetwork],
    model_input: ModelInput,
    values: npt.NDArray[np.float64],
    lesion: npt.NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Curves, randomisation and AUC against a lesion, as far as they are asked for and can be had."""
    settings, maps, name = bench.settings, model_input.maps, model_input.name
    mask = model_input.on_slide(maps.mask(name))
    found: dict[str, Any] = {"curves": None, "randomisation": None, "lesion": None}
    auc = None if lesion is None else cell_auc(model_input.on_slide(values), lesion, mask)
    if lesion is not None:
        found["lesion"] = LesionCheck(cells=int((lesion[mask] >= LESION_SHARE).sum()), auc=auc)
    if settings.checks:
        rng = np.random.default_rng([settings.seed, *name.encode()])
        curves = deletion_insertion(networks, maps, name, output, values, rng)
        method = METHODS[settings.method]
        random = randomise_weights(networks, maps, name, output, method, values, settings.seed)
        found |= {"curves": curves, "randomisation": random.noted()}
        found["prediction_name"] = output.prediction_name
        if lesion is not None and auc is not None:
            aucs = [cell_auc(model_input.on_slide(each), lesion, mask) for each in random.values]
            mean = float(np.mean([each for each in aucs if each is not None]))
            found["lesion"] = found["lesion"].model_copy(update={"auc_randomised": mean})
    return found
