"""Areas that people drew: valid ones are kept to the last bit, all others repaired or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Outline

from histonic.slides.areas import repair

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)


def area(*rings: np.ndarray) -> float:
    return sum(shapely.Polygon(part[0], part[1:]).area for part in repair(rings).parts)


def test_a_valid_polygon_stays_as_it_is() -> None:
    hole = SQUARE[::-1] / 4 + 2
    for outline in (SQUARE, SQUARE[::-1], np.vstack([SQUARE, SQUARE[:1]])):
        found = repair([outline, hole])
        assert not found.repaired and not found.lost
        ((kept, inner),) = found.parts
        assert np.array_equal(kept, outline) and np.array_equal(inner, hole)


# Areas by hand. A pretzel winds twice around its middle; the middle belongs to it, once.
EIGHT = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], float)
PRETZEL = np.array(
    [[0, 0], [10, 0], [10, 10], [0, 10], [0, 2], [6, 2], [6, 6], [2, 6], [2, -1], [0, -1]], float
)
SPIKE = np.array([[0, 0], [10, 0], [10, 5], [15, 5], [10, 5], [10, 10], [0, 10]], float)


@pytest.mark.parametrize(
    ("rings", "wanted", "word"),
    [
        ([EIGHT], 8, "outline that meets itself or a hole"),
        ([PRETZEL], 102 - 4, "outline that meets itself or a hole"),
        ([np.vstack([SQUARE, SQUARE])], 100, "outline that meets itself or a hole"),
        ([SPIKE], 100, "outline that meets itself or a hole"),
        ([SQUARE, SQUARE + 20], 100, "hole outside of its outline"),
        ([SQUARE, SQUARE / 2 + 7], 100 - 9, "outline that meets itself or a hole"),
        ([SQUARE, SQUARE / 2 + 1, SQUARE / 5 + 2], 100 - 25, "hole within a hole"),
        ([SQUARE[[0, 0, 1, 2, 2, 3]]], 100, "ring with a corner given twice"),
    ],
)
def test_repairs(rings: list[np.ndarray], wanted: float, word: str) -> None:
    for turned in (rings, [ring[::-1] for ring in rings]):
        found = repair(turned)
        assert area(*turned) == pytest.approx(wanted) and list(found.repaired) == [word]
        for part in found.parts:
            assert shapely.is_valid(shapely.Polygon(part[0], part[1:]))


@pytest.mark.parametrize(
    ("rings", "word"),
    [
        ([], "polygon of fewer than three corners"),
        ([SQUARE[:0]], "polygon of fewer than three corners"),
        ([SQUARE[[0, 1, 0, 1]]], "polygon of fewer than three corners"),
        ([np.array([[0, 0], [1, 1], [2, 2.0]])], "polygon without an area"),
        ([SQUARE, SQUARE], "polygon without an area"),
    ],
)
def test_what_holds_nothing_is_lost_with_a_word(rings: list[np.ndarray], word: str) -> None:
    found = repair(rings)
    assert found.parts == () and found.lost == word


def test_a_corner_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        repair([np.array([[0, 0], [np.inf, 0], [1, 1]])])


@settings(max_examples=60, deadline=None)
@given(ring=arrays(np.int8, st.tuples(st.integers(3, 9), st.just(2)), elements=st.integers(0, 12)))
def test_what_a_ring_runs_around_belongs_to_the_area(ring: np.ndarray) -> None:
    """By the winding number at points that lie on no edge: other than zero is inside, zero may not be."""
    outline = ring.astype(float)
    # Corners are whole numbers up to 12: no edge passes through these points.
    x, y = np.meshgrid(np.arange(12) + 0.5 + np.pi / 100, np.arange(12) + 0.5 + np.e / 100)
    points = np.stack([x.ravel(), y.ravel()], 1)
    found = repair([outline])
    inside = np.zeros(len(points), bool)
    for part in found.parts:
        here = Outline(part[0]).contains_points(points)
        for hole in part[1:]:
            here &= ~Outline(hole).contains_points(points)
        assert not (inside & here).any(), "parts overlap"
        inside |= here
    start, end = outline, np.roll(outline, -1, axis=0)
    angles = [np.arctan2(*(each - points[:, None, :]).transpose(2, 0, 1)[::-1]) for each in (start, end)]
    steps = (angles[1] - angles[0] + np.pi) % (2 * np.pi) - np.pi
    winding = np.rint(steps.sum(axis=1) / (2 * np.pi)).astype(int)
    assert np.array_equal(inside, winding != 0)


def test_a_corner_beyond_every_slide_is_refused() -> None:
    with pytest.raises(ValueError, match="pixels away"):
        repair([np.array([[0.0, 0.0], [1e200, 0.0], [0.0, 4.0]])])
