"""Points picked from a map: what a plain search would pick, apart from each other, and nothing forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.compressed import CellMap
from histonic.core.grid import TileGrid
from histonic.core.units import WH, XY, Shape
from histonic.data.maps.peaks import Points, cell_middles, pick_points


def grid_of(
    rows: int, cols: int, tile_px: int = 64, stride_px: int = 16, slide_mpp: float = 0.23
) -> TileGrid:
    return TileGrid(XY(0, 0), tile_px, stride_px, 0.25, slide_mpp, WH(9999, 9999), Shape(rows, cols))


def plain_search(
    values: np.ndarray, middles: np.ndarray, mpp: float, above: float, radius_um: float
) -> tuple[list[int], list[int]]:
    """All maxima, and those that are taken, as rows of the flattened map: loops, and no library."""
    rows, cols = values.shape
    maxima = []
    for row in range(rows):
        for col in range(cols):
            around = values[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
            here = values[row, col]
            if np.isfinite(here) and here > above and here >= np.nanmax(around):
                maxima.append(row * cols + col)
    flat = values.ravel()
    taken: list[int] = []
    for place in sorted(maxima, key=lambda place: (-flat[place], place)):
        far = [np.hypot(*(middles[place] - middles[other])) * mpp for other in taken]
        if all(each >= radius_um for each in far):
            taken.append(place)
    return maxima, taken


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    levels=st.integers(1, 40),
    radius_um=st.sampled_from([0.0, 4.0, 7.5, 8.0, 20.0]),
    above=st.sampled_from([-1.0, 0.2, 0.9]),
    stride_px=st.sampled_from([16, 24, 64, 128]),
)
def test_it_is_what_a_plain_search_finds(
    seed: int, shape: tuple[int, int], levels: int, radius_um: float, above: float, stride_px: int
) -> None:
    """Few levels make plateaus and ties; 16 px of 0.25 are exactly 4 µm, 24 px 6."""
    rng = np.random.default_rng(seed)
    values = (rng.integers(0, levels, shape) / levels).astype(np.float32)
    values[rng.random(shape) < 0.1] = np.nan
    grid = grid_of(*shape, stride_px=stride_px)
    middles = cell_middles(grid, np.argwhere(np.ones(shape, bool)))
    points = pick_points(CellMap("a", values, grid, "test"), above=above, radius_um=radius_um)
    maxima, taken = plain_search(values, middles, 0.23, above, radius_um)
    assert np.array_equal(points.xy, middles[taken].reshape(-1, 2))
    assert np.array_equal(points.values, values.ravel()[taken].astype(np.float64))
    um = points.xy * 0.23
    far = np.hypot(*(um[:, None] - um[None]).transpose(2, 0, 1))
    assert (far[~np.eye(len(um), dtype=bool)] >= radius_um).all()
    for place in maxima:
        covering = np.hypot(*(middles[place] * 0.23 - um).T) < max(radius_um, 1e-9)
        assert (points.values[covering] >= values.ravel()[place]).any()


def test_the_middle_of_a_tile_and_not_its_corner() -> None:
    grid = grid_of(3, 3, tile_px=64, stride_px=16, slide_mpp=0.5)
    # A tile is 32 pixels of the slide wide, and the next one 8 pixels further.
    assert cell_middles(grid, np.array([[0, 0], [2, 1]])).tolist() == [[16.0, 16.0], [24.0, 32.0]]
    assert grid.cell_at((24.0, 32.0)) == (2, 1)


def test_an_empty_map_has_no_point() -> None:
    nothing = CellMap("a", np.full((2, 3), np.nan, np.float32), grid_of(2, 3), "test")
    assert pick_points(nothing, above=-np.inf, radius_um=7.5).xy.shape == (0, 2)


def test_points_above_a_value() -> None:
    points = Points(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.9, 0.5]))
    assert points.above(0.9).xy.tolist() == [[1.0, 2.0]]
    assert points.above(0.95).values.tolist() == [] and len(points.above(0.5).xy) == 2


@pytest.mark.parametrize("radius_um", [4.0, np.nextafter(4.0, 5.0)])
def test_exactly_the_radius_apart_both_stay(radius_um: float) -> None:
    values = np.array([[0.9, 0.1, 0.8]], np.float32)
    grid = TileGrid(XY(0, 0), 64, 8, 0.25, 0.25, WH(99, 99), Shape(1, 3))  # 4 µm from first to last
    found = pick_points(CellMap("a", values, grid, "test"), above=0.5, radius_um=radius_um)
    assert len(found.xy) == (2 if radius_um == 4.0 else 1)
