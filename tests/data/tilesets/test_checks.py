"""Leaks and empty classes, named and counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import TileSetError
from histonic.core.task import Task
from histonic.data.tilesets.checks import (
    check_classes,
    refuse_copies,
    refuse_shared,
    refuse_split_groups,
    require_tiles,
)
from histonic.data.tilesets.listing import texts

TASK = Task("set", "binary", ("label",), ("a", "b"))


def copies(
    hashes: str, split: str, labels: list[float], drop: bool = False, turned: str = ""
) -> tuple[list[int], list[str]]:
    names = {"r": "train", "v": "val", "t": "test"}
    rows, notes = refuse_copies(
        "set",
        [f"{row}.png" for row in range(len(hashes))],
        texts(list(hashes)),
        texts(list(turned or hashes)),
        texts([names[each] for each in split]),
        [TASK],
        {"set": np.array(labels, float)},
        drop=drop,
    )
    return rows.tolist(), notes


def test_groups_in_two_splits_are_counted() -> None:
    split = texts(["train", "test", "train", "val", "train", ""])
    with pytest.raises(
        TileSetError, match=r"'p' lies in the splits train and test \(1 more groups lie in two\)"
    ):
        refuse_split_groups("set", split, texts(["p", "p", "q", "q", "r", "r"]))
    refuse_split_groups("set", split, texts(["p", "q", "", "", "r", "r"]))


def test_images_in_two_splits_and_with_two_labels_are_counted() -> None:
    with pytest.raises(
        TileSetError, match=r"1 with two labels, 2 in two splits\. The first: 4\.png .* is 5\.png"
    ):
        copies("aabbcc", "rtrvrr", [0, 0, 1, 1, 0, 1])


def test_what_is_dropped_is_the_training_copy_and_both_of_a_contradiction() -> None:
    rows, notes = copies("aabbccdddef", "rtrvrrvtrrr", [0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1], drop=True)
    assert rows == [1, 3, 7, 9, 10]
    assert notes == ["6 tiles dropped as copies; images that were there: 1 with two labels, 3 in two splits"]


def test_copies_in_one_split_are_noted_only() -> None:
    assert copies("aaab", "rrrt", [0, 0, 0, 1]) == (
        [0, 1, 2, 3],
        ["2 tiles are identical to another one of their split and label"],
    )


def test_turned_copies_are_noted_or_dropped() -> None:
    rows, notes = copies("abcdeef", "rtvrrrt", [0, 0, 1, 1, 0, 0, 1], turned="aabbeef")
    assert rows == [0, 1, 2, 3, 4, 5, 6]
    assert notes == [
        "1 tiles are identical to another one of their split and label",
        "2 images are there in two splits as turned or mirrored copies, such as 0.png (train) and "
        "1.png (test); 'duplicates: drop' keeps the held-out one",
    ]
    rows, notes = copies("abcd", "rtvr", [0, 0, 1, 1], turned="aabb", drop=True)
    assert rows == [1, 2] and "2 tiles dropped as copies" in notes[0]


def test_a_missing_label_contradicts_none() -> None:
    assert copies("aab", "rrt", [np.nan, 1, 0])[0] == [0, 1, 2]
    with pytest.raises(TileSetError, match=r"1\.png \(train\) is 2\.png"):
        copies("aaab", "rrrt", [np.nan, 1, 0, 0])


def test_a_class_to_learn_must_be_in_the_training_split() -> None:
    split = texts(["train", "train", "val", "test"])
    with pytest.raises(TileSetError, match="training split has no tile of the class 'b'"):
        check_classes("set", [TASK], {"set": np.array([0.0, 0, 1, 0])}, split)
    with pytest.raises(TileSetError, match="training split has no tile with a label"):
        check_classes("set", [TASK], {"set": np.array([np.nan, np.nan, 1, 0])}, split)
    notes = check_classes("set", [TASK], {"set": np.array([0.0, 1, np.nan, 0])}, split)
    assert notes == [
        "1 tiles have no label of set",
        "the val split has no tile of a, b (set)",
        "the test split has no tile of b (set)",
    ]


def test_nothing_readable_is_refused_with_the_first_reason() -> None:
    failures = [{"path": "0.png", "reason": "damaged"}]
    with pytest.raises(TileSetError, match=r"None of its 1 tiles could be read. First: 0.png: damaged"):
        require_tiles("set", (), {}, 0, failures)
    with pytest.raises(TileSetError, match=r"No tile of the class 'b' could be read. First: 0.png"):
        require_tiles("set", [TASK], {"set": np.zeros(3)}, 3, failures)
    value = Task("set", "regression", ("share",))
    with pytest.raises(TileSetError, match="No tile with a share could be read"):
        require_tiles("set", [value], {"set": np.full(2, np.nan)}, 2, failures)


def test_images_shared_between_sets_are_counted() -> None:
    def tiles(hashes: str, split: list[str], name: str) -> Any:
        paths = tuple(f"{name}{row}" for row in range(len(hashes)))
        return SimpleNamespace(hashes=np.array(list(hashes)), split=texts(split), paths=paths)

    one = tiles("abc", ["train", "train", "test"], "one")
    other = tiles("cab", ["train", "val", "test"], "two")
    with pytest.raises(TileSetError, match=r"2 image.s.* one0 \(train of one\) is two1 \(val of two\)"):
        refuse_shared("one", "two", one, other)
    with pytest.raises(TileSetError, match=r"1 image.s.* two0 \(train of two\) is one2 \(test of one\)"):
        refuse_shared("two", "one", other, one)
    refuse_shared("one", "two", one, tiles("ab", ["train", "train"], "two"))
