"""What formats of stored tiles share: regions from tiles that are decoded once a pass, by several threads."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from histonic.core.places.urls import Place
from histonic.core.units import WH
from histonic.slides.base import LevelSlide, UInt8Image
from histonic.slides.formats.blocks import Block, BlockCache, Key

CACHE_BYTES = 128_000_000
EDGE = 1e-6


class TiledLevel(ABC):
    """One stored resolution, cut into tiles that are numbered row by row.

    Attributes:
        wh: Size in pixels.
        block_wh: Size of a stored tile.
    """

    wh: WH
    block_wh: WH

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


class TiledSlide(LevelSlide):
    """A slide whose levels are stored as tiles.

    Args:
        path: The file.
        levels: The stored levels, finest first.
        cache_bytes: Most bytes of decoded stored tiles that are kept.
        more: What :class:`LevelSlide` takes.
    """

    def __init__(
        self, path: Place, levels: Sequence[TiledLevel], *, cache_bytes: int = CACHE_BYTES, **more: Any
    ) -> None:
        super().__init__(path, [level.wh for level in levels], **more)
        self._tiled = levels
        self.cache = BlockCache(self._decode, cache_bytes)

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
        return max(1, self.cache.limit_bytes // (2 * self._tiled[number].block_bytes))

    def _fetch(self, keys: set[Key]) -> list[tuple[Key, Block]]:
        in_file_order = sorted(keys, key=lambda key: (self._tiled[key[0]].offset(key[1]), key))
        return list(zip(in_file_order, self.cache.fetch(in_file_order), strict=True))

    def _keys(self, xy: tuple[float, float], wh: tuple[int, int], mpp: float) -> list[Key]:
        number, corner, scale = self._place(xy, mpp)
        left, top = math.floor(corner[0] + EDGE), math.floor(corner[1] + EDGE)
        right = math.ceil(corner[0] + wh[0] * scale - EDGE)
        bottom = math.ceil(corner[1] + wh[1] * scale - EDGE)
        return self._touched(number, left, top, right, bottom)

    def _touched(self, number: int, left: int, top: int, right: int, bottom: int) -> list[Key]:
        """Stored tiles under a region in pixels of the level, row by row."""
        level = self._tiled[number]
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
        level = self._tiled[number]
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
        return self._tiled[number].decode(index)

    def close(self) -> None:
        """Release the decoded tiles."""
        self.cache.close()
