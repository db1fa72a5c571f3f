"""The nearest tile of the same slide, against a search through all pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.tilesets.listing import texts
from histonic.data.tilesets.neighbours import nearest_tiles


def test_slides_of_one_patient_are_not_mixed() -> None:
    places = np.array([[0, 0], [10, 0], [0, 0], [900, 0]], float)
    patient, train = texts(["p"] * 4), texts(["train"] * 4)
    assert nearest_tiles(places, patient, texts(["a", "b", "b", "a"]), train).tolist() == [3, 2, 1, 0]
    # Without a slide the group stands for it; the same place twice is not a neighbour of itself.
    assert nearest_tiles(places, patient, texts([""] * 4), train).tolist() == [1, 0, 1, 1]


def test_splits_are_not_mixed_and_the_unknown_has_no_neighbour() -> None:
    places = np.array([[0, 0], [10, 0], [20, 0], [np.nan, 0]], float)
    slide, none = texts(["a"] * 4), texts([""] * 4)
    split = texts(["train", "test", "train", "train"])
    assert nearest_tiles(places, none, slide, split).tolist() == [2, -1, 0, -1]
    assert nearest_tiles(places, none, none, split).tolist() == [-1] * 4


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from("ab")), max_size=25))
def test_no_other_place_is_nearer(tiles: list[tuple[int, int, str]]) -> None:
    places = np.array([(x, y) for x, y, _ in tiles], float).reshape(-1, 2)
    slide = texts([name for *_, name in tiles])
    found = nearest_tiles(places, texts([""] * len(tiles)), slide, texts(["train"] * len(tiles)))
    for row, other in enumerate(found):
        apart = np.hypot(*(places - places[row]).T)
        candidates = apart[(slide == slide[row]) & (apart > 0)]
        if other < 0:
            assert not len(candidates)
        else:
            assert slide[other] == slide[row] and apart[other] == candidates.min()
