"""Deep Zoom levels and tiles: they cover the slide once, and lie where the page thinks they do."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from histonic.app.view.pyramid import OVERLAP_PX, TILE_PX, Pyramid
from histonic.core.units import WH

SIDES = st.integers(1, 300_000)


@given(SIDES, SIDES)
def test_levels_halve_down_to_a_pixel(wide: int, high: int) -> None:
    pyramid = Pyramid(WH(wide, high))
    assert pyramid.level_wh(pyramid.last) == (wide, high) and pyramid.level_wh(0) == (1, 1)
    for level in range(1, pyramid.last + 1):
        finer, coarser = pyramid.level_wh(level), pyramid.level_wh(level - 1)
        assert coarser == (math.ceil(finer.w / 2), math.ceil(finer.h / 2))


@given(SIDES, SIDES, st.integers(0, 4), st.data())
def test_a_tile_holds_its_pixels_and_one_of_each_neighbour(
    wide: int, high: int, skipped: int, data: st.DataObject
) -> None:
    pyramid = Pyramid(WH(wide, high), skipped)
    level = data.draw(st.integers(0, max(0, pyramid.last)))
    cols, rows = pyramid.tiles(level)
    col, row = data.draw(st.integers(0, cols - 1)), data.draw(st.integers(0, rows - 1))
    box = pyramid.box(level, col, row)
    if pyramid.last < 0:
        assert box is None
        return
    assert box is not None
    for axis, (number, side) in enumerate(zip((col, row), pyramid.level_wh(level), strict=True)):
        first, last = number * TILE_PX, min(side, (number + 1) * TILE_PX)
        start = box.xy[axis] // box.factor
        assert start == max(0, first - OVERLAP_PX) and box.xy[axis] % box.factor == 0
        assert start + box.wh[axis] == min(side, last + OVERLAP_PX)


def test_there_are_no_tiles_outside() -> None:
    pyramid = Pyramid(WH(1000, 600))
    outside = [(11, 0, 0), (-1, 0, 0), (10, 4, 0), (10, 0, 3), (10, -1, 0), (10, 0, -1)]
    assert all(pyramid.box(*place) is None for place in outside)


def test_the_descriptor_is_that_of_deep_zoom() -> None:
    text = Pyramid(WH(1001, 600), skipped=1).descriptor("jpg")
    assert 'Format="jpg" Overlap="1" TileSize="254"' in text and 'Height="300" Width="501"' in text
