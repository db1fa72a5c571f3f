"""Tile sets whose stains are brought to a reference, slide by slide as far as slides are known."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from histonic.core.errors import TileSetError
from histonic.core.files import replacing_file
from histonic.core.progress import Progress
from histonic.core.settings import StainFacts, StainNormalisation
from histonic.data.tilesets.tile_set import TileSet
from histonic.nn.normalisation.estimate import NoStains, estimate_stains, require_like, tissue_pixels
from histonic.nn.normalisation.normaliser import Normaliser

MOST_PIXELS = 300_000
"""Of a group, or of a whole set."""
LEAST_TILES = 4
"""Of a group whose stains are told by its own tiles."""
AT_ONCE = 256
Tiles = npt.NDArray[np.uint8]


def with_normalised_stains(
    found: TileSet, wanted: StainNormalisation, cache: Path, progress: Progress
) -> TileSet:
    """A tile set in a target's colours, written to the cache the first time.

    Stains are told from the tiles of each group (slide or patient), all splits alike, since no label has a
    say in it; where groups are unknown, too small, or of stains that cannot be told, from all such tiles of
    the set together.

    Args:
        found: The set.
        wanted: Method and target.
        cache: Folder of decoded sets.
        progress: Is told what is left as it is.

    Raises:
        TileSetError: The stains of the set cannot be brought to the target's, and such sets are refused.
        OutputError: The cache cannot be written.
    """
    names = np.asarray(found.group, dtype=str)
    facts: dict[str, StainFacts] = {}
    for name in np.unique(names[names != ""]):
        rows = np.flatnonzero(names == name)
        if len(rows) >= LEAST_TILES:
            try:
                facts[str(name)] = _facts_of(found.tiles, rows, wanted)
            except NoStains:
                continue
    rest = np.flatnonzero(~np.isin(names, list(facts)))
    note = f"stains normalised by {wanted.words}, of {len(facts)} groups each by its own"
    if len(rest):
        try:
            together = _facts_of(found.tiles, rest, wanted)
            names = np.where(np.isin(names, list(facts)), names, "")
            facts[""] = together
            note += f", of the other {len(rest)} of {len(names)} tiles by those of all of them together"
        except NoStains as error:
            if wanted.otherwise == "refuse":
                raise TileSetError(
                    f"Bring the stains of the tile set {found.plan.name!r} to those of {wanted.reference}.",
                    f"Of {len(rest)} tiles that cannot be done: {error}.",
                    "Keep the colours of such sets (--stain-otherwise leave), use a --stain-reference of the "
                    "same stains, or leave out --stain.",
                ) from error
            note += f"; {len(rest)} of {len(names)} tiles are left as they are: {error}"
    changes = {name: Normaliser(each, wanted) for name, each in facts.items()}
    said = json.dumps([found.fingerprint, wanted.model_dump(mode="json")], sort_keys=True)
    fingerprint = hashlib.sha256(said.encode()).hexdigest()
    stem = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', found.plan.name).lstrip('.')}-stain-{fingerprint[:16]}"
    progress.say(f"{found.plan.name}: {note}")
    tiles = _kept(cache / f"{stem}.npy", found.tiles, np.arange(len(names)), names, changes)
    wide = found.wide
    if wide is not None:
        made = _kept(cache / f"{stem}-wide.npy", wide.tiles, wide.rows, names, changes)
        wide = replace(wide, tiles=made, sides=wide.sides[wide.rows], rows=np.arange(len(names)))
    return replace(found, tiles=tiles, wide=wide, fingerprint=fingerprint, notes=(*found.notes, note))


def _facts_of(tiles: Tiles, rows: npt.NDArray[np.int64], wanted: StainNormalisation) -> StainFacts:
    """Stains of some tiles, of which pixels are taken in places of no pattern."""
    each = max(1, MOST_PIXELS // len(rows))
    rng = np.random.default_rng(0)
    parts = []
    for row in rows if len(rows) < MOST_PIXELS else rows[:: len(rows) // MOST_PIXELS + 1]:
        pixels = tiles[row].reshape(-1, 3)
        parts.append(pixels[rng.choice(len(pixels), min(each, len(pixels)), replace=False)])
    found = estimate_stains(tissue_pixels(torch.from_numpy(np.concatenate(parts))))
    require_like(found, wanted)
    return found


def _kept(
    path: Path,
    tiles: Tiles,
    rows: npt.NDArray[np.int64],
    names: npt.NDArray[np.str_],
    changes: dict[str, Normaliser],
) -> Tiles:
    """The rows of ``tiles``, each as its group's are changed, in a mapped file."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as partial:
            shape = (len(rows), *tiles.shape[1:])
            with partial.open("wb") as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": "|u1", "fortran_order": False, "shape": shape}
                )
                for part in _changed(tiles, rows, names, changes):
                    file.write(part.tobytes())
    found: Tiles = np.load(path, mmap_mode="r") if len(rows) else np.load(path)
    return found


def _changed(
    tiles: Tiles,
    rows: npt.NDArray[np.int64],
    names: npt.NDArray[np.str_],
    changes: dict[str, Normaliser],
) -> Iterator[Tiles]:
    for start in range(0, len(rows), AT_ONCE):
        part = np.array(tiles[rows[start : start + AT_ONCE]])
        own = names[start : start + AT_ONCE]
        for name in np.unique(own):
            if str(name) in changes:
                part[own == name] = changes[str(name)](part[own == name])
        yield part
