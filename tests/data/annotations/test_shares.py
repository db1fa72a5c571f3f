"""Shares of tiles: exact where that is promised, within the stated error elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from histonic.core.grid import TileGrid
from histonic.data.annotations.shapes import Annotations, CodeMask, Region
from histonic.data.annotations.shares import covered_squares, label_shares, polygon_area


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


def test_borders_that_cross_one_square_add_up_to_what_they_enclose_together() -> None:
    grid = grid_of()
    # The same half of each square twice is still a half, and without a quarter, a quarter.
    twice = (Region("a", (box(0, 0, 16, 256),)), Region("a", (box(0, 0, 16, 256),)))
    assert label_shares(Annotations(twice), grid).labels["a"][0, 0] == pytest.approx(16 / 256)
    shares = label_shares(Annotations((*twice, Region(None, (box(0, 0, 8, 256),)))), grid)
    assert shares.labels["a"][0, 0] == pytest.approx(8 / 256)
    assert shares.drawn[0, 0] == pytest.approx(16 / 256)


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


SHAPE = (9, 12)


def raster(*rings: list[list[float]] | np.ndarray, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    full = np.zeros(shape)
    rows, cols, area = polygon_area(tuple(np.array(ring, float) for ring in rings), shape)
    full[rows, cols] = area
    return full


def clipped_area(ring: np.ndarray, left: float, top: float) -> float:
    """Area of a polygon within one unit square, by clipping at its four sides and the shoelace formula."""
    corners = [tuple(corner) for corner in ring]
    for axis, limit, sign in ((0, left, 1), (0, left + 1, -1), (1, top, 1), (1, top + 1, -1)):
        kept = []
        for start, end in zip(corners, [*corners[1:], *corners[:1]], strict=True):
            inside, next_inside = (sign * (point[axis] - limit) >= 0 for point in (start, end))
            if inside:
                kept.append(start)
            if inside != next_inside:
                t = (limit - start[axis]) / (end[axis] - start[axis])
                kept.append(tuple(s + t * (e - s) for s, e in zip(start, end, strict=True)))
        corners = kept
        if not corners:
            return 0.0
    x, y = np.array(corners).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def star(radii: list[float], turn: float, centre: tuple[float, float]) -> np.ndarray:
    """A polygon that does not cross itself: corners at rising angles around a centre that it holds."""
    angles = turn + np.arange(len(radii)) * 2 * np.pi / len(radii)
    return np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], 1)


stars = st.builds(
    star,
    st.lists(st.floats(0.2, 9), min_size=3, max_size=9).map(np.array),
    st.floats(0, 6.3),
    st.tuples(st.floats(-2, 14), st.floats(-2, 11)),
)


def test_a_square_between_the_lines() -> None:
    found = raster([[0.5, 1], [2.25, 1], [2.25, 3], [0.5, 3]])
    assert np.allclose(found[1:3, :3], [[0.5, 1, 0.25]] * 2, atol=1e-12)
    assert found.sum() == pytest.approx(1.75 * 2)


def test_a_hole_and_either_direction() -> None:
    outer = [[0, 0], [4, 0], [4, 4], [0, 4]]
    hole = [[1, 1], [2.5, 1], [2.5, 3], [1, 3]]
    for outline in (outer, outer[::-1]):
        for inner in (hole, hole[::-1]):
            polygon = shapely.Polygon(outline, [inner])
            found = covered_squares(polygon, 1.0, SHAPE)
            assert found.sum() == pytest.approx(16 - 3)
            assert found[1, 1] == 0 and found[1, 2] == pytest.approx(0.5)


def test_what_lies_outside_of_the_raster_is_cut_off() -> None:
    huge = [[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]]
    assert raster(huge).min() == 1
    assert raster([[-5, -5], [-1, -5], [-1, -1]]).sum() == 0
    assert raster([[20, 2], [30, 2], [30, 5]]).sum() == 0
    assert raster([[-3, 2], [2.5, 2], [2.5, 3], [-3, 3]]).sum() == pytest.approx(2.5)
    assert raster([[10.5, 2], [99, 2], [99, 3], [10.5, 3]]).sum() == pytest.approx(1.5)


@settings(max_examples=80, deadline=None)
@given(ring=stars, backwards=st.booleans(), whole=st.booleans())
def test_shares_are_those_of_clipping(ring: np.ndarray, backwards: bool, whole: bool) -> None:
    # Corners on halves meet the lines of the raster, where digits are lost most easily.
    ring = np.rint(ring * 2) / 2 if whole else ring
    assume(not whole or is_simple(ring))
    wanted = [[clipped_area(ring, col, row) for col in range(SHAPE[1])] for row in range(SHAPE[0])]
    assert np.allclose(raster(ring[::-1] if backwards else ring), wanted, atol=1e-6)


def is_simple(ring: np.ndarray) -> bool:
    """Whether no two edges that are not neighbours meet; exact for corners on halves."""
    edges = list(zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True))
    count = len(edges)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count) if (j - i) not in (1, count - 1)]
    return not any(_meet(*edges[i], *edges[j]) for i, j in pairs)


def _meet(a: list[float], b: list[float], c: list[float], d: list[float]) -> bool:
    def side(p: list[float], q: list[float], r: list[float]) -> float:
        return float(np.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])))

    return side(a, b, c) * side(a, b, d) <= 0 and side(c, d, a) * side(c, d, b) <= 0


@settings(max_examples=15, deadline=None)
@given(ring=stars)
def test_shares_are_those_of_sampling(ring: np.ndarray) -> None:
    steps = 16
    x, y = np.meshgrid(*((np.arange(size * steps) + 0.5) / steps for size in SHAPE[::-1]))
    inside = Outline(ring).contains_points(np.stack([x.ravel(), y.ravel()], 1))
    shares = inside.reshape(SHAPE[0], steps, SHAPE[1], steps).mean((1, 3))
    # An edge passes about 16 samples of a square, each of which may fall on the wrong side by half a step.
    assert np.abs(raster(ring) - shares).max() < 4 / steps
    # The sampled area errs by at most half a step along the outline.
    perimeter = np.hypot(*(ring - np.roll(ring, 1, axis=0)).T).sum()
    assert abs(raster(ring).sum() - shares.sum()) < max(0.05 * max(1.0, shares.sum()), perimeter / steps / 2)
