"""The tiled-TIFF family: SVS, generic pyramids, OME-TIFF; every stored tile is decoded once a pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import LevelSlide, UInt8Image
from histonic.slides.damage import BROKEN, TIFF_STARTS
from histonic.slides.formats.blocks import Block, BlockCache, Key
from histonic.slides.formats.tiff_colours import UnshownError
from histonic.slides.formats.tiff_level import TiffLevel
from histonic.slides.formats.tiff_mpp import check_units, read_header_mpp
from histonic.slides.formats.tiff_pages import (
    damaged,
    find_levels,
    open_tiff,
    require_size,
    said,
    twins,
    unshown,
)
from histonic.slides.resample import average_area
from histonic.slides.scanner import tiff_scanner

CACHE_BYTES = 128_000_000
MOST_BLOCK_BYTES = 1_500_000_000
EDGE = 1e-6
BRIGHTNESS_PROBES = 32


class TiffSlide(LevelSlide):
    """A slide in a TIFF file.

    Args:
        path: The file.
        tiff: The file as opened by tifffile.
        pages: The stored levels, finest first.
        mpp: Microns per pixel; overrules the header.
        default_mpp: Microns per pixel where the header does not say.
        cache_bytes: Most bytes of decoded stored tiles that are kept.
    """

    reader = "tiff"
    reader_version = f"tifffile {tifffile.__version__}"
    extensions = (".svs", ".tif", ".tiff", ".btf", ".tf8", ".tf2")
    starts = TIFF_STARTS

    def __init__(
        self,
        path: Path,
        tiff: tifffile.TiffFile,
        pages: Sequence[Any],
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._tiff = tiff
        self._levels = [TiffLevel(page, str(path)) for page in pages]
        super().__init__(
            path,
            [level.wh for level in self._levels],
            header=check_units(read_header_mpp(tiff, pages[0]), pages),
            mpp=mpp,
            default_mpp=default_mpp,
        )
        self.scanner, self.storage = tiff_scanner(tiff, pages[0])
        self._fills_from_finer = bool(pages[0].is_svs)
        more = twins(tiff, pages[0])
        self.note = f"{more} more picture(s) of this size in the file are not read" if more else ""
        self.cache = BlockCache(self._decode, cache_bytes)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> Self:
        """Open a file.

        Raises:
            NotMine: No TIFF file, or of a kind that is left to OpenSlide.
            UnreadableSlideError: The file is damaged, ends before its pixels do, can only be read all at
                once, or has pixels of a kind that would be shown wrong.
        """
        tiff = open_tiff(path)
        try:
            pages = find_levels(tiff, path)
            slide = cls(path, tiff, pages, mpp=mpp, default_mpp=default_mpp, cache_bytes=cache_bytes)
            require_size(path, max(level.end_of_data for level in slide._levels))
            slide._require_small_blocks()
            slide._require_pixels()
        except UnshownError as error:
            tiff.close()
            raise unshown(path, str(error)) from error
        except BROKEN as error:
            tiff.close()
            raise damaged(path, f"its structure makes no sense ({said(error)})") from error
        except BaseException:
            tiff.close()
            raise
        return slide

    def _require_small_blocks(self) -> None:
        largest = max(level.block_bytes for level in self._levels)
        if largest > MOST_BLOCK_BYTES:
            raise UnreadableSlideError(
                f"Open the slide {self.path}.",
                f"Its pixels are stored in pieces of {largest / 1e9:.1f} GB, which must be decoded at once.",
                "Convert it to a tiled pyramid, for instance: vips tiffsave IN OUT.tif --tile --pyramid "
                "--compression jpeg --bigtiff",
            )

    def _require_pixels(self) -> None:
        """Try one tile of each level, so that damage or a codec that is not there is known at once."""
        for number, level in enumerate(self._levels):
            level.prepare()
            stored = level.stored()
            if not len(stored):
                if number == 0:
                    raise damaged(self.path, "no pixel is stored in it")
                continue
            try:
                self.cache.fetch([(number, int(stored[0]))])
            except UnreadableSlideError as error:
                raise damaged(
                    self.path, f"its tiles cannot be decoded ({error.found.rstrip('.')})"
                ) from error
        self._require_bright_pixels()

    def _require_bright_pixels(self) -> None:
        """Refuse samples of which only the lower bits are used: as they stand, the slide would be dark."""
        level = self._levels[-1]
        bits = level.colours.bits
        if bits <= 8 or level.colours.palette is not None:
            return
        stored = level.stored()
        some = stored[np.unique(np.linspace(0, len(stored) - 1, BRIGHTNESS_PROBES).astype(int))]
        most = max(int(level.samples(int(index)).max()) for index in some)
        if most < 2 ** (bits - 1):
            raise UnshownError(
                f"its samples have {bits} bits, but none is above {most:,}, so that nobody knows how bright "
                "white is"
            )

    def read_many(self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float) -> UInt8Image:
        """Read regions of one size; equal to :meth:`read` of each, each stored tile decoded once.

        Tiles that are not decoded yet are decoded in storage order, by several threads. Regions given in
        row-major order meet every stored tile once, as long as one row of them fits the cache.
        """
        out = np.empty((len(xys), wh[1], wh[0], 3), np.uint8)
        start = 0
        for keys, stop in self._batches(xys, wh, mpp):
            self._fetch(keys)
            for index in range(start, stop):
                out[index] = self.read(xys[index], wh, mpp)
            start = stop
        return out

    def _batches(
        self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float
    ) -> Iterator[tuple[set[Key], int]]:
        """Regions, up to which index, whose stored tiles fill at most half of the cache; and those tiles."""
        keys: set[Key] = set()
        for index, xy in enumerate(xys):
            more = set(self._keys(xy, wh, mpp)) - keys
            if keys and len(keys) + len(more) > self._most_blocks(next(iter(keys))[0]):
                yield keys, index
                keys, more = set(), set(self._keys(xy, wh, mpp))
            keys |= more
        yield keys, len(xys)

    def _most_blocks(self, number: int) -> int:
        """How many stored tiles of a level are held at a time: half of the cache, but at least one."""
        return max(1, self.cache.limit_bytes // (2 * self._levels[number].block_bytes))

    def _fetch(self, keys: set[Key]) -> list[tuple[Key, Block]]:
        in_file_order = sorted(keys, key=lambda key: (self._levels[key[0]].offset(key[1]), key))
        return list(zip(in_file_order, self.cache.fetch(in_file_order), strict=True))

    def _keys(self, xy: tuple[float, float], wh: tuple[int, int], mpp: float) -> list[Key]:
        number, corner, scale = self._place(xy, mpp)
        left, top = math.floor(corner[0] + EDGE), math.floor(corner[1] + EDGE)
        right = math.ceil(corner[0] + wh[0] * scale - EDGE)
        bottom = math.ceil(corner[1] + wh[1] * scale - EDGE)
        return self._touched(number, left, top, right, bottom)

    def _touched(self, number: int, left: int, top: int, right: int, bottom: int) -> list[Key]:
        """Stored tiles under a region in pixels of the level, row by row."""
        level = self._levels[number]
        width, height = level.block_wh
        rows = range(max(top, 0) // height, min(-(-bottom // height), level.rows))
        cols = range(max(left, 0) // width, min(-(-right // width), level.columns))
        return [(number, row * level.columns + col) for row in rows for col in cols]

    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Image:
        return self._assemble(level, (x, y, width, height), self._fetch)

    def _assemble(
        self,
        number: int,
        region: tuple[int, int, int, int],
        blocks_of: Callable[[set[Key]], list[tuple[Key, Block]]],
    ) -> UInt8Image:
        """Pixels of a region (x, y, width, height) of a level, from some stored tiles after the other."""
        x, y, width, height = region
        level = self._levels[number]
        out = np.full((height, width, 3), 255, np.uint8)
        keys = self._touched(number, x, y, x + width, y + height)
        step = self._most_blocks(number)
        for start in range(0, len(keys), step):
            for (_, index), block in blocks_of(set(keys[start : start + step])):
                block_x = index % level.columns * level.block_wh.w
                block_y = index // level.columns * level.block_wh.h
                left, top = max(x, block_x), max(y, block_y)
                right = min(x + width, block_x + block.shape[1], level.wh.w)
                bottom = min(y + height, block_y + block.shape[0], level.wh.h)
                if left < right and top < bottom:
                    part = block[top - block_y : bottom - block_y, left - block_x : right - block_x]
                    out[top - y : bottom - y, left - x : right - x] = part
        return out

    def _decode(self, key: Key) -> Block:
        number, index = key
        level = self._levels[number]
        # Aperio leaves out single tiles of coarser levels although there is tissue on them.
        if number and level.is_missing(index) and self._fills_from_finer:
            return self._decode_from_finer(number, index)
        return level.decode(index)

    def _decode_from_finer(self, number: int, index: int) -> Block:
        """A tile that is stored in the next finer level only, averaged; past the cache, which may wait."""
        level, finer = self._levels[number], self._levels[number - 1]
        scale = self._downsample(number) / self._downsample(number - 1)
        x = index % level.columns * level.block_wh.w * scale
        y = index // level.columns * level.block_wh.h * scale
        left, top = math.floor(x), math.floor(y)
        width = min(math.ceil(x + level.block_wh.w * scale), finer.wh.w + math.ceil(scale)) - left
        height = min(math.ceil(y + level.block_wh.h * scale), finer.wh.h + math.ceil(scale)) - top
        pixels = self._assemble(
            number - 1,
            (left, top, width, height),
            lambda keys: [(key, self._decode(key)) for key in sorted(keys)],
        )
        wh = (int((width - (x - left)) / scale), int((height - (y - top)) / scale))
        return average_area(pixels, (x - left, y - top), scale, wh)

    def close(self) -> None:
        """Release the file and the decoded tiles."""
        self.cache.close()
        self._tiff.close()
