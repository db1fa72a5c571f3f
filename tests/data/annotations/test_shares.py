"""Shares of tiles: exact where that is promised, within the stated error elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.grid import TileGrid
from histonic.data.annotations.shapes import Annotations, CodeMask, Region
from histonic.data.annotations.shares import label_shares


def grid_of(stride_px: int = 128, slide_mpp: float = 0.25, wh: tuple[int, int] = (1536, 1024)) -> TileGrid:
    return TileGrid.over(wh, slide_mpp=slide_mpp, tile_px=128, mpp=0.5, stride_px=stride_px)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def overlap(grid: TileGrid, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Share of every tile covered by a box, by interval arithmetic."""
    side = grid.tile_side_level0
    x = np.arange(grid.shape.cols) * grid.stride_level0
    y = np.arange(grid.shape.rows) * grid.stride_level0
    wide = np.clip(np.minimum(x + side, right) - np.maximum(x, left), 0, None)
    high = np.clip(np.minimum(y + side, bottom) - np.maximum(y, top), 0, None)
    return high[:, None] * wide[None, :] / side**2


boxes = st.tuples(st.floats(0, 1000), st.floats(0, 700), st.floats(5, 500), st.floats(5, 300)).map(
    lambda it: (it[0], it[1], it[0] + it[2], it[1] + it[3])
)


@settings(max_examples=40, deadline=None)
@given(box_=boxes, stride=st.sampled_from([16, 64, 128, 256]), slide_mpp=st.sampled_from([0.25, 0.31]))
def test_shares_are_exact_for_strides_of_an_eighth(
    box_: tuple[float, float, float, float], stride: int, slide_mpp: float
) -> None:
    grid = grid_of(stride, slide_mpp)
    found = label_shares(Annotations((Region("a", (box(*box_),)),)), grid).labels["a"]
    assert np.allclose(found, overlap(grid, *box_), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(edge=st.floats(100, 1400), stride=st.sampled_from([50, 100, 77]))
def test_other_strides_err_by_no_more_than_is_stated(edge: float, stride: int) -> None:
    grid = grid_of(stride)
    half = (edge, -10.0, 3000.0, 3000.0)
    found = label_shares(Annotations((Region("a", (box(*half),)),)), grid).labels["a"]
    whole = (np.arange(grid.shape.cols) * grid.stride_level0 + grid.tile_side_level0) <= 1536
    down = (np.arange(grid.shape.rows) * grid.stride_level0 + grid.tile_side_level0) <= 1024
    error = np.abs(found - overlap(grid, *half))[np.ix_(down, whole)]
    assert error.max() <= 1 / 64 + 1e-6


def test_regions_of_one_label_are_joined_and_labels_are_not() -> None:
    grid = grid_of()
    first, second = Region("a", (box(0, 0, 160, 256),)), Region("a", (box(96, 0, 256, 256),))
    other = Region("b", (box(0, 0, 256, 128),))
    shares = label_shares(Annotations((first, second, other)), grid)
    assert shares.labels["a"][0, 0] == pytest.approx(1) and shares.labels["b"][0, 0] == pytest.approx(0.5)
    assert shares.drawn[0, 0] == pytest.approx(1)


def test_what_is_excluded_counts_for_no_label_but_is_drawn() -> None:
    grid = grid_of()
    shapes = (Region("a", (box(0, 0, 256, 256),)), Region(None, (box(64, 0, 320, 256),)))
    shares = label_shares(Annotations(shapes), grid)
    assert shares.labels["a"][0, :2].tolist() == pytest.approx([0.25, 0])
    assert shares.drawn[0, :3].tolist() == pytest.approx([1, 0.25, 0])
    assert set(shares.labels) == {"a"}


def test_squares_that_two_borders_cross_err_by_no_more_than_is_stated() -> None:
    grid = grid_of()
    # Two half squares of one raster column: they are the same half, so together still a half.
    twice = (Region("a", (box(0, 0, 16, 256),)), Region("a", (box(0, 0, 16, 256),)))
    found = label_shares(Annotations(twice), grid).labels["a"][0, 0]
    assert 0 <= found - 16 / 256 <= 8 / 128


def test_masks_of_codes() -> None:
    grid = grid_of()
    codes = np.zeros((8, 12), np.uint8)  # a pixel is 128 level-0 pixels, half a tile
    codes[0, 0], codes[:2, 1], codes[2:4, 0:2] = 1, 2, 3
    mask = CodeMask(codes, {1: "a", 2: "a", 3: None})
    shares = label_shares(Annotations(mask=mask), grid)
    assert shares.labels["a"][0, 0] == pytest.approx(0.75) and set(shares.labels) == {"a"}
    assert shares.drawn[:, 0].tolist() == pytest.approx([0.75, 1, 0, 0])


@settings(max_examples=20, deadline=None)
@given(edge=st.integers(0, 1536), pixel=st.sampled_from([1, 2, 3]))
def test_masks_finer_than_needed(edge: int, pixel: int) -> None:
    grid = grid_of()
    codes = np.zeros((-(-1024 // pixel), -(-1536 // pixel)), np.uint8)
    codes[:, : edge // pixel] = 1
    found = label_shares(Annotations(mask=CodeMask(codes, {1: "a"})), grid).labels["a"]
    wanted = overlap(grid, 0, 0, edge // pixel * pixel * 1536 / (codes.shape[1] * pixel), 1024)
    assert np.abs(found[:3] - wanted[:3]).max() <= 1 / 128 + 1e-5


def test_nothing_drawn() -> None:
    shares = label_shares(Annotations(), grid_of())
    assert shares.labels == {} and not shares.drawn.any()
