"""Tiles come in row-major order and equal plain reads."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.grid import TileGrid
from histonic.slides.formats.array import ArraySlide
from histonic.slides.tiles import best_mpp, walk_tiles


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


@pytest.mark.parametrize(
    ("native", "wanted", "found"),
    [(0.25, 0.5, 0.5), (0.2525, 0.5, 0.505), (0.3, 0.5, 0.5), (0.499, 0.5, 0.499)],
)
def test_best_mpp(native: float, wanted: float, found: float) -> None:
    assert best_mpp(ArraySlide(np.zeros((9, 9, 3), np.uint8), mpp=native), wanted) == pytest.approx(found)
