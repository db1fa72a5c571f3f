"""Small pictures of slides, and the cells drawn on them."""

from __future__ import annotations

import numpy as np

from histonic.core.grid import TileGrid
from histonic.core.units import RC
from histonic.slides.formats.array import ArraySlide
from histonic.slides.thumbnail import OUTLINE, draw_cells, thumbnail


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
