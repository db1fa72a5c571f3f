"""One target on one slide: its map of what speaks for the prediction, the checks, and what is kept of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import folder_name
from histonic.core.compressed import CellMap, CompressedSlide, PatientPart
from histonic.core.documents import write_document
from histonic.core.errors import TableError
from histonic.core.files import hash_of
from histonic.core.places.urls import Url
from histonic.core.progress import Progress
from histonic.core.task import Task
from histonic.data.maps.fusion import Fusion
from histonic.data.maps.store import thumbnail_path
from histonic.data.tables.issues import list_names
from histonic.runs.run import Run
from histonic.stages.explain.attribution.checks import (
    LESION_SHARE,
    cell_auc,
    deletion_insertion,
    randomise_weights,
)
from histonic.stages.explain.attribution.methods import METHODS
from histonic.stages.explain.attribution.model_input import ModelInput, model_input_of
from histonic.stages.explain.attribution.output import ExplainedOutput, choose_output
from histonic.stages.explain.attribution.views import ExplainedNetwork, explain_map
from histonic.stages.explain.choice import find_map, require_unseen, unseen_networks
from histonic.stages.explain.files import TILES, write_explanation
from histonic.stages.explain.lesion import lesion_shares
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
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.explain.slide import find_slide_file, slide_picture

NO_LEVEL0 = "pixels of level 0 are not known: no GeoJSON"
METHOD_WORDS = {
    "integrated-gradients": "what the cell adds beyond average tissue",
    "grad-cam": "activations weighed by their mean gradient, what speaks for it",
    "hires-cam": "gradient times activation",
    "occlusion": "what is lost when the cell becomes average tissue",
    "attention": "attention, 1 = an average cell",
}


@dataclass(frozen=True)
class SlideJob:
    """One target on one slide.

    Attributes:
        task: The target.
        slide: Name of the slide, or path of a map.
        why: Why it is explained: ``asked``, or what its patient stands for.
    """

    task: Task
    slide: str
    why: str


@dataclass(frozen=True)
class Bench:
    """What all jobs share.

    Attributes:
        settings: Of the explanation.
        run: Whose predictions are explained.
        networks: All of the run.
        fusion: How the maps of a patient are joined.
        parts: What a patient can have slides of.
        place: Of the store.
        store: Where its maps are here.
        lesions: Annotation files by slide.
        bundle_fingerprint: Hash of the bundle.
        require_own: Refuses a map of another encoder or other settings.
    """

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


def explain_one(bench: Bench, job: SlideJob, progress: Progress) -> tuple[Explanation, str]:
    """Explain one target on one slide and write the files of it, unless they are there already.

    Args:
        bench: What all jobs share.
        job: What is explained.
        progress: Is told what the explanation cannot be trusted in.

    Returns:
        What ``explanation.json`` says, and the folder's name below that of the method.

    Raises:
        HistonicError: It cannot be explained; slide or target is named.
    """
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


def _folder_name(bench: Bench, job: SlideJob, slide: CompressedSlide) -> str:
    """Of one explanation: other questions to the same slide lie beside the usual one, not in its place."""
    output = "" if bench.settings.output is None else "--" + re.sub(r"[^\w.+-]+", "_", bench.settings.output)
    return folder_name(slide.slide_id) + output + ("--by-path" if job.slide != slide.slide_id else "")


def _stain_note(slide: CompressedSlide) -> str:
    """What the network saw other colours of than the picture shows; empty if it saw these."""
    wanted, own = slide.settings.stain, slide.slide.stain
    if wanted is None:
        return ""
    if own is not None and own.left:
        return f"stains were not normalised: {own.left}"
    return f"the networks saw stains normalised by {wanted.words}; the picture shows the slide's own"


def _thumbnail(bench: Bench, slide_id: str) -> Path | None:
    places = (thumbnail_path(bench.store, slide_id), bench.run.thumbnail(slide_id))
    return next((place for place in places if place.is_file()), None)


def _codes_of(slide: CompressedSlide) -> str:
    """What a slide's codes were made of; features from elsewhere may change while its file does not."""
    if not slide.encoder.spec.tool:
        return slide.slide.fingerprint
    return hashlib.sha256(f"{slide.slide.fingerprint} {slide.reader.note}".encode()).hexdigest()


def _inputs(bench: Bench, job: SlideJob, slide: CompressedSlide) -> Inputs:
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


def _meaning(bench: Bench, output: ExplainedOutput) -> str:
    words = METHOD_WORDS[bench.settings.method]
    return words if bench.settings.method == "attention" else f"{words} ({output.unit})"


def _network_name(network: ExplainedNetwork) -> NetworkName:
    member = network.member
    return NetworkName(repeat=member.repeat, fold=member.fold, initialisation=member.initialisation)


def _checks(
    bench: Bench,
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
