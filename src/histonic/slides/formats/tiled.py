"""What formats of stored tiles share: regions from tiles that are decoded once a pass, by several threads."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from histonic.core.places.urls import Place
from histonic.core.units import WH
from histonic.slides.base import LevelSlide, UInt8Image
from histonic.slides.formats.blocks import Block, BlockCache, Key
from histonic.slides.resample import NEARLY, average_blocks, whole

LEAST_CACHE_BYTES = 128_000_000
MOST_CACHE_BYTES = 384_000_000
RESTING_BYTES = 32_000_000
EDGE = 1e-6
JPEG_REDUCTIONS = (2, 4, 8)
"""Factors by which a decoder of JPEG makes pictures smaller: squares within those that JPEG is made of."""


class TiledLevel(ABC):
    """One stored resolution, cut into tiles that are numbered row by row.

    Attributes:
        wh: Size in pixels.
        block_wh: Size of a stored tile.
        reductions: By which factors its decoder can make stored tiles smaller, see :meth:`decode_reduced`.
    """

    wh: WH
    block_wh: WH
    reductions: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """Stored tiles in a row."""
        return math.ceil(self.wh.w / self.block_wh.w)

    @property
    def rows(self) -> int:
        """Rows of stored tiles."""
        return math.ceil(self.wh.h / self.block_wh.h)

    @property
    @abstractmethod
    def block_bytes(self) -> int:
        """Bytes of a decoded stored tile."""

    @abstractmethod
    def offset(self, index: int) -> int:
        """Where a stored tile stands in the order in which the file is best read."""

    @abstractmethod
    def decode(self, index: int) -> Block:
        """A stored tile as RGB, uint8 ``(h, w, 3)``; called by several threads at once."""

    def decode_reduced(self, index: int, factor: int) -> Block:
        """A stored tile of which ``factor`` x ``factor`` pixels have become one, about their mean.

        Pixels at the right and lower border that make up no whole square are left out.
        """
        return reduced(self.decode(index), factor)

    def decode_many(self, indices: Sequence[int], factor: int = 1) -> Iterator[Block]:
        """Stored tiles one after the other; called by several threads at once."""
        for index in indices:
            yield self.decode(index) if factor == 1 else self.decode_reduced(index, factor)


@dataclass(frozen=True)
class _Copied:
    """Regions (x, y, width, height) in pixels of a level; ``factor`` a side become one in the decoder."""

    level: int
    factor: int
    regions: list[tuple[int, int, int, int]]


class TiledSlide(LevelSlide):
    """A slide whose levels are stored as tiles.

    Args:
        path: The file.
        levels: The stored levels, finest first.
        cache_bytes: Most bytes of decoded stored tiles that are kept; None for as many as a row-major pass
            comes back to, within bounds.
        more: What :class:`LevelSlide` takes.
    """

    def __init__(
        self, path: Place, levels: Sequence[TiledLevel], *, cache_bytes: int | None = None, **more: Any
    ) -> None:
        super().__init__(path, [level.wh for level in levels], **more)
        self._tiled = levels
        self.cache = BlockCache(self._decode, cache_bytes or sensible_cache_bytes(levels))

    def read_many(self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float) -> UInt8Image:
        """Read regions of one size; equal to :meth:`read` of each, each stored tile decoded once.

        Tiles that are not decoded yet are decoded in storage order, by several threads. Regions given in
        row-major order meet every stored tile once, as long as one row of them fits the cache.
        """
        out = np.empty((len(xys), wh[1], wh[0], 3), np.uint8)
        copied = self._copied_regions(xys, wh, mpp)
        touched = (
            [self._keys(xy, wh, mpp) for xy in xys]
            if copied is None
            else [self._touched(copied.level, region, copied.factor) for region in copied.regions]
        )
        start = 0
        for keys, stop in self._batches(touched):
            blocks = dict(self._fetch(keys))
            for index in range(start, stop):
                if copied is None:
                    out[index] = self.read(xys[index], wh, mpp)
                else:
                    parts = [(key, blocks[key]) for key in touched[index]]
                    self._fill(out[index], copied.level, copied.regions[index], parts, copied.factor)
            start = stop
        return out

    def _copied_regions(
        self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float
    ) -> _Copied | None:
        """Regions whose pixels are those of decoded tiles, with nothing to average; None if they are not."""
        if not len(xys):
            return None
        number, _, scale = self._place(xys[0], mpp)
        factor = whole(scale)
        corners = np.asarray(xys, np.float64) / self._downsample(number)
        places = np.round(corners)
        if not factor or (np.abs(corners - places) >= NEARLY * np.maximum(1, np.abs(corners))).any():
            return None
        regions = [(x, y, wh[0] * factor, wh[1] * factor) for x, y in places.astype(np.int64).tolist()]
        if factor > 1 and not all(self._reduces(number, region, factor) for region in regions):
            return None
        return _Copied(number, factor, regions)

    def _batches(self, touched: Sequence[Sequence[Key]]) -> Iterator[tuple[set[Key], int]]:
        """Regions, up to which index, whose stored tiles fill at most half of the cache; and those tiles."""
        keys: set[Key] = set()
        filled = 0
        for index, each in enumerate(touched):
            more = set(each) - keys
            if keys and more and filled + self._bytes_of(more) > self.cache.limit_bytes // 2:
                yield keys, index
                keys, more, filled = set(), set(each), 0
            keys |= more
            filled += self._bytes_of(more)
        yield keys, len(touched)

    def _bytes_of(self, keys: set[Key]) -> int:
        return sum(self._tiled[key.level].block_bytes // key.factor**2 for key in keys)

    def _fetch(self, keys: set[Key]) -> list[tuple[Key, Block]]:
        in_file_order = self._in_file_order(keys)
        return list(zip(in_file_order, self.cache.fetch(in_file_order), strict=True))

    def _in_file_order(self, keys: set[Key]) -> list[Key]:
        return sorted(keys, key=lambda key: (self._tiled[key.level].offset(key.tile), key))

    def _keys(self, xy: tuple[float, float], wh: tuple[int, int], mpp: float) -> list[Key]:
        number, corner, scale = self._place(xy, mpp)
        factor, x, y = whole(scale), whole(corner[0]), whole(corner[1])
        if factor is not None and x is not None and y is not None:
            region = (x, y, wh[0] * factor, wh[1] * factor)
            if self._reduces(number, region, factor):
                return self._touched(number, region, factor)
        left, top = math.floor(corner[0] + EDGE), math.floor(corner[1] + EDGE)
        right = math.ceil(corner[0] + wh[0] * scale - EDGE)
        bottom = math.ceil(corner[1] + wh[1] * scale - EDGE)
        return self._touched(number, (left, top, right - left, bottom - top))

    def _touched(self, number: int, region: tuple[int, int, int, int], factor: int = 1) -> list[Key]:
        """Stored tiles under a region (x, y, width, height) in pixels of the level, row by row."""
        level = self._tiled[number]
        width, height = level.block_wh
        left, top, right, bottom = region[0], region[1], region[0] + region[2], region[1] + region[3]
        columns = level.columns
        rows = range(max(top, 0) // height, min(-(-bottom // height), level.rows))
        cols = range(max(left, 0) // width, min(-(-right // width), columns))
        return [Key(number, row * columns + col, factor) for row in rows for col in cols]

    def _reduces(self, number: int, region: tuple[int, int, int, int], factor: int) -> bool:
        """Whether squares of pixels are to become one in the decoder, of a region (x, y, width, height).

        They must begin where stored tiles do, and none may reach over the border of the slide.
        """
        level = self._tiled[number]
        if self.exact_averaging or factor not in level.reductions:
            return False
        fits = all(side % factor == 0 for side in (*level.block_wh, *region[:2]))
        ends = zip((region[0] + region[2], region[1] + region[3]), level.wh, strict=True)
        return fits and all(side % factor == 0 or end <= side for end, side in ends)

    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Image:
        return self._assemble(level, (x, y, width, height), self._fetch)

    def _read_averaged(self, level: int, x: int, y: int, wh: tuple[int, int], factor: int) -> UInt8Image:
        region = (x, y, wh[0] * factor, wh[1] * factor)
        if not self._reduces(level, region, factor):
            return super()._read_averaged(level, x, y, wh, factor)
        return self._assemble(level, region, self._fetch, factor)

    def _assemble(
        self,
        number: int,
        region: tuple[int, int, int, int],
        blocks_of: Callable[[set[Key]], list[tuple[Key, Block]]],
        factor: int = 1,
    ) -> UInt8Image:
        """Pixels of a region (x, y, width, height) of a level, from some stored tiles after the other.

        All pixels are those of the level; in the result ``factor`` x ``factor`` of them are one.
        """
        width, height = region[2] // factor, region[3] // factor
        out = np.empty((height, width, 3), np.uint8)
        keys = self._touched(number, region, factor)
        step = max(1, self.cache.limit_bytes * factor**2 // (2 * self._tiled[number].block_bytes))
        parts = (part for at in range(0, len(keys), step) for part in blocks_of(set(keys[at : at + step])))
        self._fill(out, number, region, parts, factor)
        return out

    def _fill(
        self,
        out: UInt8Image,
        number: int,
        region: tuple[int, int, int, int],
        parts: Iterable[tuple[Key, Block]],
        factor: int,
    ) -> None:
        """Copy what stored tiles hold of a region into an array of its size; white outside the level."""
        level = self._tiled[number]
        columns, (block_w, block_h) = level.columns, level.block_wh
        most_x, most_y = level.wh.w // factor, level.wh.h // factor
        x, y = region[0] // factor, region[1] // factor
        height, width = out.shape[:2]
        out[:] = 255
        for key, block in parts:
            block_x = key.tile % columns * block_w // factor
            block_y = key.tile // columns * block_h // factor
            left, top = max(x, block_x), max(y, block_y)
            right = min(x + width, block_x + block.shape[1], most_x)
            bottom = min(y + height, block_y + block.shape[0], most_y)
            if left < right and top < bottom:
                part = block[top - block_y : bottom - block_y, left - block_x : right - block_x]
                out[top - y : bottom - y, left - x : right - x] = part

    def _decode(self, keys: Sequence[Key]) -> Iterator[Block]:
        for (number, factor), part in groupby(keys, lambda key: (key.level, key.factor)):
            yield from self._decode_of_level(number, [key.tile for key in part], factor)

    def _decode_of_level(self, number: int, indices: Sequence[int], factor: int) -> Iterator[Block]:
        return self._tiled[number].decode_many(indices, factor)

    def rest(self) -> None:
        """Keep little memory until the slide is read again."""
        self.cache.clear_beyond(RESTING_BYTES)

    def close(self) -> None:
        """Release the decoded tiles."""
        self.cache.close()


def sensible_cache_bytes(levels: Sequence[TiledLevel]) -> int:
    """Room for two rows of the finest stored tiles, to which a row-major pass comes back, within bounds.

    In any case two stored pieces fit, however large: a tile may lie on the border of two.
    """
    finest = levels[0]
    rows = 2 * finest.columns * finest.block_bytes
    most = 2 * max(level.block_bytes for level in levels)
    return max(LEAST_CACHE_BYTES, min(rows, MOST_CACHE_BYTES), most)


def reduced(block: Block, factor: int) -> Block:
    """A stored tile made smaller by averaging; pixels at its border that fill no whole square are left out.

    Example:
        >>> reduced(np.arange(15, dtype=np.uint8).reshape(3, 5, 1), 2)[..., 0].tolist()
        [[3, 5]]
    """
    height, width = (side // factor * factor for side in block.shape[:2])
    return average_blocks(block[:height, :width], factor)
