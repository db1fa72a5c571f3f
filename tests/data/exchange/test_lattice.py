"""Tiles to cells: exactly, by a broken step that was rounded, and to the nearest cell of one lattice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.data.exchange.lattice import exact_lattice, lattice_shape, least_step, nearest_lattice

SIDE = 100


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=40, unique=True),
    st.floats(40, 700),
    st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
)
@settings(max_examples=60, deadline=None)
def test_tiles_of_one_lattice_get_their_own_cells(
    cells: list[tuple[int, int]], step: float, share: tuple[float, float]
) -> None:
    places = np.array(cells, float)
    xy = places[:, ::-1] * step + np.array(share) * step
    found = exact_lattice(xy, step)
    assert found is not None and found.kept.all() and found.shifted == 0
    np.testing.assert_array_equal(found.cells, places)
    np.testing.assert_allclose(found.origin, np.array(share) * step, atol=1e-3 * step)


@given(st.floats(100.05, 600.45), st.integers(2, 200), st.integers(2, 150))
@settings(max_examples=40, deadline=None)
def test_a_broken_step_is_found_from_rounded_positions(step: float, rows: int, cols: int) -> None:
    cells = np.array([(row, col) for row in range(0, rows, 7) for col in range(cols)])
    xy = np.rint(cells[:, ::-1] * step)
    found = exact_lattice(xy, float(round(step)))
    assert found is not None
    np.testing.assert_array_equal(found.cells, cells)
    assert found.step == pytest.approx(step, abs=(2 + 0.01 * step) / (cols - 1))


def test_tiles_between_the_cells_are_on_no_lattice() -> None:
    assert exact_lattice(np.array([[0.0, 0], [100, 0], [250, 0]]), SIDE) is None
    assert exact_lattice(np.array([[0.0, 0], [100, 0], [200, 37]]), SIDE) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20), st.integers(0, 20), st.integers(0, SIDE - 1), st.integers(0, SIDE - 1),
            st.integers(1, 4), st.integers(1, 4),
        ),
        min_size=1,
        max_size=5,
    )
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_every_tile_comes_to_its_nearest_cell_and_the_larger_overlap_stays(
    pieces: list[tuple[int, int, int, int, int, int]],
) -> None:
    xy = np.array(
        [
            (left * SIDE + dx + col * SIDE, top * SIDE + dy + row * SIDE)
            for left, top, dx, dy, rows, cols in pieces
            for row in range(rows)
            for col in range(cols)
        ],
        float,
    )
    found = nearest_lattice(xy, SIDE)
    assert (found.cells >= 0).all() and found.largest_shift <= 0.5 + 1e-9
    corners = np.array(found.origin) + found.cells[:, ::-1] * SIDE
    away = np.abs(xy - corners) / SIDE
    # No cell of the lattice lies nearer.
    assert away.max() <= 0.5 + 1e-9
    # One that lies off by the tolerance to the last digit may count or not.
    least, most = (int((away > limit).any(axis=1).sum()) for limit in (0.01 + 1e-9, 0.01 - 1e-9))
    assert least <= found.shifted <= most
    assert found.largest_shift == pytest.approx(float(away.max()), abs=1e-9)
    # One tile a cell, and it is one of those that overlap it most.
    overlap = np.prod(1 - away, axis=1)
    for cell in np.unique(found.cells, axis=0):
        rivals = np.flatnonzero((found.cells == cell).all(axis=1))
        assert found.kept[rivals].sum() == 1
        assert overlap[rivals][found.kept[rivals]][0] == pytest.approx(overlap[rivals].max(), abs=1e-9)
    assert found.dropped == len(xy) - len(np.unique(found.cells, axis=0))
    # Most tiles stay where they are.
    _, counts = np.unique(np.mod(xy, SIDE), axis=0, return_counts=True)
    assert (away == 0).all(axis=1).sum() >= counts.max()


def test_a_collision_by_hand() -> None:
    xy = np.array([[0.0, 0], [100, 0], [200, 0], [130, 100], [60, 100], [100, 100]])
    found = nearest_lattice(xy, SIDE)
    assert found.cells.tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 1], [1, 1]]
    assert found.kept.tolist() == [True, True, True, False, False, True]
    assert (found.dropped, found.shifted) == (2, 2) and found.largest_shift == pytest.approx(0.4)


def test_tiles_before_the_first_cell_move_the_origin() -> None:
    found = nearest_lattice(np.array([[90.0, 90], [190, 90], [0, 0]]), SIDE)
    assert found.origin == (-10.0, -10.0) and found.cells.tolist() == [[1, 1], [1, 2], [0, 0]]


def test_the_step_is_the_most_frequent_distance_of_neighbours() -> None:
    xy = np.array([[0, 0], [256, 0], [512, 0], [800, 0], [1056, 0], [0, 300]])
    assert least_step(xy) == 256
    assert least_step(np.array([[0, 0], [1, 1]])) is None


def test_a_lattice_reaches_over_the_slide() -> None:
    found = exact_lattice(np.array([[120.0, 30], [320, 30]]), SIDE)
    assert found is not None and found.origin == (20.0, 30.0)
    assert lattice_shape(found, None, SIDE) == (1, 4)
    assert lattice_shape(found, (520, 331), SIDE) == (4, 5)
