"""Features that were not written, or that float16 does not hold, are told from those that are so."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from histonic.core.errors import SlideError
from histonic.data.exchange import tile_features
from histonic.data.exchange.tile_features import TileFeatures, half_rows, require_written

ROWS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def features(values: np.ndarray) -> TileFeatures:
    return TileFeatures("s1", Path("s1.h5"), "e", values.shape, lambda: nullcontext(values), np.empty((0, 2)))


def zeros_at(*places: slice | int) -> np.ndarray:
    values = ROWS.copy()
    for place in places:
        values[place] = 0
    return values


def told(values: np.ndarray) -> str:
    return require_written(features(values), half_rows(features(values)))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.zeros((40, 6), np.float32), "All its 40 rows of features hold nothing but zeros"),
        (np.zeros((1, 6), np.float32), "All its 1 rows of features hold nothing but zeros"),
        (np.ones((8, 6), np.float32), "All its 8 rows of features hold the same numbers"),
        (zeros_at(slice(2, None)), "From row 2 to the last of 40 its features hold nothing but zeros"),
        (zeros_at(5, slice(32, None)), "From row 32 to the last of 40 its features hold nothing but zeros"),
        (zeros_at(slice(7, 17)), "10 of its 40 rows of features, the first row 7, hold nothing but zeros"),
        (zeros_at(slice(None, 20)), "20 of its 40 rows of features, the first row 0, hold nothing"),
        (zeros_at(slice(2, None))[:5], "3 of its 5 rows of features, the first row 2, hold nothing"),
    ],
)
def test_features_that_were_not_written_are_refused(values: np.ndarray, found: str) -> None:
    with pytest.raises(SlideError, match=found) as caught:
        told(values)
    assert "'s1'" in caught.value.asked and caught.value.todo == "Extract the slide again."


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (ROWS, ""),
        (np.ones((7, 6), np.float32), ""),
        (np.empty((0, 6), np.float32), ""),
        (zeros_at(slice(33, None)), "7 of 40 tiles have features of nothing but zeros, the first in row 33"),
        (zeros_at(3, 9), "2 of 40 tiles have features of nothing but zeros, the first in row 3"),
    ],
)
def test_a_few_tiles_of_zeros_are_said(values: np.ndarray, words: str) -> None:
    assert told(values) == words


@pytest.mark.parametrize("scale", [1e-9, 1e-6])
def test_numbers_too_small_for_float16_are_to_be_scaled(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_features, "BLOCK_BYTES", 240)  # several blocks
    with pytest.raises(SlideError, match=r"Its largest number is \S+e-\d+; maps keep float16") as caught:
        half_rows(features(ROWS * np.float32(scale)))
    assert caught.value.todo == "Scale the features, the same way for all slides."
    small = np.full((9, 6), 2.0**-20, np.float32)
    np.testing.assert_array_equal(half_rows(features(small)), small)  # held without loss
    mixed = ROWS.copy()
    mixed[:10] *= 1e-9
    assert (half_rows(features(mixed))[:10] == 0).all()  # beside the others they are zeros
