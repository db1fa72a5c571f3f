"""Splits that are drawn keep groups whole, near their shares, and say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.core.errors import TileSetError
from histonic.core.task import Task
from histonic.data.tilesets.listing import texts, unknown
from histonic.data.tilesets.splits import share_out

TASK = Task("set", "binary", ("label",), ("a", "b"))


def drawn(
    split: list[str], group: list[str], labels: list[float], hashes: list[str] | None = None, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    pixels = texts(hashes or [str(row) for row in range(len(split))])
    targets = {"set": np.array(labels, float)}
    found: Any = share_out("set", texts(split), texts(group), pixels, [TASK], targets, seed)
    return found[0], found[1]


@given(
    sizes=st.lists(st.integers(1, 8), min_size=6, max_size=30),
    seed=st.integers(0, 5),
    given_test=st.booleans(),
)
def test_groups_stay_whole_and_given_test_tiles_stay(sizes: list[int], seed: int, given_test: bool) -> None:
    group = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    split = ["test" if given_test and name in ("g0", "g1") else "" for name in group]
    if given_test:
        split = [each or "train" for each in split]
    found, notes = drawn(split, group, [0.0] * len(group), seed=seed)
    assert len(notes) >= 1 and {"train", "val"} <= set(found)
    for name in set(group):
        assert len(set(found[np.array(group) == name])) == 1
    if given_test:
        assert (found == "test").tolist() == [each == "test" for each in split]


def test_classes_are_shared_out_evenly() -> None:
    labels = [0.0] * 200 + [1.0] * 40
    found, notes = drawn([""] * 240, [""] * 240, labels)
    counts = {
        part: [int(((found == part) & (np.array(labels) == each)).sum()) for each in (0, 1)]
        for part in ("train", "val", "test")
    }
    assert counts == {"train": [140, 28], "val": [30, 6], "test": [30, 6]}
    assert notes == ["no splits are given: drawn tile by tile (no groups are known), 70 / 15 / 15 %, seeded"]


def test_a_group_that_alone_has_a_class_is_for_training() -> None:
    """As of the osteosarcoma set, whose viable tumour is of one case: validation took it before."""
    group = ["c3"] * 76 + ["c48"] * 72 + ["p9"] * 32
    labels = [0.0] * 20 + [2.0] * 56 + [0.0] * 16 + [1.0] * 56 + [0.0] * 32
    for split in (["train"] * 180, [""] * 180):
        for seed in range(3):
            found, _ = drawn(split, group, labels, seed=seed)
            assert set(found[:148]) == {"train"} and set(found[148:]) == {"val"}
    with pytest.raises(TileSetError, match="No group can be spared"):
        drawn(["train"] * 148, group[:148], labels[:148])


def test_no_class_is_lost_for_training() -> None:
    """Also where a class has two groups, which could go to val and test."""
    group = ["g0"] * 22 + ["g1"] * 13 + ["g2"] * 19 + ["g3"] * 27
    shown = [(0, 2)] * 22 + [(0, 1)] * 13 + [(0, 2)] * 19 + [(0, 0)] * 27
    labels = [float(each[row % 2]) for row, each in enumerate(shown)]
    for seed in range(8):
        found, _ = drawn([""] * len(group), group, labels, seed=seed)
        assert set(np.array(labels)[found == "train"]) == {0.0, 1.0, 2.0}


def test_where_each_group_alone_has_a_class_it_is_said() -> None:
    group = [f"g{row // 5}" for row in range(30)]
    with pytest.raises(TileSetError, match=r"6 group\(s\) .*, 6 of them the only one of a class"):
        drawn([""] * 30, group, [float(row // 5) for row in range(30)])


def test_the_seed_decides() -> None:
    one, again, other = (drawn([""] * 60, [""] * 60, [0.0, 1.0] * 30, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_identical_tiles_of_unknown_group_are_drawn_as_one() -> None:
    hashes = [str(row // 5) for row in range(100)]
    found, _ = drawn([""] * 100, [""] * 100, [0.0] * 100, hashes)
    for each in set(hashes):
        assert len(set(found[np.array(hashes) == each])) == 1


def test_a_validation_split_is_taken_from_whole_training_groups() -> None:
    group = [f"g{row // 5}" for row in range(50)]
    found, notes = drawn(["train"] * 40 + ["test"] * 10, group, [0.0, 1.0] * 25)
    assert notes == [
        f"no validation split is given: {(found == 'val').sum()} of 40 training tiles became one "
        f"({(found == 'val').sum() // 5} of 8 groups, whole), seeded"
    ]
    tiles, notes = drawn(["train"] * 40 + ["test"] * 10, [""] * 50, [0.0, 1.0] * 25)
    assert (tiles == "val").sum() == 6 and "6 of 40 training tiles became one, tile by tile" in notes[0]


def test_given_splits_are_left_alone() -> None:
    found, notes = drawn(["train", "val", "test"], [""] * 3, [0.0, 1.0, 0.0])
    assert found.tolist() == ["train", "val", "test"] and not notes


def test_too_few_groups_and_half_given_splits_are_refused() -> None:
    with pytest.raises(TileSetError, match=r"the 4 training tiles are of 1 group"):
        drawn([""] * 4, ["p"] * 4, [0.0, 1.0] * 2)
    with pytest.raises(TileSetError, match=r"the 3 training tiles are of 1 group"):
        drawn(["train"] * 3 + ["test"], ["p"] * 3 + ["q"], [0.0, 1.0] * 2)
    with pytest.raises(TileSetError, match=r"2 of 4 tiles have no split"):
        drawn(["train", "val", "", ""], [""] * 4, [0.0, 1.0] * 2)
    with pytest.raises(TileSetError, match="No tile is in the training split"):
        drawn(["test", "val"], [""] * 2, [0.0, 1.0])


def test_two_groups_leave_no_test_split_and_say_so() -> None:
    found, notes = drawn([""] * 8, ["p"] * 4 + ["q"] * 4, [0.0, 1.0] * 4)
    assert set(found) == {"train", "val"} and notes[-1].startswith("no tile is in the test split")


def test_tiles_without_labels_are_split_too() -> None:
    found, _ = share_out("set", unknown(40), unknown(40), texts([str(row) for row in range(40)]), (), {}, 0)
    assert [(found == part).sum() for part in ("train", "val", "test")] == [28, 6, 6]
