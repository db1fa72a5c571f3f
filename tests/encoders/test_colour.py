"""Colour moments against SciPy and scikit-free arithmetic."""

from __future__ import annotations

import numpy as np
import scipy.stats

from histonic.encoders.base import load_encoder
from histonic.encoders.colour import STAIN_MATRIX


def test_moments_of_rgb_agree_with_scipy() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    tiles[1] //= 3
    codes = load_encoder("colour").encode(tiles)
    pixels = tiles.reshape(3, -1, 3) / 255.0
    assert np.allclose(codes[:, :3], pixels.mean(1), atol=1e-5)
    assert np.allclose(codes[:, 6:9], pixels.std(1), atol=1e-5)
    third = scipy.stats.moment(pixels, 3, axis=1)
    # The cube root is steep at zero: compare the moments themselves.
    assert np.allclose(codes[:, 12:15] ** 3, third, atol=1e-5)


def test_a_pure_stain_shows_in_its_channel_only() -> None:
    stains = np.array(STAIN_MATRIX) / np.linalg.norm(STAIN_MATRIX, axis=1, keepdims=True)
    for stain in range(3):
        colour = np.clip(256 * 10 ** (-0.8 * stains[stain]) - 1, 0, 255).round().astype(np.uint8)
        codes = load_encoder("colour").encode(np.broadcast_to(colour, (1, 128, 128, 3)).copy())
        density = codes[0, 3:6]
        assert abs(density[stain] - 0.8) < 0.02
        assert np.abs(np.delete(density, stain)).max() < 0.02
        assert np.abs(codes[0, 6:12]).max() < 1e-3
