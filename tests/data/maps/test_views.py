"""Where crops lie: the density of the paper, windows that keep the tissue, and a spread over it in tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.tissue_box import TissueBox
from histonic.core.units import RC, Shape
from histonic.data.maps.views import (
    TissueDensity,
    View,
    cut,
    draw_view,
    spread_corners,
    spread_views,
    training_corner,
)
from histonic.training.seeds import seeded


def whole(rows: int, cols: int) -> TissueBox:
    return TissueBox(RC(0, 0), Shape(rows, cols))


def test_the_density_is_the_squared_distance_to_background() -> None:
    mask = np.zeros((7, 9), bool)
    mask[1:6, 1:8] = True
    values = TissueDensity(mask).values
    distance = np.array([[min(r, 6 - r, c, 8 - c) for c in range(9)] for r in range(7)], float)
    wanted = (distance / distance.max()) ** 2
    assert np.allclose(values, wanted / wanted.sum())
    assert values.sum() == pytest.approx(1)


def test_draws_follow_the_density() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:4, 1:5] = True
    density, rng = TissueDensity(mask), np.random.default_rng(0)
    found = np.zeros(mask.shape)
    for _ in range(6000):
        found[density.draw(rng)] += 1 / 6000
    assert np.abs(found - density.values).max() < 0.02
    assert not found[~mask].any()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(8, 24), st.integers(0, 99))
def test_training_windows_hold_a_fitting_map_or_stay_inside(
    rows: int, cols: int, side: int, seed: int
) -> None:
    mask = np.ones((rows, cols), bool)
    density = TissueDensity(mask) if max(rows, cols) > side else None
    corner = training_corner(whole(rows, cols), density, side, np.random.default_rng(seed))
    for start, extent in zip(corner, (rows, cols), strict=True):
        if extent <= side:
            assert start <= 0 and start + side >= extent
        else:
            assert 0 <= start <= extent - side


def test_training_windows_of_a_small_map_lie_everywhere() -> None:
    rng = np.random.default_rng(0)
    found = {training_corner(whole(10, 8), None, 10, rng) for _ in range(60)}
    assert found == {RC(0, 0), RC(0, -1), RC(0, -2)}


def test_test_windows_follow_the_quantiles_of_the_tissue() -> None:
    mask = np.zeros((100, 20), bool)
    mask[:, 5:15] = True
    corners = spread_corners(mask, 20, 5)
    assert [corner.col for corner in corners] == [0] * 5  # ten columns centred in twenty
    assert [corner.row for corner in corners] == [0, 20, 40, 60, 80]


def test_windows_that_coincide_are_looked_at_once() -> None:
    mask = np.zeros((40, 40), bool)
    mask[[1, 2], [1, 30]] = True
    assert spread_corners(mask, 20, 10) == [RC(-8, 1), RC(-8, 11)]


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(0, 9)] * 4),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(8, 16),
    st.integers(0, 99),
)
def test_glass_around_the_tissue_moves_no_window(
    glass: tuple[int, int, int, int], shape: tuple[int, int], side: int, seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.5
    mask[0, 0] = True
    top, bottom, left, right = glass
    wide = np.pad(mask, ((top, bottom), (left, right)))
    for crops in (1, 5):
        found = [RC(row - top, col - left) for row, col in spread_corners(wide, side, crops)]
        assert found == spread_corners(mask, side, crops)
    drawn = []
    for each in (mask, wide):
        box = TissueBox.of(each)
        density = None if box.fits(side) else TissueDensity(each)
        drawn.append(training_corner(box, density, side, np.random.default_rng(seed)))
    assert RC(drawn[1].row - top, drawn[1].col - left) == drawn[0]


def test_a_fitting_map_is_centred_and_seen_once_per_orientation() -> None:
    views = spread_views("s", np.ones((10, 7), bool), 12, 10, 8)
    assert {view.corner for view in views} == {RC(-1, -2)}
    assert [view.orientation for view in views] == list(range(8))


@given(st.integers(-9, 14), st.integers(-9, 14), st.integers(1, 9))
def test_cutting_is_slicing_a_padded_map(row: int, col: int, side: int) -> None:
    array = np.arange(2 * 6 * 5).reshape(2, 6, 5) + 1
    padded = np.pad(array, ((0, 0), (20, 20), (20, 20)))
    wanted = padded[:, 20 + row : 20 + row + side, 20 + col : 20 + col + side]
    assert np.array_equal(cut(array, RC(row, col), side), wanted)
    assert np.array_equal(cut(array, RC(row, col), side, 1), wanted[1])


def test_views_depend_on_the_keys_only() -> None:
    one, two = (
        draw_view("s", whole(30, 30), TissueDensity(np.ones((30, 30), bool)), 8, seeded(1, 2)) for _ in "ab"
    )
    assert one == two and isinstance(one, View)
    assert seeded(1, 2).random() != seeded(2, 1).random()


def test_all_orientations_are_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {draw_view("s", whole(8, 8), None, 8, rng).orientation for _ in range(100)} == set(range(8))
