"""Features that another tool extracted to a store of maps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from histonic.core.claims import sole_owner
from histonic.core.compressed import (
    EncoderDescription,
    MapSettings,
    ReaderDescription,
)
from histonic.core.errors import HistonicError, OutputError, SlideError, StoreError
from histonic.core.files import replacing_file, write_text
from histonic.core.notebooks.results import Result
from histonic.core.progress import Progress, heard, tell_slide
from histonic.core.settings import plain_settings, resolve
from histonic.data.exchange.carried import require_same_rows
from histonic.data.exchange.placing import Placed, place_tiles, require_same_code
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    Rows,
    TileFeatures,
    half_rows,
    require_written,
    sampled_rows,
)
from histonic.data.exchange.tools.forms import find_slides
from histonic.data.maps.facts import MapFacts, read_checked_facts
from histonic.data.maps.failures import MOST_ID_BYTES, Failure, failure_path, names_a_file, write_failure
from histonic.data.maps.store import CHUNK_CELLS, map_folder, thumbnail_path
from histonic.data.maps.writer import MapWriter, writing_map
from histonic.runs.files import settings_text
from histonic.stages.exchange.headers import Header, encoder_of, header_of, read_features
from histonic.stages.exchange.resolutions import KnownSlide, SlideEntry, know_slide, read_entries
from histonic.stages.exchange.settings import ImportFeaturesKeywords, ImportFeaturesSettings
from histonic.stages.exchange.tensors import TorchFiles

SETTINGS_FILE = "settings.yaml"
PACKAGES = ("histonic", "numpy", "zarr")
OFF_SCALE = 0.1
"""Relative difference from the resolution by which the tiles are called, beyond which a slide is named."""
SAMPLED_ROWS = 64
STEP_UNSTATED = "CLAM"


@dataclass(repr=False)
class ImportFeaturesResult(Result):
    """What an import did.

    Attributes:
        store: The store.
        tool: Whose files they are.
        encoder: By what the maps were made; None if there is no map.
        done: Slides imported now.
        skipped: Slides whose maps were there already.
        failures: Slides that could not be imported.
        moved: By slide what was moved to the nearest cell, and dropped, in words.
        dropped: Tiles whose cell another one overlaps more, of all slides.
        tiles: Tiles of the slides imported now.
        pictures: Slides whose files were opened.
    """

    store: Path
    tool: str = ""
    encoder: EncoderDescription | None = None
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    tiles: int = 0
    pictures: int = 0


@dataclass(frozen=True)
class _Job:
    """What all slides share."""

    settings: ImportFeaturesSettings
    form: Form
    request: Request
    entries: Mapping[str, SlideEntry]
    encoder: EncoderDescription
    map_settings: MapSettings


def import_features(
    settings: ImportFeaturesSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ImportFeaturesKeywords],
) -> ImportFeaturesResult:
    """Make a store of features that TRIDENT, CLAM, STAMP, slide2vec, AtlasPatch or wsidata extracted.

    No slide and no encoder is needed. Each tile becomes the cell that it is; float16 is kept. Where a tool
    begins a lattice at every piece of tissue (CLAM, wsidata), tiles come to their nearest cell, by at most
    half a step, and what is moved and dropped is said. The encoder of the maps is called by tool, name, tile
    and resolution, so that networks are never used on others. Finished slides are skipped: the same command
    resumes. A slide that fails is recorded with stage and reason; the others go on.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``folder="trident_job"``, ``out="store"``, ``mpp=0.25``.

    Raises:
        SettingsError: The folder holds no features, or those of several encoders of which none was named.
        TableError: The slide table is wrong.
        StoreError: The store holds maps of another encoder.
        RunError: Another process writes into the store.
        OutputError: The store cannot be written.
    """
    resolved = resolve(ImportFeaturesSettings, settings, values)
    listener = heard(progress)
    entries = read_entries(resolved)
    request = Request(
        resolved.folder, TorchFiles(), resolved.features, resolved.coords, resolved.tile_px, resolved.names
    )
    form, found = find_slides(request, resolved.form)
    unknown = sorted(set(entries) - {each.slide_id for each in found})
    if unknown:
        listener.say(f"{len(unknown)} slides of the table have no features, such as {', '.join(unknown[:3])}")
    result = ImportFeaturesResult(resolved.out, form.tool)
    with sole_owner(resolved.out, f"Import {resolved.folder} into {resolved.out}."):
        headers, usable = _read_headers(form, found, request, resolved, entries, result, listener)
        if usable:
            encoder, map_settings = encoder_of(form, usable, headers, resolved)
            result.encoder = encoder
            write_text(resolved.out / SETTINGS_FILE, settings_text(plain_settings(resolved)))
            job = _Job(resolved, form, request, entries, encoder, map_settings)
            listener.stage("import", len(usable))
            for each in usable:
                _import_slide(job, each, result, listener)
                listener.advance(note=each.slide_id)
    result.failures.sort(key=lambda failure: failure.slide_id)
    result.skipped.sort()
    return result


def _read_headers(
    form: Form,
    found: Sequence[Found],
    request: Request,
    settings: ImportFeaturesSettings,
    entries: Mapping[str, SlideEntry],
    result: ImportFeaturesResult,
    progress: Progress,
) -> tuple[dict[str, Header], list[Found]]:
    """What each file says, before any is imported; files that cannot be read are failures."""
    headers, usable = {}, []
    progress.stage("look at the files", len(found))
    for each in found:
        try:
            _require_usable_id(each)
            features = read_features(form, each, request)
            headers[each.slide_id] = header_of(features, entries.get(each.slide_id), settings)
            usable.append(each)
        except SlideError as error:
            _record(each, "read", error, result, progress)
        progress.advance(note=each.slide_id)
    return headers, usable


def _require_usable_id(found: Found) -> None:
    if not names_a_file(found.slide_id):
        raise SlideError(
            f"Import {found.path}.",
            f"Its name cannot name a map: {found.slide_id[:60]!r}.",
            f"Use a name of at most {MOST_ID_BYTES} bytes that does not begin with a point.",
        )


def _import_slide(job: _Job, found: Found, result: ImportFeaturesResult, progress: Progress) -> None:
    stage = "read"
    try:
        features = _on_step_of_store(job, read_features(job.form, found, job.request))
        stage = "resolution"
        known = know_slide(features, job.entries.get(found.slide_id), job.settings)
        stage = "lattice"
        placed = place_tiles(features, known.mpp, known.slide_wh, job.settings.lattice)
        _require_own(job, features)
        _require_stride(job, features, placed)
        stage = "features"
        facts = _facts(job, features, known, placed)
        rows, unwritten = None, ""
        if features.carried is not None:
            # Also where the map is there: rows may have been changed since.
            rows = half_rows(features)
            require_same_rows(features.carried, features.xy, rows, features.slide_id, features.path)
        if _is_there(job, facts):
            result.skipped.append(found.slide_id)
        else:
            rows = half_rows(features) if rows is None else rows
            if features.carried is None:
                unwritten = require_written(features, rows)
            stage = "write"
            _write_map(job.settings.out, facts, placed, rows)
            result.done.append(found.slide_id)
            tell_slide(progress, found.slide_id)
            result.tiles += len(rows)
        drawn = known.drawn(placed.grid, placed.mask)
        if drawn is not None:
            with replacing_file(thumbnail_path(job.settings.out, found.slide_id)) as partial:
                partial.write_bytes(drawn)
    except HistonicError as error:
        if isinstance(error, OutputError) and error.is_full:
            raise
        _record(found, stage, error, result, progress)
        return
    failure_path(job.settings.out, found.slide_id).unlink(missing_ok=True)
    result.pictures += known.picture is not None
    result.dropped += int((~placed.kept).sum())
    if unwritten:
        progress.say(f"{found.slide_id}: {unwritten}")
    for note in filter(None, (features.note, known.note)):
        progress.say(f"{found.slide_id}: {note}")
    if words := placed.words():
        result.moved[found.slide_id] = words
        progress.say(f"{found.slide_id}: {words}")
    times = placed.grid.mpp / job.encoder.spec.mpp
    if features.carried is None and abs(times - 1) > OFF_SCALE:
        progress.say(
            f"{found.slide_id}: its tiles are {placed.grid.mpp:.3g} µm/px, those of the store are called "
            f"{job.encoder.spec.mpp:g}: things on it look {1 / times:.2g} times as large as they should"
        )


def _on_step_of_store(job: _Job, features: TileFeatures) -> TileFeatures:
    """CLAM's files do not state the step, and a slide of few tiles may not show it: it is the store's."""
    side, tile_px = features.side, features.tile_px
    if job.form.tool != STEP_UNSTATED or features.carried is not None or side is None or tile_px is None:
        return features
    return replace(features, step=side * (job.map_settings.stride_px or tile_px) / tile_px)


def _require_stride(job: _Job, features: TileFeatures, placed: Placed) -> None:
    own, wanted = placed.grid.stride_px, job.map_settings.stride_px or placed.grid.tile_px
    if features.carried is None and own != wanted:
        raise SlideError(
            f"Import the slide {features.slide_id!r} from {features.path}.",
            f"Its tiles are {own} of their own pixels apart, those of the store {wanted}.",
            "Keep one step per store: import it into another --out.",
        )


def _require_own(job: _Job, features: TileFeatures) -> None:
    """Refuse features of another encoder than the store's."""
    spec, carried = job.encoder.spec, features.carried
    if carried is None and spec.tool:
        require_same_code(features, spec.code_size, spec.tile_px)
    own = None if carried is None else carried.facts.encoder.fingerprint
    is_other = features.encoder != spec.name if carried is None else own != job.encoder.fingerprint
    if is_other or (carried is None and not spec.tool):
        raise SlideError(
            f"Import the slide {features.slide_id!r} from {features.path}.",
            f"Its features are by {features.encoder!r}, those of the store by {job.encoder.name!r} "
            "(or another version of it).",
            "Keep one encoder per store: import it into another --out.",
        )
    if carried is not None and carried.facts.settings != job.map_settings:
        raise SlideError(
            f"Import the slide {features.slide_id!r} from {features.path}.",
            "Its map was made with other settings than those of the store.",
            "Import it into another --out.",
        )


def _facts(job: _Job, features: TileFeatures, known: KnownSlide, placed: Placed) -> MapFacts:
    if features.carried is not None:
        return features.carried.facts.model_copy(update={"slide_id": features.slide_id})
    key = _key(features)
    slide = known.description
    return MapFacts(
        slide_id=features.slide_id,
        grid=placed.grid,
        slide=slide.model_copy(update={"fingerprint": slide.fingerprint or key}),
        reader=ReaderDescription(
            name=job.form.tool,
            note="; ".join(
                part
                for part in (
                    f"features {key[:16]} of {features.path.name}",
                    placed.words(),
                    features.note,
                    known.note,
                )
                if part
            ),
        ),
        appearance=known.appearance(placed.grid, placed.mask),
        encoder=job.encoder,
        settings=job.map_settings,
        versions={name: version(name) for name in PACKAGES},
    )


def _key(features: TileFeatures) -> str:
    """Hash of the positions and of rows from all over the features, by which other ones are noticed."""
    digest = hashlib.sha256(np.ascontiguousarray(features.xy).tobytes())
    digest.update(np.ascontiguousarray(sampled_rows(features, SAMPLED_ROWS)).tobytes())
    digest.update(f"{features.unit}{features.shape}{features.encoder}".encode())
    return digest.hexdigest()


def _is_there(job: _Job, facts: MapFacts) -> bool:
    """Whether the map is there, made of the same files.

    Raises:
        StoreError: It was made of others.
    """
    target = map_folder(job.settings.out, facts.slide_id)
    if not target.is_dir():
        return False
    try:
        found = read_checked_facts(target)
    except StoreError:
        return False  # damaged: made again
    if found.made_from() == facts.made_from() and found.reader == facts.reader and found.grid == facts.grid:
        return True
    if job.settings.replace:
        return False
    raise StoreError(
        f"Import the slide {facts.slide_id!r} into {job.settings.out}.",
        "It holds a map of that name, made of other features or at another resolution.",
        "Replace it with --replace, or choose another --out.",
    )


def _write_map(store: Path, facts: MapFacts, placed: Placed, rows: Rows) -> None:
    cells, codes = placed.cells[placed.kept], rows[placed.kept]
    order = np.lexsort((cells[:, 1], cells[:, 0]))
    with writing_map(map_folder(store, facts.slide_id), placed.mask, rows.shape[1]) as writer:
        _put(writer, cells[order], codes, order)
        writer.finish(facts)


def _put(writer: MapWriter, cells: Any, codes: Rows, order: Any) -> None:
    """All cells in row-major order, a band of chunks at a time."""
    bands = cells[:, 0] // CHUNK_CELLS
    for start, end in zip(
        np.flatnonzero(np.diff(bands, prepend=-1)),
        [*np.flatnonzero(np.diff(bands)) + 1, len(cells)],
        strict=True,
    ):
        writer.put(cells[start:end], codes[order[start:end], None, :].astype(np.float32))


def _record(
    found: Found, stage: str, error: HistonicError, result: ImportFeaturesResult, progress: Progress
) -> None:
    failure = Failure(found.slide_id, str(found.path), stage, error.reason)
    result.failures.append(failure)
    tell_slide(progress, failure.slide_id, failure.reason)
    try:
        write_failure(result.store, failure)
    except OutputError as unwritten:
        if unwritten.is_full:
            raise
        progress.say(str(unwritten))
    progress.say(f"{found.slide_id}: failed at {stage}: {error.reason}")
