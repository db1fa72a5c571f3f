"""Small pictures of slides, and the cells drawn on them."""

from __future__ import annotations

import numpy as np

from histonic.core.grid import TileGrid
from histonic.core.units import RC
from histonic.slides.formats.array import ArraySlide
from histonic.slides.thumbnail import OUTLINE, TISSUE_OUTLINE, draw_cells, draw_tissue, thumbnail


def slide_of(width: int = 800, height: int = 400) -> ArraySlide:
    return ArraySlide(np.full((height, width, 3), 200, np.uint8), mpp=0.5)


def test_thumbnail_and_cells() -> None:
    slide = slide_of(3000, 1500)
    small = thumbnail(slide, side_px=600)
    assert small.shape == (300, 600, 3)
    grid = TileGrid.over(slide.size_wh, slide_mpp=0.5, tile_px=500, mpp=0.5)
    mask = np.zeros(grid.shape, bool)
    mask[RC(1, 2)] = True
    drawn = draw_cells(small, grid, mask)
    assert tuple(drawn[100, 200]) == OUTLINE  # corner of row 1, column 2: level-0 (1000, 500)
    assert tuple(drawn[150, 250]) == (200, 200, 200)
    assert drawn[10, 10].min() > 230
    assert thumbnail(slide_of(100, 50)).shape == (50, 100, 3)


def test_cells_of_overlapping_tiles_are_drawn_around_their_middles() -> None:
    picture = np.full((100, 200, 3), 200, np.uint8)
    grid = TileGrid.over((2000, 1000), slide_mpp=0.5, tile_px=400, mpp=0.5, stride_px=200)
    mask = np.zeros(grid.shape, bool)
    mask[1, 2] = True  # the tile from (400, 200) on, whose middle is (600, 400)
    drawn = draw_cells(picture, grid, mask)
    rows, cols = np.nonzero((drawn == OUTLINE).all(2))
    assert (cols.min(), cols.max(), rows.min(), rows.max()) == (50, 69, 30, 49)


def test_the_outline_of_tissue_is_that_of_the_mask() -> None:
    picture = np.full((40, 80, 3), 200, np.uint8)
    tissue = np.zeros((4, 8), bool)
    tissue[1:3, 2:5] = True  # rows 10 to 29 and columns 20 to 49 of the picture
    drawn = draw_tissue(picture, tissue)
    lines = (drawn == TISSUE_OUTLINE).all(axis=2)
    expected = np.zeros((40, 80), bool)
    expected[10:30, 20:50] = True
    expected[11:29, 21:49] = False
    assert (lines == expected).all()
    assert (draw_tissue(picture, np.zeros((4, 8), bool)) == picture).all()
    assert tuple(draw_tissue(picture, np.ones((4, 8), bool))[0, 40]) == TISSUE_OUTLINE


def test_cells_are_drawn_paler_by_level_as_by_pixel() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (256, 256, 3), np.uint8)
    grid = TileGrid.over((256, 256), slide_mpp=8.0, tile_px=16, mpp=8.0)
    mask = np.zeros(grid.shape, bool)
    mask[4:9, 3:12] = True
    drawn = draw_cells(picture, grid, mask)
    paler = (0.35 * picture.astype(np.float32) + 0.65 * 255).round().astype(np.uint8)
    assert np.array_equal(drawn[:64], paler[:64])
    assert np.array_equal(drawn[70:130, 60:180], picture[70:130, 60:180])
