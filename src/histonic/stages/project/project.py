"""Maps of a frozen encoder to maps of its projection: the codes are in the store, no slide is read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt

from histonic.core.claims import sole_owner
from histonic.core.compressed import CompressedSlide, EncoderDescription, EncoderSpec
from histonic.core.documents import read_yaml
from histonic.core.errors import EncoderError, StoreError
from histonic.core.files import replacing_file, write_text
from histonic.core.notebooks.results import Result
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.core.units import MPP_TOLERANCE
from histonic.data.maps.facts import MapFacts, read_checked_facts
from histonic.data.maps.quality import read_quality
from histonic.data.maps.shares import SHARES_FILE
from histonic.data.maps.store import CHUNK_CELLS, Store, encoder_path, map_folder, thumbnail_path
from histonic.data.maps.writer import writing_map
from histonic.encoders.base import describe, load_encoder
from histonic.encoders.engines.choice import LEAST_HALF_COSINE
from histonic.encoders.networks.projected import ProjectedEncoder, Projection
from histonic.encoders.tile_heads import HEADS_FILE, heads_beside
from histonic.runs.files import settings_text
from histonic.stages.project.settings import ProjectKeywords, ProjectSettings

SETTINGS_FILE = "settings.yaml"
PACKAGES = ("histonic", "numpy", "torch", "zarr")


@dataclass(repr=False)
class ProjectResult(Result):
    """What a projection did.

    Attributes:
        store: The new store.
        done: Slides projected now.
        skipped: Slides whose maps were there already.
        cells: Cells projected now.
    """

    store: Path
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    cells: int = 0


def project(
    settings: ProjectSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ProjectKeywords],
) -> ProjectResult:
    """Project every map of a store; the result is a store like any other.

    Codes are those that compressing the slides anew with the projected encoder gives, but for the rounding
    of the stored features (float16). Of codes that were imported from another tool it has to be said that
    they are those of the projection's encoder; the new maps are then called apart, and hold no encoder to
    run. Finished maps are skipped, so the same command resumes after an
    interruption.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name: ``store``, ``encoder``, ``out``.

    Raises:
        EncoderError: The encoder is no projected one, or projects codes of another encoder than the store's.
        StoreError: The store is absent, damaged or empty, or the new one holds other maps, or is the same.
        RunError: Another process writes into the new store.
        OutputError: It cannot be written.
    """
    resolved = resolve(ProjectSettings, settings, values)
    listener = heard(progress)
    source = Store.open(resolved.store)
    if resolved.out.resolve() == resolved.store.resolve():
        raise StoreError(
            f"Project {resolved.store} into {resolved.out}.",
            "That is the store itself, whose codes are to be projected.",
            "Choose another --out.",
        )
    encoder = _fitting(resolved, source)
    _say_precision(encoder.spec, source, listener)
    with sole_owner(resolved.out, f"Project {resolved.store} into {resolved.out}."):
        described = _described(encoder, source)  # once: the hash of a large network takes seconds
        _begin(resolved, source, encoder, described)
        result = ProjectResult(resolved.out)
        listener.stage("project", len(source.slide_ids))
        for slide_id in source.slide_ids:
            cells = _project_map(source, slide_id, encoder, described, resolved.out)
            (result.skipped if cells is None else result.done).append(slide_id)
            result.cells += cells or 0
            listener.advance(1, slide_id)
        if (source.path / SHARES_FILE).is_file():
            _copy(source.path / SHARES_FILE, resolved.out / SHARES_FILE)
    return result


def _fitting(settings: ProjectSettings, source: Store) -> ProjectedEncoder:
    """The encoder, at the precision of the store's maps."""
    asked = f"Project {settings.store} with {settings.encoder}."
    encoder = load_encoder(settings.encoder, precision=source.settings.precision)
    if not isinstance(encoder, ProjectedEncoder):
        raise EncoderError(
            asked,
            f"{encoder.spec.name!r} ({encoder.spec.architecture!r}) projects nothing.",
            "Make a projection: histonic encoder train --objective components --weights ENCODER.",
        )
    if encoder.base.fingerprint != source.encoder.fingerprint and not (
        settings.same_encoder and _may_be_same(encoder.base.spec, source.encoder.spec)
    ):
        raise EncoderError(
            asked,
            f"The maps are by {source.encoder.name!r} ({source.encoder.fingerprint[:12]}), the encoder "
            f"projects codes of another one or another version of it ({encoder.base.fingerprint[:12]}).",
            _how_to_project(source.encoder.spec),
        )
    return encoder


def _say_precision(spec: EncoderSpec, source: Store, listener: Progress) -> None:
    """Codes are as exact as those that they are made of: say where compressing would be more so."""
    cosine = spec.half_cosine
    if source.settings.precision == "bf16" and cosine is not None and cosine < LEAST_HALF_COSINE:
        listener.say(
            f"{source.path} is in bfloat16, in which codes of {spec.name!r} lie at a cosine of {cosine:g} to "
            f"those in single precision, below {LEAST_HALF_COSINE:g}: better ones come of a store "
            "compressed with --precision 32"
        )


def _may_be_same(base: EncoderSpec, imported: EncoderSpec) -> bool:
    """Whether another tool can have run the encoder behind a projection: the sizes agree."""
    sizes = (base.code_size, base.tile_px) == (imported.code_size, imported.tile_px)
    return bool(imported.tool) and sizes and abs(base.mpp / imported.mpp - 1) <= MPP_TOLERANCE


def _how_to_project(spec: EncoderSpec) -> str:
    if not spec.tool:
        return "Give the encoder that was trained on codes of the store's own."
    return (
        f"The maps were imported from {spec.tool} ({spec.code_size} numbers, {spec.tile_px} px at "
        f"{spec.mpp:g} µm/px). If that tool ran the same encoder on such tiles, say so: --same-encoder."
    )


def _described(encoder: ProjectedEncoder, source: Store) -> EncoderDescription:
    """What the new maps are made by; behind imported codes it is none that can be run, and called apart."""
    own = describe(encoder)
    spec = source.encoder.spec
    if not spec.tool:
        return own
    both = hashlib.sha256(f"projected {own.fingerprint} {source.encoder.fingerprint}".encode()).hexdigest()
    made = replace(
        own.spec,
        architecture=spec.architecture,
        provenance=f"{own.name} on {spec.provenance}",
        trunk=None,
        projection=None,
    )
    return EncoderDescription(name=own.name, fingerprint=both, spec=made)


def _begin(
    settings: ProjectSettings, source: Store, encoder: ProjectedEncoder, described: EncoderDescription
) -> None:
    """Write encoder, heads and settings beside the maps; refuse a store of other maps."""
    out = Store.open(settings.out)
    if out.slide_ids and out.encoder.fingerprint != described.fingerprint:
        raise StoreError(
            f"Project {settings.store} into {settings.out}.",
            f"It holds {len(out.slide_ids)} maps by {out.encoder.name!r}, another encoder.",
            "Choose another --out, or delete the store.",
        )
    if out.slide_ids and out.settings != source.settings:
        raise StoreError(
            f"Project {settings.store} into {settings.out}.",
            "Its maps were made with other settings (masks, orientations, tissue) than those of the store.",
            "Choose another --out.",
        )
    is_own = not described.spec.tool
    if is_own:
        encoder.save(encoder_path(settings.out))
    heads = heads_beside(settings.encoder) if is_own else None
    if heads is not None:
        _copy(heads, settings.out / HEADS_FILE)
    told = settings.store / SETTINGS_FILE
    made = read_yaml(told, StoreError, "Compress again.") if told.is_file() else {}
    known = dict(made) if isinstance(made, dict) else {}
    projected = {"store": str(settings.store), "encoder": str(settings.encoder)}
    write_text(settings.out / SETTINGS_FILE, settings_text({**known, "projected": projected}))


def _project_map(
    source: Store, slide_id: str, encoder: ProjectedEncoder, described: EncoderDescription, out: Path
) -> int | None:
    """The cells of a map that were projected, None if it is there already.

    Raises:
        StoreError: There is a map of that name of another slide.
    """
    given = read_checked_facts(map_folder(source.path, slide_id))
    facts = given.model_copy(
        update={
            "encoder": described,
            "versions": {name: version(name) for name in PACKAGES},
            "cells": 0,
            "members": "",
            "content": "",
        }
    )
    target = map_folder(out, slide_id)
    there = _is_there(target, facts)
    picture = thumbnail_path(source.path, slide_id)
    if picture.is_file():
        _copy(picture, thumbnail_path(out, slide_id))
    if there:
        return None
    slide = source.map(slide_id)
    turns = 1 if slide.orientations is None else slide.orientations.shape[0]
    with writing_map(target, slide.mask, encoder.spec.code_size, turns) as writer:
        for cells, features in _bands(slide):
            writer.put(cells, _codes(encoder.projection, features, slide_id))
        quality = read_quality(map_folder(source.path, slide_id))
        if quality is not None:
            writer.put_quality(quality.stacked())
        writer.finish(facts)
    return int(slide.mask.sum())


def _is_there(target: Path, facts: MapFacts) -> bool:
    if not target.is_dir():
        return False
    try:
        found = read_checked_facts(target)
    except StoreError:
        return False  # damaged: made again
    if found.slide.fingerprint != facts.slide.fingerprint:
        raise StoreError(
            f"Project the map of {facts.slide_id!r} into {target.parent}.",
            "It holds a map of that name, made of another slide.",
            "Choose another --out, or delete that map.",
        )
    return found.made_from() == facts.made_from()


def _bands(
    slide: CompressedSlide,
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
    """Cells ``(N, 2)`` and their features ``(N, O, F)``, a band of chunks at a time."""
    for top in range(0, len(slide.mask), CHUNK_CELLS):
        rows, cols = np.nonzero(slide.mask[top : top + CHUNK_CELLS])
        if not len(rows):
            continue
        here = (..., slice(top, min(top + CHUNK_CELLS, len(slide.mask))), slice(None))
        if slide.orientations is None:
            found = np.asarray(slide.features[here])[None]
        else:
            found = np.asarray(slide.orientations[here])
        yield np.stack([rows + top, cols], axis=1), found[:, :, rows, cols].transpose(2, 0, 1)


def _codes(
    projection: Projection, features: npt.NDArray[np.float16], slide_id: str
) -> npt.NDArray[np.float32]:
    """Codes ``(N, O, D)`` of features ``(N, O, F)``."""
    count, turns, size = features.shape
    codes = projection.codes(features.reshape(count * turns, size)).reshape(count, turns, -1)
    if not np.isfinite(codes).all() or np.abs(codes).max(initial=0) > np.finfo(np.float16).max:
        raise EncoderError(
            f"Project the map of {slide_id!r}.",
            "Some codes are not finite, or beyond what float16 holds.",
            "The projection is damaged: train it again.",
        )
    return codes


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(target) as partial:
        shutil.copyfile(source, partial)
