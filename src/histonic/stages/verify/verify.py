"""Every byte of stores, runs, bundles and encoders compared with the hashes that were written with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from histonic.core.documents import is_changed, read_values
from histonic.core.errors import HistonicError, RunError, SettingsError, StoreError
from histonic.core.files import PARTIAL_PREFIX, hash_of, remove
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.maps.cell_maps import read_cell_map
from histonic.data.maps.facts import MapFacts
from histonic.data.maps.failures import read_failure
from histonic.data.maps.remote.mirror import Mirror
from histonic.data.maps.store import MAP_SUFFIX, encoder_path, stores_in
from histonic.encoders.base import load_encoder
from histonic.models.bundle import read_bundle
from histonic.runs.run import read_facts, read_whole_run
from histonic.stages.explain.record import RECORD, read_explanation
from histonic.stages.verify.maps import AGAIN, Fault, Makers, facts_if_whole
from histonic.stages.verify.remote import look_at_maps
from histonic.stages.verify.settings import VerifyKeywords, VerifySettings


@dataclass(frozen=True)
class Verified:
    """What was found under one path.

    Attributes:
        path: As given, a URL of a store too.
        kind: ``store``, ``run``, ``bundle`` or ``encoder``.
        checked: Number of maps, files or networks that were looked at.
        faults: What is damaged; empty if nothing is.
    """

    path: Path | Url
    kind: str
    checked: int
    faults: tuple[Fault, ...]


def verify(
    settings: VerifySettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[VerifyKeywords],
) -> list[Verified]:
    """Compare stores, runs, bundles and encoders with the hashes that were written with them.

    Opening a map compares its facts and the checksums of its chunks; here every byte is read, with ``quick``
    of maps only what opening them compares: their facts, and which files there are with which checksums.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``paths=["store"]``, ``repair=True``.

    Returns:
        One result a path, in their order; of a folder of several stores one for each.

    Raises:
        SettingsError: A path is none of the four.

    Example:
        >>> import tempfile
        >>> from histonic.encoders.base import load_encoder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     load_encoder("colour").save(f"{folder}/e.safetensors")
        ...     [(found.kind, found.faults) for found in verify(paths=[f"{folder}/e.safetensors"])]
        [('encoder', ())]
    """
    resolved = resolve(VerifySettings, settings, values)
    listener = heard(progress)
    paths = [each for path in resolved.paths for each in _stores_of(path)]
    return [_verify(path, _kind(path), resolved, listener) for path in paths]


def _stores_of(path: Path | Url) -> list[Path | Url]:
    """The stores of a folder that holds several, else the path itself."""
    if isinstance(path, Url):
        return [path]
    is_store = not path.is_dir() or any(path.glob(f"*{MAP_SUFFIX}"))
    names = [] if is_store or (path / "run.json").is_file() else stores_in(path)
    return [path / name for name in names] if len(names) > 1 else [path]


def _kind(path: Path | Url) -> str:
    if isinstance(path, Url):
        return "store"
    if path.is_file():
        return "encoder"
    if (path / "bundle.json").is_file():
        return "bundle"
    if (path / "run.json").is_file():
        return "run"
    if path.is_dir() and (encoder_path(path).is_file() or any(path.glob(f"*{MAP_SUFFIX}"))):
        return "store"
    raise SettingsError(
        f"Verify {path}.",
        "There is no such file or folder."
        if not path.exists()
        else "It is no store, finished run or bundle.",
        "Give a store, a run, a bundle, or the .safetensors file of an encoder.",
    )


def _verify(path: Path | Url, kind: str, settings: VerifySettings, progress: Progress) -> Verified:
    progress.stage(f"verify {path}", None)
    checked, faults = 0, []
    for found in _findings(path, kind, settings, progress):
        checked += 1
        progress.advance(1, str(found.path if found is not None else path))
        if found is not None:
            faults.append(_remove(found) if settings.repair and found.can_be_made_anew else found)
    return Verified(path, kind, checked, tuple(faults))


def _remove(fault: Fault) -> Fault:
    if isinstance(fault.path, Url):
        return fault  # removed where it was found
    try:
        remove(fault.path)
    except OSError as error:
        return Fault(fault.path, f"{fault.found} It cannot be removed: {error}.", fault.todo, True)
    return Fault(fault.path, fault.found, fault.todo, True, was_removed=True)


Findings = Iterator[Fault | None]
"""One item a thing looked at: None where it is as written."""


def _findings(path: Path | Url, kind: str, settings: VerifySettings, progress: Progress) -> Findings:
    if isinstance(path, Url):
        return _remote_store(path, settings, progress)
    if kind == "store":
        return _store(path, settings.quick)
    return {"run": _run, "bundle": _bundle, "encoder": _encoder}[kind](path)


def _store(folder: Path, quick: bool) -> Findings:
    makers = Makers()
    for path in sorted(folder.glob(f"*{MAP_SUFFIX}")):
        if path.name.startswith(PARTIAL_PREFIX):
            continue
        facts = facts_if_whole(path, quick)
        if isinstance(facts, str):
            yield Fault(path, facts, AGAIN, can_be_made_anew=True)
        else:
            makers.add(facts)
            yield None
    yield from _beside_maps(folder, makers)


def _remote_store(url: Url, settings: VerifySettings, progress: Progress) -> Findings:
    makers = Makers()
    with tempfile.TemporaryDirectory(prefix="histonic-") as folder:
        mirror = Mirror(Objects(url), Path(folder))
        yield from look_at_maps(mirror, makers, settings, progress)
        # What lies beside the maps can be looked at in the copy; where the maps lie it was removed.
        yield from (_there(found, mirror) for found in _beside_maps(mirror.folder, makers))


def _there(found: Fault | None, mirror: Mirror) -> Fault | None:
    """The same fault where it lies."""
    if found is None or not isinstance(found.path, Path):
        return found
    if found.path == mirror.folder:  # of the store as a whole
        return Fault(mirror.objects.url, found.found, found.todo)
    name = found.path.relative_to(mirror.folder).as_posix()
    return Fault(Url(f"{mirror.objects}/{name}"), found.found, "Remove that object. " + found.todo)


def _beside_maps(folder: Path, makers: Makers) -> Findings:
    for path in sorted((folder / "failures").glob("*.json")):
        try:
            read_failure(path)
            yield None
        except StoreError as error:
            yield Fault(path, error.found, AGAIN, can_be_made_anew=True)
    if len(makers.made) > 1:
        apart = "Keep one encoder and one set of settings per store: compress into separate folders."
        yield Fault(folder, f"Its maps were made in {len(makers.made)} ways.", apart)
    elif encoder_path(folder).is_file():
        yield _fault_of_store_encoder(encoder_path(folder), makers.first)


def _fault_of_store_encoder(path: Path, made: MapFacts | None) -> Fault | None:
    try:
        encoder = load_encoder(path, precision=made.settings.precision if made else "32")
    except HistonicError as error:
        return Fault(path, error.found, AGAIN, can_be_made_anew=True)
    if made and encoder.fingerprint != made.encoder.fingerprint:
        return Fault(path, "It is not the encoder that made the maps.", AGAIN, can_be_made_anew=True)
    return None


def _run(folder: Path) -> Findings:
    todo = "Restore it from a copy, or train again into another folder."
    try:
        facts = read_facts(folder)
        read_whole_run(folder)
        yield None
    except RunError as error:
        yield Fault(folder, f"{error.asked} {error.found}", todo)
        return
    changed = is_changed(read_values(folder / "run.json", RunError, todo))
    yield Fault(folder / "run.json", "It has changed since the training ended.", todo) if changed else None
    for name, wanted in facts.files.items():
        path = folder / name
        try:
            same = hash_of(path) == wanted
            yield None if same else Fault(path, "It has changed since the training ended.", todo)
        except OSError as error:
            yield Fault(path, f"It cannot be read: {error.strerror}.", todo)
    if (folder / "bundle").is_dir():
        wanted = facts.bundle_fingerprint
        yield from _bundle(folder / "bundle", wanted)
    for path in sorted(folder.glob(f"explain/*/*/*/{RECORD}")):
        try:
            read_explanation(path)
            read_cell_map(path.parent / "values.zarr")
            yield None
        except HistonicError as error:
            yield Fault(path.parent, error.found, "Run 'histonic explain' again.", can_be_made_anew=True)


def _bundle(folder: Path, wanted: str | None = None) -> Findings:
    todo = "Restore it from a copy: it cannot be made anew without the training."
    try:
        bundle = read_bundle(folder)
    except HistonicError as error:
        yield Fault(folder, error.found, todo)
        return
    if wanted is not None and hash_of(folder / "bundle.json") != wanted:
        yield Fault(folder / "bundle.json", "It is not the bundle that the training wrote.", todo)
    for _ in bundle.models:
        yield None
    if bundle.encoder_path.is_file():
        try:
            precision = bundle.compress_settings.precision
            same = (
                load_encoder(bundle.encoder_path, precision=precision).fingerprint
                == bundle.encoder.fingerprint
            )
            yield (
                None if same else Fault(bundle.encoder_path, "It is another encoder than the bundle's.", todo)
            )
        except HistonicError as error:
            yield Fault(bundle.encoder_path, error.found, todo)


def _encoder(path: Path) -> Findings:
    try:
        encoder = load_encoder(path)
        tile = np.zeros((1, encoder.spec.tile_px, encoder.spec.tile_px, 3), np.uint8)
        finite = bool(np.isfinite(encoder.encode(tile)).all())
        yield None if finite else Fault(path, "Its codes are not finite.", "Import or train it again.")
    except HistonicError as error:
        yield Fault(path, error.found, error.todo)
