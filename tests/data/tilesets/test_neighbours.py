"""Tiles that share a side on a slide, against a search through all pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.tilesets.listing import texts
from histonic.data.tilesets.neighbours import BESIDE, count_touching, touching_tiles


def test_slides_of_one_patient_are_not_mixed() -> None:
    places = np.array([[0, 0], [10, 0], [0, 0], [10, 0]], float)
    patient, train, side = texts(["p"] * 4), texts(["train"] * 4), np.full(4, 10.0)
    found = touching_tiles(places, side, patient, texts(["a", "b", "b", "a"]), train)
    assert found[:, 0].tolist() == [3, -1, 1, -1] and found[:, 1].tolist() == [-1, 2, -1, 0]
    # Without a slide the group stands for it; of two tiles at one place the first is the neighbour.
    found = touching_tiles(places, side, patient, texts([""] * 4), train)
    assert found[:, 0].tolist() == [1, -1, 1, -1]


def test_splits_are_not_mixed_and_the_unknown_has_no_neighbour() -> None:
    places = np.array([[0, 0], [10, 0], [20, 0], [np.nan, 0]], float)
    slide, none = texts(["a"] * 4), texts([""] * 4)
    split = texts(["train", "test", "train", "train"])
    side = np.full(4, 10.0)
    assert (touching_tiles(places, side, none, slide, split) == -1).all()
    assert (touching_tiles(places, side, none, none, texts(["train"] * 4)) == -1).all()
    assert touching_tiles(places, side, none, slide, texts(["train"] * 4))[1].tolist() == [2, 0, -1, -1]


def test_a_tile_does_not_touch_itself_and_places_on_no_grid_tell_no_side() -> None:
    rng = np.random.default_rng(0)
    names = [texts([each] * 500) for each in ("p", "s", "train")]
    anywhere = np.floor(rng.uniform(0, 90_000, (500, 2)))
    assert (touching_tiles(anywhere, np.full(500, np.nan), *names) == -1).all()
    # Rows and columns counted from 0 are a grid.
    index = np.argwhere(np.ones((20, 25))).astype(float)
    found = touching_tiles(index, np.full(500, np.nan), *names)
    assert found[0].tolist() == [25, -1, 1, -1] and not (found == np.arange(500)[:, None]).any()


def test_near_is_not_touching() -> None:
    places = np.array([[0, 0], [20, 0], [0, 10.1], [5, 20.1]])
    names = [texts([each] * 4) for each in ("p", "s", "train")]
    found = touching_tiles(places, np.full(4, 10.0), *names)
    assert found.tolist() == [[-1, -1, 2, -1], [-1] * 4, [-1, -1, -1, 0], [-1] * 4]
    assert count_touching(found, np.arange(4)) == 2 and count_touching(found, np.array([1, 3])) == 0


def test_without_a_side_the_grid_of_the_whole_slide_tells_it() -> None:
    """The training tiles alone are two steps apart; the test tile between them shows the step."""
    places = np.array([[0, 0], [256, 0], [128, 0], [128, 128]], float)
    slide, split = texts(["s"] * 4), texts(["train", "train", "test", "test"])
    found = touching_tiles(places, np.full(4, np.nan), texts([""] * 4), slide, split)
    assert found.tolist() == [[-1] * 4, [-1] * 4, [-1, -1, 3, -1], [-1, -1, -1, 2]]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from("ab")), max_size=25))
def test_all_that_touch_are_found_and_nothing_else(tiles: list[tuple[int, int, str]]) -> None:
    places = np.array([(8 * x, 8 * y) for x, y, _ in tiles], float).reshape(-1, 2)
    slide = texts([name for *_, name in tiles])
    count = len(tiles)
    found = touching_tiles(places, np.full(count, 8.0), texts([""] * count), slide, texts(["train"] * count))
    for row, others in enumerate(found):
        for other, step in zip(others, BESIDE, strict=True):
            wanted = places[row] + 8 * np.array(step)
            there = np.flatnonzero((slide == slide[row]) & (places == wanted).all(axis=1))
            assert other == (there[0] if len(there) else -1)
