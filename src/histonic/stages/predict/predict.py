"""Slides or maps to predictions, with one portable bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

from histonic.core.cohort import Patient
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import BundleError, CohortError, SettingsError
from histonic.core.files import require_writable_file
from histonic.core.notebooks.results import Result
from histonic.core.places.frames import FrameTable
from histonic.core.places.urls import Place, Url
from histonic.core.progress import Progress, heard
from histonic.core.settings import MaskSettings, StainSettings, TissueSettings, resolve
from histonic.data.maps.failures import Failure
from histonic.data.maps.fusion import fuse_patient, maps_of
from histonic.data.maps.memory import Maps, memory_for_one_look
from histonic.data.maps.remote.opening import fetch_maps, open_store
from histonic.data.maps.store import MAP_SUFFIX, Store, read_map
from histonic.data.tables.issues import raise_first
from histonic.data.tables.joins import fitting_column, join_slides
from histonic.data.tables.label_table import LabelTable, read_labels
from histonic.data.tables.slide_lists import read_slide_list
from histonic.data.tables.styles import NO_SPLIT
from histonic.models.bundle import Bundle, bundle_in, read_bundle
from histonic.models.familiarity import mean_codes
from histonic.models.members import FloatArray, Member, prediction_columns
from histonic.models.own_maps import require_own_maps
from histonic.models.predicting import predict_patients
from histonic.runs.documents import FIRST_LOOK
from histonic.runs.files import write_frame
from histonic.stages.compress.compress import compress
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.predict.parts import maps_of_parts, masks_of_part, patients_by_name, tell_missing
from histonic.stages.predict.settings import PredictKeywords, PredictSettings
from histonic.training.devices import deterministic, make_fabric, pick_device

UNLIKE, DISTANCE = "unlike_training", "distance_from_training"
NAMED = 10


@dataclass(repr=False)
class PredictResult(Result):
    """What a prediction did.

    Attributes:
        out: The table.
        rows: Slides in it.
        failures: Slides that could not be predicted.
    """

    out: Path
    rows: int = 0
    failures: list[Failure] = field(default_factory=list)


def predict(
    settings: PredictSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[PredictKeywords],
) -> PredictResult:
    """Predict every target of a bundle or run for slides or maps, one row a slide or patient.

    Slides are compressed with the bundle's own encoder and settings; maps must have been made by that
    encoder. A bundle of several parts of a patient takes a folder that holds a folder of slides or maps for
    each, named like the part; without a table slides of one name are one patient's.

    Columns are ``slide_id`` (``patient_id`` if a table of patients is given) and, per target, those of a
    run's predictions with the target's name and a point before them. ``unlike_training`` is yes for slides
    whose mean code lies farther from those of the training than 97.5 % of its own do, and
    ``distance_from_training`` says how far, as a multiple of that limit; both are empty where the bundle
    knows fewer than 20 maps, and of several parts. A slide that fails is listed, and the others go on.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``bundle="run/bundle"``, ``slides=["a.svs"]``.

    Raises:
        SettingsError: A setting is wrong, or no slide was given.
        BundleError: The bundle is damaged, or a map was made by another encoder.
        StoreError: A map is damaged.
        OutputError: The table cannot be written.
    """
    resolved = resolve(PredictSettings, settings, values)
    listener = heard(progress)
    bundle = read_bundle(bundle_in(resolved.bundle))
    if not resolved.slides:
        raise SettingsError(
            "Predict.", "No slide was given.", "Give slide files, folders, a CSV with a path column, or maps."
        )
    for name, coding in bundle.codings.items():
        listener.say(f"{name}: {coding.text}")
    if resolved.columns and resolved.patients is None:
        raise SettingsError(
            "Predict with names of columns.",
            "They are those of the table of patients, and none was given.",
            "Give it with --patients, or leave out --columns.",
        )
    pick_device(resolved.device)
    require_writable_file(resolved.out)
    table = None
    if resolved.patients is not None:  # before any slide is compressed
        columns = {**resolved.columns, **NO_SPLIT}
        table = read_labels(resolved.patients, columns=columns, sheet=resolved.label_sheet)
    result = PredictResult(resolved.out)

    def made(own: Bundle, files: Sequence[Place | FrameTable], out: Path, part: str = "") -> Store:
        settings = resolved
        if part and resolved.masks is not None:
            settings = resolved.model_copy(update={"masks": masks_of_part(resolved.masks, part)})
        return _compress(own, files, settings, out, result, listener)

    with tempfile.TemporaryDirectory(prefix="histonic-") as folder:
        if bundle.parts:
            maps = maps_of_parts(bundle, resolved.slides, Path(folder), made)
        else:
            maps, files = _sort_out(resolved.slides)
            if files:
                store = made(bundle, files, Path(folder) / "store")
                maps += [store.map(slide_id) for slide_id in store.slide_ids]
        require_own_maps(bundle, maps)
        frame = _predict_maps(bundle, maps, table, resolved.device, listener)
    result.rows = len(frame)
    write_frame(resolved.out, frame)
    return result


def _sort_out(
    paths: Sequence[Place | FrameTable],
) -> tuple[list[CompressedSlide], list[Place | FrameTable]]:
    """Maps opened, and the paths that hold slides."""
    maps: list[CompressedSlide] = []
    files: list[Place | FrameTable] = []
    for path in paths:
        if isinstance(path, Url) and not path.suffix:  # files of slides have an ending
            store = open_store(path)
            fetch_maps(store, store.slide_ids)
            maps += [store.map(slide_id) for slide_id in store.slide_ids]
        elif not isinstance(path, Path):
            files.append(path)
        elif path.is_dir() and path.name.endswith(MAP_SUFFIX):
            maps.append(read_map(path))
        elif path.is_dir() and any(path.glob(f"*{MAP_SUFFIX}")):
            store = Store.open(path)
            maps += [store.map(slide_id) for slide_id in store.slide_ids]
        else:
            files.append(path)
    return maps, files


def _compress(
    bundle: Bundle,
    files: Sequence[Place | FrameTable],
    settings: PredictSettings,
    out: Path,
    result: PredictResult,
    progress: Progress,
) -> Store:
    """A temporary store of the slides, made as the training maps were."""
    encoder = _encoder_of(bundle)
    if not encoder.is_file():
        raise BundleError(
            f"Predict from slides with {bundle.folder}.",
            f"It holds no encoder; its maps were made by {bundle.encoder.name!r}.",
            bundle.how_to_make_maps(
                "Compress the slides with that encoder first, and predict from the maps."
            ),
        )
    made = bundle.compress_settings
    listed = read_slide_list(files, settings.slide_sheet, settings.names)
    masked = settings.masks is not None or any(row.mask for row in listed)
    done = compress(
        CompressSettings(
            slides=tuple(files),
            sheet=settings.sheet,
            names=settings.names,
            encoder=str(encoder),
            out=out,
            mpp=settings.mpp,
            masks=settings.masks,
            orientations=made.orientations,
            precision=made.precision,
            most_enlargement=settings.most_enlargement or float(made.most_enlargement),
            leave_out=made.leave_out,
            exact_averaging=made.exact_averaging,
            stride_px=made.stride_px,
            device=settings.device,
            tissue=made.tissue or TissueSettings(),
            stain=StainSettings(
                method="auto" if made.stain is None else made.stain.method,
                otherwise="refuse" if made.stain is None else made.stain.otherwise,
                normalisation=made.stain,
            ),
            mask=made.mask if masked else MaskSettings(),
        ),
        progress=progress,
    )
    result.failures += done.failures
    return Store.open(out)


def _encoder_of(bundle: Bundle) -> Path:
    """The encoder's file, of a bundle as it is for one of its parts."""
    own = [part.name for part in bundle.parts if part.encoder == bundle.encoder]
    return bundle.encoder_path_of(own[0] if own else "")


def _predict_maps(
    bundle: Bundle,
    slides: Sequence[CompressedSlide],
    table: LabelTable | None,
    device: str,
    progress: Progress,
) -> pd.DataFrame:
    """One row a slide or, with a table of patients, a patient; sorted by name."""
    by_id = {slide.slide_id: slide for slide in slides}
    if table is None:
        key = "slide_id"
        patients = (
            patients_by_name(by_id)
            if bundle.parts
            else [Patient(slide_id, (slide_id,)) for slide_id in sorted(by_id)]
        )
    else:
        key = "patient_id"
        patients = _with_slides(table, by_id)
    columns: dict[str, list[Any]] = {key: [patient.patient_id for patient in patients]}
    tell_missing(bundle, patients, progress)
    if patients:
        predicted = predict_by_bundle(bundle, patients, by_id.__getitem__, device, progress)
        found = predicted.values
        for task in bundle.tasks:
            joined = prediction_columns(
                task,
                [each[task.name] for each in found],
                bundle.members,
                bundle.calls,
                bundle.operating_points,
            )
            columns.update({f"{task.name}.{name}": cells for name, cells in joined.items()})
        columns[UNLIKE] = [_unlike_word(each) for each in predicted.distances]
        columns[DISTANCE] = ["" if np.isnan(each) else f"{each:.3g}" for each in predicted.distances]
    return pd.DataFrame(columns)


def _with_slides(table: LabelTable, slides: Collection[str]) -> list[Patient]:
    """The patients of a table who have a slide here, each with those slides."""
    join = join_slides(table, sorted(slides))
    raise_first(join.issues)
    if join.unlabelled:
        fitting = "" if any(join.slides.values()) else fitting_column(table, sorted(slides))
        raise CohortError(
            f"Predict by patient with {table.path}.",
            f"It names no patient for the slides {', '.join(sorted(join.unlabelled)[:20])}.",
            f"Name its column of the slides: {fitting}."
            if fitting
            else "Add their rows (patient_id, slide_id), or leave these slides out.",
        )
    return [Patient(patient, found) for patient, found in join.slides.items() if found]


def _unlike_word(distance: float) -> str:
    return "" if np.isnan(distance) else "yes" if distance > 1 else "no"


@dataclass(frozen=True)
class BundlePredictions:
    """What a bundle says of patients.

    Attributes:
        values: Per network and task ``(P, W)``.
        distances: ``(P,)`` of each patient's least familiar map from those of the training, as multiples of
            the limit: above 1 it is unlike them. NaN where the bundle does not know.
    """

    values: list[dict[str, FloatArray]]
    distances: FloatArray


def predict_by_bundle(
    bundle: Bundle,
    patients: Sequence[Patient],
    read: Callable[[str], CompressedSlide],
    device: str,
    progress: Progress,
) -> BundlePredictions:
    """What every network of a bundle says, and whether the maps look like those that it was trained on.

    Args:
        bundle: The networks.
        patients: With their slides, which come together as they did in training.
        read: Opens the map of a slide.
        device: auto, cpu or cuda.
        progress: Told of every map and network.

    Raises:
        BundleError: A prediction is no finite number; patient and target are named.
    """
    if bundle.quick:
        progress.say(f"{bundle.folder}: {FIRST_LOOK}")
    maps = Maps(maps_of(patients, bundle.fusion, read, bundle.parts), progress, memory_for_one_look())
    seen = [fuse_patient(patient, bundle.fusion) for patient in patients]
    fabric = make_fabric(device)
    found = []
    progress.stage("predict", len(bundle.models))
    with deterministic():
        for member, model in zip(bundle.members, bundle.models, strict=True):
            fabric.to_device(model)
            found.append(
                predict_patients(
                    model, maps, seen, fabric=fabric, crop_cells=member.crop_cells, crops=bundle.test_crops
                )
            )
            _require_finite(bundle, patients, member, found[-1])
            progress.advance(1)
    distances = _distances(bundle, seen, maps)
    _tell_unlike(patients, distances, progress)
    return BundlePredictions(found, distances)


def _distances(bundle: Bundle, seen: Sequence[Patient], maps: Maps) -> FloatArray:
    if bundle.familiar is None:
        return np.full(len(seen), np.nan)
    known = bundle.familiar
    return np.array([known.of_patient(mean_codes(maps.moments, each.slide_ids)) for each in seen])


def _tell_unlike(patients: Sequence[Patient], distances: FloatArray, progress: Progress) -> None:
    unlike = [patient.patient_id for patient, each in zip(patients, distances, strict=True) if each > 1]
    if unlike:
        progress.say(
            f"{len(unlike)} of {len(patients)} look unlike slides of the training (stain, scanner, tissue "
            f"or artefacts), and what is predicted of them may not hold: {', '.join(unlike[:NAMED])}"
            + (" ..." if len(unlike) > NAMED else "")
        )


def _require_finite(
    bundle: Bundle, patients: Sequence[Patient], member: Member, found: Mapping[str, FloatArray]
) -> None:
    for name, values in found.items():
        odd = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(odd):
            raise BundleError(
                f"Predict {name!r} of {patients[int(odd[0])].patient_id} with {bundle.folder}.",
                f"The network of fold {member.fold + 1} gives no finite number ({len(odd)} patient(s) or "
                "slide(s) like that).",
                "Compress these slides anew; if that does not help, train again.",
            )
