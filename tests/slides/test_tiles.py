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


@pytest.mark.parametrize(("tile_px", "mpp"), [(1, 0.5), (1, 1.0), (4, 1.0)])
def test_small_tiles_come_from_blocks_and_equal_plain_reads(tile_px: int, mpp: float) -> None:
    rng = np.random.default_rng(0)
    slide = ArraySlide(rng.integers(0, 256, (150, 1130, 3), dtype=np.uint8), mpp=0.5)
    grid = TileGrid.over(slide.size_wh, slide_mpp=0.5, tile_px=tile_px, mpp=mpp)
    mask = rng.random(grid.shape) < 0.5
    parts = list(walk_tiles(slide, grid, mask, batch=5))
    cells = np.concatenate([part for part, _ in parts])
    tiles = np.concatenate([tile for _, tile in parts])
    assert tiles.shape == (mask.sum(), tile_px, tile_px, 3)
    assert np.array_equal(np.unique(cells, axis=0), np.argwhere(mask))
    # A band of 64 rows is finished before the next one begins.
    assert (np.diff(cells[:, 0] // 64) >= 0).all()
    for place in range(0, len(cells), 997):
        plain = slide.read(grid.cell_xy(tuple(cells[place])), (tile_px, tile_px), mpp)
        assert np.array_equal(tiles[place], plain)
