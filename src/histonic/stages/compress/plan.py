"""What a compression would do: slides, cells, time by a short measurement, and disk space."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import ORIENTATIONS, MapSettings
from histonic.core.errors import HistonicError
from histonic.core.files import output_error
from histonic.core.places.urls import Url
from histonic.core.progress import Progress, Silent
from histonic.core.settings import Precision
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.failures import Failure
from histonic.data.maps.shares import TissueOutlier, TissueShare, tissue_outliers
from histonic.data.maps.store import map_folder
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import Encoder, describe
from histonic.encoders.engines.choice import start_encoding
from histonic.encoders.engines.pool import EncodingPool
from histonic.slides.base import open_slide
from histonic.slides.tiles import walk_tiles
from histonic.stages.compress.destination import working_copy
from histonic.stages.compress.inspection import Inspected, inspect_slide
from histonic.stages.compress.reading import no_tissue, require_usable_id, without_path
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.compress.sharing import other_file, require_same_maker, state_of
from histonic.training.devices import pick_device

PROBES = 3
"""Slides on which the pace is measured: the first, the last and one between."""
FIRST_TILES = 16
"""Encoded before the measurement, and then timed to see whether a whole batch is quick enough."""
PROBE_S = 4.0
"""Seconds of encoding on a probe, about, at most."""
MOST_TILES = 256
"""Read on a probe."""
CODE_BYTES = 2
"""Of one number: float16."""
BYTES_BESIDE_CODES = 250_000
"""Thumbnail, facts and mask of a map."""
QUALITY_BYTES = 6
"""Of a cell."""
State = Literal["to do", "there", "fails"]


@dataclass(frozen=True)
class PlannedSlide:
    """One slide of a plan.

    Attributes:
        slide_id: Name of its map.
        path: The file; with ``private`` the identifier.
        state: ``to do``; ``there``: its map is whole, and made of the same file, mpp and mask; ``fails``: it
            cannot be compressed.
        share: Its cells and its share of tissue; None if it cannot be read.
        reason: Why it fails.
    """

    slide_id: str
    path: str
    state: State
    share: TissueShare | None
    reason: str = ""

    def line(self) -> str:
        """The slide as one line of text."""
        words = self.share.words() if self.share is not None and not self.reason else self.reason
        return f"{self.state:<8} {self.path}  {words}"


@dataclass(frozen=True)
class Pace:
    """How fast tiles are read and encoded here.

    Attributes:
        tiles: Tiles that were timed.
        read_s: Seconds to read one, with its decoding.
        encode_s: Seconds to encode one, in all orientations that are asked for.
        slides: On how many slides it was measured.
    """

    tiles: int
    read_s: float
    encode_s: float
    slides: int


@dataclass(frozen=True)
class CompressPlan:
    """What a compression would do.

    Attributes:
        store: The folder or URL that it would write to.
        slides: In the order of the list.
        cells: Tiles that would be encoded.
        opening_s: Seconds it took to open the slides and find their tissue, which would be done again.
        pace: As measured; None if no tile could be read and encoded.
        bytes: Room that the new maps take, at most.
        free_bytes: Room on that disk; None in an object store.
        outliers: Slides whose share of tissue stands out.
    """

    store: Path | Url
    slides: tuple[PlannedSlide, ...]
    cells: int
    opening_s: float
    pace: Pace | None
    bytes: int
    free_bytes: int | None
    outliers: tuple[TissueOutlier, ...]

    def count(self, state: State) -> int:
        """Slides of a state."""
        return sum(slide.state == state for slide in self.slides)

    @property
    def seconds(self) -> float | None:
        """Time that it would take here, about; None if it was not measured. Reading and encoding overlap."""
        if not self.cells:
            return 0.0
        if self.pace is None:
            return None
        return max(self.opening_s + self.cells * self.pace.read_s, self.cells * self.pace.encode_s)

    def lines(self) -> list[str]:
        """What would be done in all, in lines of text."""
        counts = f"{self.count('to do')} to do ({self.cells:,} cells), {self.count('there')} there already"
        found = [f"dry run: {counts}, {self.count('fails')} would fail; nothing was written"]
        if not self.cells:
            return found
        if self.pace is None or self.seconds is None:
            found.append("time: not measured, since no tile could be read and encoded")
        else:
            reads, encodes = (round(1 / max(each, 1e-9)) for each in (self.pace.read_s, self.pace.encode_s))
            slides = "1 slide" if self.pace.slides == 1 else f"{self.pace.slides} slides"
            found.append(
                f"time: about {duration_words(self.seconds)} on this machine alone (measured on "
                f"{self.pace.tiles} tiles of {slides}: {reads:,} tiles/s are read, {encodes:,} encoded)"
            )
        if self.free_bytes is None:
            return [*found, f"up to {size_words(self.bytes)} would be written to {self.store}"]
        free = f"{size_words(self.free_bytes)} are free"
        short = "; that may be too little" if self.bytes > self.free_bytes else ""
        return [*found, f"disk: up to {size_words(self.bytes)} in {self.store}, where {free}{short}"]


def map_settings_of(settings: CompressSettings) -> MapSettings:
    """What else than slide and encoder maps depend on, once precision and stride are settled."""
    return MapSettings(
        orientations=settings.orientations,
        precision=cast(Precision, settings.precision),
        tissue=settings.tissue,
        mask=settings.mask,
        most_enlargement=settings.most_enlargement,
        leave_out=settings.leave_out,
        exact_averaging=settings.exact_averaging,
        stride_px=settings.stride_px,
        stain=settings.stain.normalisation,
    )


def plan_compression(
    rows: Sequence[SlideRow], settings: CompressSettings, encoder: Encoder, progress: Progress
) -> CompressPlan:
    """Look at all slides, time a few tiles, and add up.

    Args:
        rows: The slides.
        settings: Of the compression.
        encoder: Loaded as it would be used.
        progress: Advances once a slide.

    Raises:
        OutputError: The store could not be written.
        StoreError: The store holds maps of another encoder or other settings.
        EncoderError: The encoder cannot be used.
    """
    if isinstance(settings.out, Url):
        with working_copy(settings.out) as mirror:
            local = settings.model_copy(update={"out": mirror.folder})
            plan = plan_compression(rows, local, encoder, progress)
        return replace(plan, store=settings.out, free_bytes=None)
    free_bytes = _free_bytes(settings.folder)
    if settings.folder.is_dir():
        require_same_maker(settings.folder, describe(encoder), map_settings_of(settings))
    progress.stage("plan", len(rows))
    slides: list[PlannedSlide] = []
    opening_s = 0.0
    with closing(_Probe(encoder, settings)) as probe:
        for row in rows:
            began = time.perf_counter()
            planned, looked = _planned(row, settings, encoder)
            slides.append(planned)
            if looked is not None:
                opening_s += time.perf_counter() - began
                probe.try_on(looked)
            progress.advance(1, row.slide_id)
    waiting = [each.share.cells for each in slides if each.state == "to do" and each.share]
    copies = 1 + (ORIENTATIONS if settings.orientations == ORIENTATIONS else 0)
    code_bytes = encoder.spec.code_size * CODE_BYTES * copies + QUALITY_BYTES
    return CompressPlan(
        settings.out,
        tuple(slides),
        sum(waiting),
        opening_s,
        probe.pace(),
        sum(waiting) * code_bytes + len(waiting) * BYTES_BESIDE_CODES,
        free_bytes,
        tuple(tissue_outliers([each.share for each in slides if each.share is not None])),
    )


def _planned(
    row: SlideRow, settings: CompressSettings, encoder: Encoder
) -> tuple[PlannedSlide, Inspected | None]:
    """What would be done with a slide, and what was seen of it if it is to be compressed."""
    share = None
    try:
        require_usable_id(row)
        state = state_of(row, settings)
        if state == "done":
            there = TissueShare.of_map(read_map_facts(map_folder(settings.folder, row.slide_id)))
            return PlannedSlide(row.slide_id, _name(row, settings), "there", there), None
        if state == "other file" and not settings.replace:
            raise other_file(row, settings.folder)
        looked = inspect_slide(row, settings, encoder.spec)
        share = looked.share
        if not looked.mask.any():
            raise no_tissue(row, looked.judged)
    except Exception as error:  # noqa: BLE001 - as a compression lists it
        reason = error.reason if isinstance(error, HistonicError) else f"{type(error).__name__}: {error}"
        if settings.private:
            reason = without_path(Failure(row.slide_id, "", "open", reason), row, settings.masks).reason
        return PlannedSlide(
            row.slide_id, _name(row, settings), "fails", share, " ".join(reason.split())
        ), None
    return PlannedSlide(row.slide_id, _name(row, settings), "to do", share), looked


def _name(row: SlideRow, settings: CompressSettings) -> str:
    return row.slide_id if settings.private else str(row.path)


class _Probe:
    """Times some tiles of the first slides."""

    def __init__(self, encoder: Encoder, settings: CompressSettings) -> None:
        self._encoder = encoder
        self._settings = settings
        self._pool: EncodingPool | None = None
        self._left = PROBES
        self._tiles = {"read": 0, "encode": 0}
        self._seconds = {"read": 0.0, "encode": 0.0}

    def try_on(self, looked: Inspected) -> None:
        """Read and encode a batch of a slide; one that cannot be read is passed over.

        Raises:
            EncoderError: The encoder cannot be used.
        """
        if not self._left:
            return
        row, given = looked.row, self._settings
        try:
            with open_slide(
                row.path,
                mpp=row.mpp,
                default_mpp=given.mpp,
                reader=given.reader,
                exact_averaging=given.exact_averaging,
            ) as slide:
                began = time.perf_counter()
                _, tiles = next(walk_tiles(slide, looked.grid, looked.mask, min(given.batch, MOST_TILES)))
                read_s = time.perf_counter() - began
        except Exception:  # noqa: BLE001 - the compression will list it
            return
        self._encode(tiles)
        self._count("read", len(tiles), read_s)
        self._left -= 1

    def _encode(self, tiles: npt.NDArray[np.uint8]) -> None:
        if self._pool is None:
            self._pool = start_encoding(
                self._encoder,
                device=pick_device(self._settings.device),
                precision=cast(Precision, self._settings.precision),
                # Nothing is compiled for a plan; what is there is used.
                engine=None if self._settings.engine == "auto" else self._settings.engine,
                tiles=0,
                batch=self._settings.batch,
                first=tiles,
                progress=Silent(),
            )
            self._pool.encode(tiles[:FIRST_TILES])  # what is made ready at the first call counts nothing
        first = self._timed(tiles[:FIRST_TILES])
        if first * len(tiles) / min(FIRST_TILES, len(tiles)) <= PROBE_S:
            self._count("encode", len(tiles), self._timed(tiles))
        else:
            self._count("encode", min(FIRST_TILES, len(tiles)), first)

    def _timed(self, tiles: npt.NDArray[np.uint8]) -> float:
        if self._pool is None:
            return 0.0
        began = time.perf_counter()
        self._pool.encode(tiles)
        return (time.perf_counter() - began) * self._settings.orientations

    def _count(self, part: str, tiles: int, seconds: float) -> None:
        self._tiles[part] += tiles
        self._seconds[part] += seconds

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.close()

    def pace(self) -> Pace | None:
        """The pace of all that was timed; None if nothing was."""
        if not self._tiles["encode"]:
            return None
        read_s, encode_s = (self._seconds[part] / self._tiles[part] for part in ("read", "encode"))
        return Pace(self._tiles["encode"], read_s, encode_s, PROBES - self._left)


def _free_bytes(store: Path) -> int:
    """Room on the disk of a store that may not be there yet.

    Raises:
        OutputError: A file stands in its place, or the folder cannot be written to.
    """
    place = next(each for each in (store.absolute(), *store.absolute().parents) if each.exists())
    wrong = errno.ENOTDIR if not place.is_dir() else 0 if os.access(place, os.W_OK) else errno.EACCES
    if wrong:
        raise output_error(store, OSError(wrong, os.strerror(wrong)))
    return shutil.disk_usage(place).free


def duration_words(seconds: float) -> str:
    """A duration that is known about.

    Example:
        >>> duration_words(0.2), duration_words(47), duration_words(400), duration_words(9000)
        ('1 s', '47 s', '7 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"


def size_words(size: float) -> str:
    """Bytes in decimal units.

    Example:
        >>> size_words(900), size_words(12_345_678), size_words(2.5e12)
        ('1 kB', '12.3 MB', '2,500 GB')
    """
    if size < 999_500:
        return f"{max(1, round(size / 1e3))} kB"
    if size < 999.5e6:
        return f"{size / 1e6:.3g} MB"
    return f"{size / 1e9:.3g} GB" if size < 999.5e9 else f"{size / 1e9:,.0f} GB"
