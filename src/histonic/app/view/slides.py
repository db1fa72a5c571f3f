"""Pixels for the viewer: slides opened when they are looked at, a few at a time, and read tile by tile."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.app.view.cache import ByteCache
from histonic.app.view.pyramid import Pyramid, TileBox
from histonic.core.units import WH
from histonic.slides.base import LevelSlide, open_slide

OPEN_SLIDES = 6
"""Slides that are open at a time."""
MOST_FACTOR = 8
"""A tile that shows so many stored pixels side by side as one is cut from an overview of the whole slide,
which is read once; else the coarse tiles of a slide without coarse levels would each read all of it."""
OVERVIEW_PX = 4096
"""Longest side of an overview."""
READS_AT_ONCE = 3
"""A tile may take 16 million stored pixels, and some times their memory while it is made smaller."""
UNKNOWN_MPP = 1.0
"""Stands for the resolution of a slide that does not say; only ratios of it are used then."""

UInt8Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SlideSource:
    """A slide file that can be looked at.

    Attributes:
        path: The file.
        mpp: Of level 0; None to take what the header says.
        default_mpp: Of level 0 where the header does not say.
    """

    path: Path
    mpp: float | None = None
    default_mpp: float = UNKNOWN_MPP

    def open(self) -> LevelSlide:
        """Open it.

        Raises:
            UnreadableSlideError: No reader can, or the file is gone.
        """
        return open_slide(self.path, mpp=self.mpp, default_mpp=self.default_mpp)


class SlidePool:
    """Reads tiles of many slides with few of them open, and keeps what it read.

    Safe for several threads: one reads of a slide at a time, and whoever waited for the same tile finds it in
    the cache.

    Args:
        cache: For tiles and overviews.
    """

    def __init__(self, cache: ByteCache) -> None:
        self.cache = cache
        self._open: OrderedDict[SlideSource, tuple[threading.Lock, list[LevelSlide]]] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.BoundedSemaphore(READS_AT_ONCE)

    def tile(self, source: SlideSource, pyramid: Pyramid, box: TileBox) -> UInt8Image:
        """Pixels of a tile, uint8 ``(h, w, 3)``.

        Raises:
            HistonicError: The slide cannot be read.
        """
        lock, opened = self._slot(source)
        with lock:
            return self._read(source, self._opened(source, opened), pyramid, box)

    def png(self, source: SlideSource, pyramid: Pyramid, box: TileBox) -> bytes:
        """The same as a PNG: no pixel differs from what the slide's reader gives."""
        key = (source, box)
        found = self.cache.get(key)
        if found is not None:
            return found
        lock, opened = self._slot(source)
        with lock:
            # Whoever had the lock before may have read the same tile.
            found = self.cache.get(key)
            if found is None:
                found = png_of(self._read(source, self._opened(source, opened), pyramid, box))
                self.cache.put(key, found)
        return found

    def whole(self, source: SlideSource, pyramid: Pyramid, wh: tuple[int, int], factor: int) -> UInt8Image:
        """The whole slide, so many times smaller."""
        return self.tile(source, pyramid, TileBox((0, 0), wh, factor))

    def region(
        self, source: SlideSource, xy: tuple[float, float], wh: tuple[int, int], mpp: float
    ) -> UInt8Image:
        """Any region, as :meth:`histonic.slides.base.LevelSlide.read` gives it."""
        lock, opened = self._slot(source)
        with lock:
            slide = self._opened(source, opened)
            with self._turn:
                return _rested(slide, slide.read(xy, wh, mpp))

    def close(self) -> None:
        """Close all slides."""
        with self._lock:
            slots = list(self._open.values())
            self._open.clear()
        for slot in slots:
            _close(slot)

    def _slot(self, source: SlideSource) -> tuple[threading.Lock, list[LevelSlide]]:
        """Lock and place of a slide; those not looked at longest are closed."""
        dropped = []
        with self._lock:
            slot = self._open.setdefault(source, (threading.Lock(), []))
            self._open.move_to_end(source)
            while len(self._open) > OPEN_SLIDES:
                dropped.append(self._open.popitem(last=False)[1])
        for each in dropped:
            _close(each)
        return slot

    @staticmethod
    def _opened(source: SlideSource, opened: list[LevelSlide]) -> LevelSlide:
        """The open slide; called under its lock."""
        if not opened:
            opened.append(source.open())
        return opened[0]

    def _read(self, source: SlideSource, slide: LevelSlide, pyramid: Pyramid, box: TileBox) -> UInt8Image:
        """A tile of a slide that is under its lock."""
        with self._turn:
            if self._is_costly(slide, pyramid, box):
                return self._of_overview(source, slide, pyramid, box)
            return _rested(slide, slide.read(box.xy, box.wh, slide.mpp * box.factor))

    @staticmethod
    def _is_costly(slide: LevelSlide, pyramid: Pyramid, box: TileBox) -> bool:
        longest = max(pyramid.size_wh) / box.factor
        stored = [mpp for mpp in slide.native_mpps() if mpp <= slide.mpp * box.factor * (1 + 1e-6)]
        return slide.mpp * box.factor / max(stored) > MOST_FACTOR and longest <= OVERVIEW_PX

    def _of_overview(
        self, source: SlideSource, slide: LevelSlide, pyramid: Pyramid, box: TileBox
    ) -> UInt8Image:
        """A tile cut from the overview; the slide is under its lock."""
        finest = next(
            level for level in range(pyramid.last, -1, -1) if max(pyramid.level_wh(level)) <= OVERVIEW_PX
        )
        factor = pyramid.factor(finest)
        wide, high = pyramid.level_wh(finest)
        key = (source, "overview")
        held = self.cache.get(key)
        if held is None:
            held = _rested(slide, slide.read((0, 0), (wide, high), slide.mpp * factor)).tobytes()
            self.cache.put(key, held)
        whole = np.frombuffer(held, np.uint8).reshape(high, wide, 3)
        step = box.factor // factor
        left, top = box.xy[0] // factor, box.xy[1] // factor
        part = whole[top : top + box.wh[1] * step, left : left + box.wh[0] * step]
        return _averaged(part, step, WH(*box.wh))


def _rested(slide: LevelSlide, pixels: UInt8Image) -> UInt8Image:
    """What was read, once the slide has given up most of its decoded tiles.

    Made for one pass, a reader keeps some hundred megabytes of them; here several slides lie open, and what
    is shown again comes from the cache of the viewer.
    """
    slide.rest()
    return pixels


def png_of(pixels: UInt8Image) -> bytes:
    """A picture as PNG, quickly rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def jpeg_of(pixels: UInt8Image, quality: int) -> bytes:
    """A picture as JPEG with all its colours."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _averaged(part: UInt8Image, step: int, wh: WH) -> UInt8Image:
    """Means of squares; what is absent at the border is white."""
    if step == 1 and part.shape[:2] == (wh.h, wh.w):
        return part
    full = np.full((wh.h * step, wh.w * step, 3), 255, np.uint8)
    full[: part.shape[0], : part.shape[1]] = part
    squares = full.reshape(wh.h, step, wh.w, step, 3)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float64).round().astype(np.uint8))


def _close(slot: tuple[threading.Lock, list[LevelSlide]]) -> None:
    lock, opened = slot
    with lock:
        while opened:
            opened.pop().close()
