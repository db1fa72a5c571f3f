"""Sets of labelled tiles as people have them, checked for leaks and brought to the encoder's tiles once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.progress import Progress, heard
from histonic.core.task import Task
from histonic.data.tilesets.cache import FORMAT, Packed, packed_tiles
from histonic.data.tilesets.checks import (
    check_classes,
    refuse_copies,
    refuse_shared,
    refuse_split_groups,
    require_tiles,
)
from histonic.data.tilesets.listing import Listing
from histonic.data.tilesets.neighbours import touching_tiles
from histonic.data.tilesets.pixels import WideTiles
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.sources import list_tiles
from histonic.data.tilesets.splits import share_out
from histonic.data.tilesets.targets import Targets, read_tile_targets


@dataclass(frozen=True)
class TileFailure:
    """A tile that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class TileSet:
    """Tiles at the encoder's side and resolution, with what is known of each.

    Attributes:
        plan: Where they come from.
        tasks: One a label column; none for tiles without labels.
        tiles: uint8 ``(N, tile_px, tile_px, 3)``, mapped from the disk.
        targets: Task name -> ``(N,)`` class index or value, NaN where missing.
        split: ``(N,)`` train, val or test.
        group: ``(N,)`` names, empty where unknown.
        paths: Where each tile came from.
        neighbours: ``(N, 4)`` rows of the tiles of its slide and split that share a side with it, -1 where
            there is none or that is not known.
        placed: ``(N,)`` whether its place on its slide is known.
        failures: Tiles that were skipped.
        notes: What a reader of results should know.
        fingerprint: Hash of pixels, geometry, tasks, targets, splits, groups and neighbours.
        hashes: ``(N,)`` of the pixels, to find the same image twice.
        enlarged: How many times as large as on a slide objects are, at most; 1 where that is not known.
        wide: The tiles with more around them, for random squares; None: there are none.
    """

    plan: TileSetSettings
    tasks: tuple[Task, ...]
    tiles: npt.NDArray[np.uint8]
    targets: dict[str, npt.NDArray[np.float64]]
    split: npt.NDArray[Any]
    group: npt.NDArray[Any]
    paths: tuple[str, ...]
    neighbours: npt.NDArray[np.int64]
    failures: tuple[TileFailure, ...]
    notes: tuple[str, ...]
    fingerprint: str
    hashes: npt.NDArray[Any]
    placed: npt.NDArray[np.bool_]
    enlarged: float = 1.0
    wide: WideTiles | None = None

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Rows of a split, in rising order."""
        return np.flatnonzero(self.split == split).astype(np.int64)


def read_tile_set(
    plan: TileSetSettings,
    *,
    tile_px: int,
    mpp: float,
    cache: Path,
    seed: int = 0,
    progress: Progress | None = None,
    room: float = 1.0,
) -> TileSet:
    """Read a set of labelled tiles: from its files the first time, from the cache after that.

    Args:
        plan: Where it is, and what is known of it.
        tile_px: Side of the encoder's tiles.
        mpp: Their microns per pixel.
        cache: Folder of decoded sets.
        seed: Of splits that the source does not give.
        progress: Listener to the progress.
        room: Keep what lies around a tile, at its true scale, up to so many times the encoder's side.

    Raises:
        TileSetError: Nothing can be read; a label is not among the classes; a class is empty; the
            resolution is unknown; the same image or group lies in two splits.
        OutputError: The cache cannot be written.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for label, colour in (("pale", 220), ("dark", 90)):
        ...         Path(folder, "set", label).mkdir(parents=True)
        ...         for number in range(10):
        ...             image = Image.new("RGB", (64, 64), (colour, number, 0))
        ...             image.save(f"{folder}/set/{label}/{number}.png")
        ...     plan = TileSetSettings(name="tint", path=Path(folder, "set"), mpp=1.0)
        ...     tiles = read_tile_set(plan, tile_px=32, mpp=2.0, cache=Path(folder, "cache"))
        ...     tiles.tasks[0].classes, tiles.tiles.shape
        (('dark', 'pale'), (20, 32, 32, 3))
    """
    listing = list_tiles(plan, cache)
    tasks, targets = read_tile_targets(plan, listing)
    refuse_split_groups(plan.name, listing.split, listing.group)
    packed = packed_tiles(
        plan, listing, tile_px=tile_px, mpp=mpp, cache=cache, progress=heard(progress), room=room
    )
    return _checked(plan, listing, packed, tasks, targets, seed)


def read_unlabelled(
    plan: TileSetSettings,
    *,
    tile_px: int,
    mpp: float,
    cache: Path,
    seed: int = 0,
    progress: Progress | None = None,
    room: float = 1.0,
) -> TileSet:
    """Read tiles without labels, for objectives that need none: any folder of images, or a table.

    Labels that are there are left aside. Arguments and errors are those of :func:`read_tile_set`.
    """
    return read_tile_set(
        plan.model_copy(update={"label": (), "kind": None, "classes": ()}),
        tile_px=tile_px,
        mpp=mpp,
        cache=cache,
        seed=seed,
        progress=progress,
        room=room,
    )


def check_across(sets: Sequence[TileSet]) -> None:
    """Refuse an image that lies in the training split of one set and in a held-out split of another.

    Raises:
        TileSetError: Names two files, and counts how many images there are like that.
    """
    for one in sets:
        for other in sets:
            if one is not other:
                refuse_shared(one.plan.name, other.plan.name, one, other)


def _checked(
    plan: TileSetSettings,
    listing: Listing,
    packed: Packed,
    tasks: tuple[Task, ...],
    targets: Targets,
    seed: int,
) -> TileSet:
    """Splits where there are none, and all checks that need to know which tiles could be read.

    Raises:
        TileSetError: A class is empty, or an image or group lies in two splits.
    """
    kept = packed.kept
    read = {name: values[kept] for name, values in targets.items()}
    require_tiles(plan.name, tasks, read, len(kept), packed.failures)
    group, paths = listing.group[kept], [listing.names[row] for row in kept]
    split, split_notes = share_out(plan.name, listing.split[kept], group, packed.hashes, tasks, read, seed)
    rows, copy_notes = refuse_copies(
        plan.name, paths, packed.hashes, packed.turned, split, tasks, read, drop=plan.duplicates == "drop"
    )
    own = {name: values[rows] for name, values in read.items()}
    split, group = split[rows], group[rows]
    class_notes = check_classes(plan.name, tasks, own, split)
    places = listing.places[kept][rows]
    sides = listing.sides if len(listing.sides) else np.full(len(listing.names), np.nan)
    found = TileSet(
        plan,
        tasks,
        packed.only(rows),
        own,
        split,
        group,
        tuple(paths[row] for row in rows),
        touching_tiles(places, sides[kept][rows], group, listing.slide[kept][rows], split),
        tuple(TileFailure(**each) for each in packed.failures),
        (*packed.notes, *split_notes, *copy_notes, *class_notes),
        "",
        packed.hashes[rows],
        np.asarray(~np.isnan(places).any(axis=1)),
        packed.enlarged,
        packed.wide_of(rows),
    )
    return replace(found, fingerprint=_fingerprint(found, packed.geometry))


def _fingerprint(found: TileSet, geometry: str) -> str:
    """Hash of all that training sees: the same wherever the files lie, another if a label changes."""
    columns = [[str(each) for each in column] for column in (found.hashes, found.split, found.group)]
    facts = [FORMAT, geometry, [task.to_dict() for task in found.tasks], columns]
    digest = hashlib.sha256(json.dumps(facts).encode())
    # Where no tile touches another, what stood here before pairs had to touch.
    touching = found.neighbours if (found.neighbours >= 0).any() else found.neighbours[:, 0]
    for values in (*(found.targets[task.name] for task in found.tasks), touching):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
