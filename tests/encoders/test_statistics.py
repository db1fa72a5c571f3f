"""The encoder of tile statistics: the statistics themselves, of the averaged tile."""

from __future__ import annotations

import numpy as np
import torch

from histonic.encoders.base import Encoder, load_encoder
from histonic.nn.appearance import appearance
from histonic.testing import EncoderContract


class TestAppearance(EncoderContract):
    def make(self) -> Encoder:
        return load_encoder("appearance")


def test_codes_are_the_statistics_of_the_tile_averaged_to_64_px() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3)).astype(np.uint8)
    halves = tiles.reshape(3, 64, 2, 64, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 255
    wanted = appearance(torch.from_numpy(halves).float()).numpy()
    assert np.allclose(load_encoder("appearance").encode(tiles), wanted, atol=2e-3)
