"""Tiles decoded once: brought to the encoder's side by several threads, packed into one mapped file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from histonic.core.errors import TileSetError
from histonic.core.files import PARTIAL_PREFIX, output_error, replacing_file, replacing_folder, write_json
from histonic.core.processes.cores import usable_cores
from histonic.core.progress import Progress, Silent, say_detail, warn
from histonic.core.units import MOST_OVER_SCALE
from histonic.data.tilesets.compose import Composer, background_stamp
from histonic.data.tilesets.images import HASH_LETTERS, UInt8Array, pixel_hash, turned_hash
from histonic.data.tilesets.listing import Listing, Texts
from histonic.data.tilesets.pixels import (
    MOST_ENLARGED,
    Fit,
    WideTiles,
    bring,
    fit_by_mpp,
    fit_whole,
    fit_wide,
)

if TYPE_CHECKING:
    from histonic.data.tilesets.plan import TileSetSettings

FORMAT = "histonic-tiles-3"
THREADS = min(8, usable_cores())
AT_ONCE = 256
"""Tiles that wait in memory at most."""
LITTLE_SHOWN = 0.5
"""Share of a picture's area below which a note says that its middle alone is shown."""
WIDE = "wide.npy"
NOTEWORTHY = 1.05
"""Enlargement from which on a note says so."""


@dataclass(frozen=True)
class Packed:
    """The decoded tiles of a set.

    Attributes:
        folder: Where they lie.
        tiles: uint8 ``(N, tile_px, tile_px, 3)``, mapped from the disk, not to be written to.
        kept: ``(N,)`` row of the listing that each comes from, rising.
        hashes: ``(N,)`` of the pixels as they were in the file.
        turned: ``(N,)`` hashes that turned and mirrored copies share.
        failures: Path and reason of each tile that could not be read.
        notes: What was done to the tiles that a reader of results should know.
        geometry: All that decides how pixels of a file become pixels of a tile.
        enlarged: How many times as large as on a slide objects are, at most; 1 where that is not known.
        wide: The tiles with more around them, where that was asked for and is there.
    """

    folder: Path
    tiles: UInt8Array
    kept: npt.NDArray[np.int64]
    hashes: Texts
    turned: Texts
    failures: tuple[dict[str, str], ...]
    notes: tuple[str, ...]
    geometry: str
    enlarged: float = 1.0
    wide: WideTiles | None = None

    def wide_of(self, rows: npt.NDArray[np.int64]) -> WideTiles | None:
        """Some of the wide tiles."""
        return None if self.wide is None else replace(self.wide, rows=self.wide.rows[rows])

    def only(self, rows: npt.NDArray[np.int64]) -> UInt8Array:
        """Some of the tiles, in a mapped file of their own that is written the first time."""
        if len(rows) == len(self.tiles):
            return self.tiles
        path = self.folder / f"tiles-{hashlib.sha256(rows.tobytes()).hexdigest()[:12]}.npy"
        if not path.is_file():
            with _only_here(path, Silent()):
                if not path.is_file():
                    with replacing_file(path) as partial, partial.open("wb") as file:
                        _write_tiles(file, (self.tiles[row] for row in rows), self.tiles.shape[1])
        return _mapped(path)


def packed_tiles(
    plan: TileSetSettings,
    listing: Listing,
    *,
    tile_px: int,
    mpp: float,
    cache: Path,
    progress: Progress,
    room: float = 1.0,
) -> Packed:
    """The tiles of a listing, from the cache if they are there, else decoded into it.

    The cache is keyed by the files' names, sizes and times, the geometry and histonic's version.

    Args:
        plan: Says what is known of the resolution.
        listing: The tiles.
        tile_px: Side of the encoder's tiles.
        mpp: Their microns per pixel.
        cache: Folder of decoded sets.
        progress: Listener to the progress; hears of each tile that is skipped.
        room: Keep tiles at their true scale with up to so many times the encoder's side, too.

    Raises:
        TileSetError: The resolution is unknown, or a tile cannot be brought to the encoder's.
        OutputError: The cache cannot be written.
    """
    _require_resolution(plan, mpp)
    known = None if plan.scale == "fill" else plan.mpp or plan.assumed_mpp
    # What is blown up or laid on tissue has no more around it at its true scale.
    room = room if plan.scale == "mpp" else 1.0
    wide = [f"room {room:g}"] if room > 1 else []
    geometry = json.dumps([plan.scale, known, tile_px, mpp, *_composed_of(plan, listing), *wide])
    facts = [FORMAT, version("histonic"), listing.stamp, plan.mpp, plan.assumed_mpp, geometry]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    folder = cache / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', plan.name).lstrip('.')}-{key}"
    found = _load(folder, tile_px, geometry)
    say_detail(
        progress, f"tile set {plan.name}: {'decoded before, ' if found else 'to be decoded '}in {folder}"
    )
    if found is None:
        with _only_here(folder, progress):
            found = _load(folder, tile_px, geometry)
            if found is None:
                _decode(folder, plan, listing, tile_px, mpp, progress, room)
                found = _load(folder, tile_px, geometry)
    if found is None:
        raise TileSetError(
            f"Decode the tile set {plan.name!r}.",
            f"What was written to {folder} cannot be read again.",
            "Check the disk, or use another folder as cache.",
        )
    for failure in found.failures:
        warn(progress, f"skipped {failure['path']}: {failure['reason']}")
    return found


def _composed_of(plan: TileSetSettings, listing: Listing) -> list[Any]:
    """What else decides the pixels of a composed set: which crops are tissue, and of which split."""
    if plan.scale != "compose":
        return []
    labels = listing.labels.get(plan.label[0] if plan.label else "label", ())
    columns = [list(listing.names), [str(each) for each in labels], [str(each) for each in listing.split]]
    of_table = hashlib.sha256(json.dumps(columns).encode()).hexdigest()
    return [plan.rest, plan.background_mpp, plan.views, background_stamp(plan), of_table]


@contextmanager
def _only_here(path: Path, progress: Progress) -> Iterator[None]:
    """Two runs that share a cache must not write ``path`` at once: the second waits for the first.

    The lock is the operating system's and ends with the process that holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{PARTIAL_PREFIX}{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"waiting for another run that decodes {path.name}")
            lock.acquire()
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _require_resolution(plan: TileSetSettings, mpp: float) -> None:
    if plan.scale != "compose" and (plan.rest or plan.background or plan.views > 1):
        raise TileSetError(
            f"Read the tile set {plan.name!r} with scale {plan.scale!r}.",
            "'rest', 'background' and 'views' are given, which only a composed set has.",
            "Say 'scale: compose', or leave them out.",
        )
    asked = f"Bring the tile set {plan.name!r} to {mpp} µm/px."
    if plan.scale != "fill" and plan.mpp is None and plan.assumed_mpp is None:
        raise TileSetError(
            asked,
            "Its microns per pixel are not known.",
            "State 'mpp', or 'assumed_mpp' if you have to guess; 'scale: fill' takes whole tiles.",
        )


def _load(folder: Path, tile_px: int, geometry: str) -> Packed | None:
    """What lies in the cache, None if it is absent or damaged."""
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        tiles, kept = _mapped(folder / "tiles.npy"), np.load(folder / "kept.npy")
        hashes, turned = np.load(folder / "hashes.npy"), np.load(folder / "turned.npy")
        failures, notes = tuple(facts["failures"]), tuple(facts["notes"])
        enlarged = float(facts["enlarged"])
        wide = None
        if (folder / WIDE).is_file():
            sides = np.load(folder / "sides.npy")
            wide = WideTiles(_mapped(folder / WIDE), sides, np.arange(len(kept)), tile_px)
    except (OSError, ValueError, EOFError, LookupError, TypeError, RecursionError):
        return None
    whole = tiles.shape == (len(kept), tile_px, tile_px, 3) and len(hashes) == len(turned) == len(kept)
    return (
        Packed(folder, tiles, kept, hashes, turned, failures, notes, geometry, enlarged, wide)
        if whole and (wide is None or len(wide.tiles) == len(wide.sides) == len(kept))
        else None
    )


def _mapped(path: Path) -> UInt8Array:
    shape = np.load(path, mmap_mode="r").shape if path.stat().st_size else ()
    # An empty file cannot be mapped.
    found: UInt8Array = np.load(path, mmap_mode="r") if 0 not in shape else np.load(path)
    return found


def _write_tiles(file: BinaryIO, tiles: Iterator[UInt8Array], tile_px: int) -> int:
    """Write a .npy of as many tiles as come; how many is known, and said in its header, at the end."""
    head: dict[str, Any] = {"descr": "|u1", "fortran_order": False}
    np.lib.format.write_array_header_1_0(file, {**head, "shape": (0, tile_px, tile_px, 3)})
    start, count = file.tell(), 0
    for tile in tiles:
        file.write(tile.tobytes())
        count += 1
    file.seek(0)
    # numpy leaves room for a longer first axis, so that the header keeps its length.
    np.lib.format.write_array_header_1_0(file, {**head, "shape": (count, tile_px, tile_px, 3)})
    if file.tell() != start:
        raise OSError(f"The header of {file.name} grew from {start} to {file.tell()} bytes.")
    return count


@dataclass
class _Seen:
    """What is learned of the tiles while they are decoded."""

    kept: list[int]
    hashes: list[str]
    turned: list[str]
    fits: list[Fit]
    failures: list[dict[str, str]]
    shown: list[float]
    """Share of each picture's area that its tile shows."""
    sides: list[int] = field(default_factory=list)


def _decode(
    folder: Path,
    plan: TileSetSettings,
    listing: Listing,
    tile_px: int,
    mpp: float,
    progress: Progress,
    room: float,
) -> None:
    """Decode all tiles into a folder that is there whole or not at all."""
    seen = _Seen([], [], [], [], [], [])
    progress.stage(f"decoding {plan.name}", len(listing.names))
    with replacing_folder(folder) as partial:
        with (partial / "tiles.npy").open("wb") as file:
            _write_tiles(file, _prepared(plan, listing, tile_px, mpp, seen, progress), tile_px)
        if room > 1:
            with (partial / WIDE).open("wb") as file:
                wide = _widened(plan, listing, tile_px, mpp, seen, room)
                _write_tiles(file, wide, round(room * tile_px))
            np.save(partial / "sides.npy", np.array(seen.sides, dtype=np.int64))
        np.save(partial / "kept.npy", np.array(seen.kept, dtype=np.int64))
        for name, hashes in (("hashes", seen.hashes), ("turned", seen.turned)):
            np.save(partial / f"{name}.npy", np.array(hashes, dtype=f"<U{HASH_LETTERS}"))
        notes = [*_notes(plan, seen.fits, mpp), *_little_shown(plan, seen.shown)] if seen.fits else []
        if seen.sides:
            notes.append(_wide_note(seen.sides, tile_px))
        facts = {"failures": seen.failures, "notes": notes, "enlarged": _enlarged(plan, seen.fits, mpp)}
        write_json(partial / "facts.json", facts)


def _prepared(
    plan: TileSetSettings, listing: Listing, tile_px: int, mpp: float, seen: _Seen, progress: Progress
) -> Iterator[UInt8Array]:
    """Tiles in the order of the listing, without those that cannot be read; of a composed set all views."""
    composer = Composer(plan, listing, tile_px, mpp) if plan.scale == "compose" else None

    def prepare(row: int) -> tuple[list[UInt8Array], str, str, Fit, float] | str:
        try:
            tile = listing.read(row)
            if composer is not None:
                fit = composer.fit_of(row, tile)
                return composer.views(row), pixel_hash(tile), turned_hash(tile), fit, 1.0
        except (OSError, ValueError) as error:
            return " ".join(str(error).split()) or type(error).__name__
        fit = _fit(plan, tile.shape, tile_px, mpp, listing.where(row))
        shown = fit.side_px**2 / (tile.shape[0] * tile.shape[1])
        return [bring(tile, fit)], pixel_hash(tile), turned_hash(tile), fit, shown

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(listing.names), AT_ONCE):
            rows = range(start, min(len(listing.names), start + AT_ONCE))
            for row, found in zip(rows, pool.map(prepare, rows), strict=True):
                if isinstance(found, str):
                    seen.failures.append({"path": listing.names[row], "reason": found})
                    continue
                for tile in found[0]:
                    seen.kept.append(row)
                    seen.hashes.append(found[1])
                    seen.turned.append(found[2])
                    seen.fits.append(found[3])
                    seen.shown.append(found[4])
                    yield tile
            progress.advance(len(rows))


def _widened(
    plan: TileSetSettings, listing: Listing, tile_px: int, mpp: float, seen: _Seen, room: float
) -> Iterator[UInt8Array]:
    """The tiles that could be read once more, with what lies around the encoder's square."""
    most, own_mpp = round(room * tile_px), plan.mpp or plan.assumed_mpp or mpp

    def prepare(row: int) -> UInt8Array:
        tile = listing.read(row)
        return bring(tile, fit_wide(tile.shape, own_mpp, tile_px, mpp, room))

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(seen.kept), AT_ONCE):
            for tile in pool.map(prepare, seen.kept[start : start + AT_ONCE]):
                seen.sides.append(len(tile))
                padded = np.zeros((most, most, 3), np.uint8)
                padded[: len(tile), : len(tile)] = tile
                yield padded


def _wide_note(sides: list[int], tile_px: int) -> str:
    if max(sides) == tile_px:
        return f"no tile is larger than the encoder's {tile_px} px: no random squares can be drawn"
    span = _span((min(sides), max(sides)), ".0f")
    return f"training tiles are random squares of {tile_px} px, at true scale, of areas of {span} px"


def _fit(plan: TileSetSettings, shape: tuple[int, ...], tile_px: int, mpp: float, where: str) -> Fit:
    """How a tile of this shape is brought to the encoder's.

    Raises:
        TileSetError: It is too small, or would have to be enlarged too much.
    """
    if plan.scale == "fill":
        return fit_whole(shape, tile_px)
    tile_mpp = plan.mpp or plan.assumed_mpp or mpp
    asked = f"Bring {where} of the tile set {plan.name!r} to {tile_px} px at {mpp} µm/px."
    fit = fit_by_mpp(shape, tile_mpp, tile_px, mpp)
    if fit is None:
        side = min(shape[:2])
        raise TileSetError(
            asked,
            f"It is {side} px at {tile_mpp} µm/px: {side * tile_mpp:.0f} of {tile_px * mpp:.0f} µm needed.",
            "Use 'scale: compose' if it shows a small object, to lay it on tissue at its true scale; "
            "'scale: fill' to enlarge whole tiles on purpose; or a smaller --tile-px. Where you have the "
            "slides, cut larger tiles, which keep their own tissue: "
            f"histonic tiles extract --tile-px {tile_px} --mpp {mpp:g}.",
        )
    if fit.enlarged > MOST_ENLARGED:
        raise TileSetError(
            asked,
            f"At {tile_mpp} µm/px it would have to be enlarged {fit.enlarged:.1f} times.",
            "Use 'scale: fill' to do so on purpose, or a coarser --mpp.",
        )
    return fit


def _enlarged(plan: TileSetSettings, fits: list[Fit], mpp: float) -> float:
    """How many times as large as on a slide objects are, at most; 1 where that is not known."""
    known = plan.mpp or plan.assumed_mpp
    if plan.scale != "fill" or known is None:
        return 1.0
    return max((fit.enlarged for fit in fits), default=1.0) * mpp / known


def _notes(plan: TileSetSettings, fits: list[Fit], mpp: float) -> list[str]:
    """What was done to the tiles, over all of them."""
    sides = (min(fit.side_px for fit in fits), max(fit.side_px for fit in fits))
    times = (min(fit.enlarged for fit in fits), max(fit.enlarged for fit in fits))
    known = plan.mpp or plan.assumed_mpp
    notes = []
    if plan.scale == "compose":
        on = " and ".join(
            [f"crops of {plan.rest!r}"] * bool(plan.rest) + ["pictures"] * bool(plan.background)
        )
        views = f", {plan.views} tiles of each" if plan.views > 1 else ""
        made = _span((min(fit.tile_px for fit in fits), max(fit.tile_px for fit in fits)), ".0f")
        return [f"crops of {made} px at {mpp} µm/px, their true scale, on tissue made of {on}{views}"]
    if plan.mpp is None and known:
        notes.append(f"{known} µm/px is assumed, the source states none")
    if plan.scale == "fill":
        stated, made = f"{known or 'unknown'} µm/px", ""
        if known:
            made = f", which makes them {_span([known / each for each in times], '.3g')} µm/px"
        notes.append(
            f"whole tiles of {_span(sides, '.0f')} px ({stated}) fill the encoder's, on purpose{made}"
        )
    blown_up = _enlarged(plan, fits, mpp)
    if blown_up > MOST_OVER_SCALE:
        notes.append(
            f"WARNING: objects are {blown_up:.1f} times as large as on a slide at {mpp} µm/px; what is "
            "learned of them does not hold there ('scale: compose' shows them at their true scale)"
        )
    if times[1] > NOTEWORTHY:
        to = "" if plan.scale == "fill" else f" to {mpp} µm/px"
        notes.append(f"enlarged {_span(times, '.2f')} times{to}: no finer detail than the source's")
    return notes


def _little_shown(plan: TileSetSettings, shown: list[float]) -> list[str]:
    """That only the middle of pictures is shown, where that is less than half of their area."""
    little = [share for share in shown if share < LITTLE_SHOWN]
    if not little:
        return []
    doubt = ": are its labels those of the middle?" if plan.label else ""
    return [
        f"of {len(little)} of {len(shown)} pictures only the middle is shown, of the least "
        f"{100 * min(little):.0f} % of its area{doubt} ('histonic tiles extract' cuts pictures into tiles)"
    ]


def _span(values: tuple[float, float] | list[float], form: str) -> str:
    texts = [format(each, form) for each in sorted(values)]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} to {texts[1]}"
