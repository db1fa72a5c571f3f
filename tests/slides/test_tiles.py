"""Tiles come in row-major order and equal plain reads; prefetching keeps order and errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from histonic.core.grid import TileGrid
from histonic.core.prefetch import prefetched
from histonic.slides.formats.array import ArraySlide
from histonic.slides.tiles import walk_tiles


def test_walk_gives_every_kept_cell_once_in_order() -> None:
    rng = np.random.default_rng(0)
    slide = ArraySlide(rng.integers(0, 256, (300, 420, 3), dtype=np.uint8), mpp=0.5)
    grid = TileGrid.over(slide.size_wh, slide_mpp=0.5, tile_px=64, mpp=0.5)
    mask = rng.random(grid.shape) < 0.5
    parts = list(walk_tiles(slide, grid, mask, batch=5))
    cells = np.concatenate([part for part, _ in parts])
    assert np.array_equal(cells, np.argwhere(mask))
    assert [len(part) for part, _ in parts[:-1]] == [5] * (len(parts) - 1)
    for part, tiles in parts:
        for cell, tile in zip(part, tiles, strict=True):
            assert np.array_equal(tile, slide.read(grid.cell_xy(tuple(cell)), (64, 64), 0.5))


def test_prefetch_keeps_order() -> None:
    assert list(prefetched(iter(range(50)), ahead=3)) == list(range(50))


def test_prefetch_hands_over_errors_after_the_items() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("at two")

    seen = []
    with pytest.raises(ValueError, match="at two"):
        for item in prefetched(broken(), ahead=2):
            seen.append(item)
    assert seen == [1]


def test_prefetch_is_bounded_and_ends_with_its_reader() -> None:
    made = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            made.append(number)
            yield number
            number += 1

    before = threading.active_count()
    items = prefetched(endless(), ahead=2)
    next(items)
    time.sleep(0.2)
    assert len(made) <= 5
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
