"""The grid: conversions are inverse to each other, the slide is covered, plain values come back."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.core.documents import parse_part
from histonic.core.errors import SettingsError
from histonic.core.grid import TileGrid
from histonic.core.units import RC, WH, XY, Shape

mpps = st.floats(0.1, 2.0)


@st.composite
def grids(draw, overlap: bool = True) -> TileGrid:
    tile = draw(st.integers(8, 512))
    stride = draw(st.integers(4, 600)) if overlap else None
    size = (draw(st.integers(1, 60_000)), draw(st.integers(1, 60_000)))
    return TileGrid.over(size, slide_mpp=draw(mpps), tile_px=tile, mpp=draw(mpps), stride_px=stride)


cells = st.tuples(st.integers(0, 500), st.integers(0, 500))


@given(grid=grids(), rc=cells)
def test_the_middle_of_a_tile_lies_in_its_own_cell(grid, rc):
    corner = grid.cell_xy(rc)
    middle = (corner.x + grid.tile_side_level0 / 2, corner.y + grid.tile_side_level0 / 2)
    assert grid.cell_at(middle) == RC(*rc)


@given(grid=grids(), rc=cells, u=st.floats(-1, 1), v=st.floats(-1, 1))
def test_the_cell_of_a_pixel_has_the_nearest_tile(grid, rc, u, v):
    """Squares touch, one stride wide, around the middles of tiles that overlap, touch or stand apart."""
    step, side = grid.stride_level0, grid.tile_side_level0
    corner, square = grid.cell_xy(rc), grid.square_xy(rc)
    middle = (corner.x + side / 2, corner.y + side / 2)
    assert math.isclose(square.x + step / 2, middle[0], rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(square.y + step / 2, middle[1], rel_tol=1e-9, abs_tol=1e-6)
    pixel = (middle[0] + u * step, middle[1] + v * step)
    found = grid.cell_xy(grid.cell_at(pixel))
    for at, place in zip(pixel, found, strict=True):
        assert abs(place + side / 2 - at) <= step / 2 * (1 + 1e-6) + 1e-6


@given(grid=grids(overlap=False), rc=cells)
def test_where_tiles_touch_the_square_is_the_tile(grid, rc):
    assert grid.square_xy(rc) == grid.cell_xy(rc)


@given(rc=cells, tile=st.integers(8, 512), size=st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
def test_corner_lies_in_its_own_cell_exactly_at_whole_scales(rc, tile, size):
    grid = TileGrid.over(size, slide_mpp=0.25, tile_px=tile, mpp=0.5)
    assert grid.cell_at(grid.cell_xy(rc)) == RC(*rc)
    just_before = (grid.cell_xy(rc).x - 0.5, grid.cell_xy(rc).y)
    assert grid.cell_at(just_before) == RC(rc[0], rc[1] - 1)


@given(grid=grids(overlap=False), u=st.floats(0, 1, exclude_max=True), v=st.floats(0, 1, exclude_max=True))
def test_touching_tiles_cover_every_pixel(grid, u, v):
    point = (u * grid.slide_wh.w, v * grid.slide_wh.h)
    row, col = grid.cell_at(point)
    slack = 1e-6 * max(grid.slide_wh)  # over() forgives a billionth of a tile
    assert row < grid.shape.rows or point[1] >= grid.slide_wh.h - slack
    assert col < grid.shape.cols or point[0] >= grid.slide_wh.w - slack


@given(grid=grids())
def test_no_row_or_column_lies_wholly_outside(grid):
    last = grid.cell_xy((grid.shape.rows - 1, grid.shape.cols - 1))
    assert last.x < grid.slide_wh.w
    assert last.y < grid.slide_wh.h


@given(grid=grids())
def test_plain_values_come_back_through_json(grid):
    plain = json.loads(json.dumps(asdict(grid)))
    again = parse_part(TileGrid, plain, "x", SettingsError, "Go.")
    assert again == grid and json.loads(json.dumps(asdict(again))) == plain
    assert isinstance(again.origin_xy, XY)
    assert isinstance(again.shape, Shape)


def test_golden_grid_by_hand():
    # 1000 x 300 level-0 px at 0.25 = 500 x 150 px at 0.5: tiles of 128 -> 4 columns, 2 rows.
    grid = TileGrid.over((1000, 300), slide_mpp=0.25, tile_px=128, mpp=0.5)
    assert grid.shape == (2, 4)
    assert grid.slide_wh == WH(1000, 300)
    assert grid.cell_um == 64
    assert grid.cell_at((255.9, 256)) == (1, 0)


def test_overlap_counts_only_tiles_that_add_something():
    grid = TileGrid.over((256, 192), slide_mpp=0.5, tile_px=128, mpp=0.5, stride_px=64)
    assert grid.shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mpp", 0.0),
        ("mpp", math.nan),
        ("slide_mpp", -1.0),
        ("tile_px", 0),
        ("stride_px", 0),
        ("slide_wh", WH(0, 1)),
    ],
)
def test_sizes_that_are_not_positive_are_refused(name, value):
    fields = {
        "origin_xy": XY(0, 0),
        "tile_px": 8,
        "stride_px": 8,
        "mpp": 0.5,
        "slide_mpp": 0.5,
        "slide_wh": WH(8, 8),
        "shape": Shape(1, 1),
    }
    with pytest.raises(SettingsError, match=name):
        TileGrid(**{**fields, name: value})
