"""Area averaging against arithmetic written another way."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from histonic.slides.resample import area_weights, average_area, average_blocks


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_blocks_are_means_rounded_half_up(factor: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (4 * factor, 3 * factor, 3), dtype=np.uint8)
    means = pixels.reshape(4, factor, 3, factor, 3).astype(float).mean((1, 3))
    assert np.array_equal(average_blocks(pixels, factor), np.floor(means + 0.5).astype(np.uint8))


@given(st.floats(0, 0.999), st.floats(0.2, 7), st.integers(1, 20))
def test_weights_are_shares(start: float, scale: float, count: int) -> None:
    length = int(np.ceil(start + scale * count)) + 1
    weights = area_weights(start, scale, count, length)
    assert np.allclose(weights.sum(1), 1, atol=1e-5)
    assert (weights >= 0).all()
    # Every input pixel that is wholly covered is shared out completely.
    inner = slice(int(np.ceil(start)), int(np.floor(start + scale * count)))
    assert np.allclose(weights.sum(0)[inner] * scale, 1, atol=1e-4)


def test_fractional_average_by_supersampling() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 14, 3), dtype=np.uint8)
    found = average_area(pixels, (0.25, 0.5), 2.75, (4, 3))
    fine = pixels.repeat(4, 0).repeat(4, 1).astype(float)
    for row in range(3):
        for col in range(4):
            part = fine[2 + 11 * row : 13 + 11 * row, 1 + 11 * col : 12 + 11 * col]
            assert np.abs(found[row, col] - part.mean((0, 1))).max() <= 0.5 + 1e-3


def test_a_constant_stays_constant() -> None:
    assert (average_area(np.full((9, 9, 3), 255, np.uint8), (0.3, 0.7), 1.61, (5, 5)) == 255).all()
