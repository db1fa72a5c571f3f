"""The trunk of the synthetic task: its layers, and tiles that it cannot take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.small import SmallEncoder, SmallNetwork


def test_two_convolutions_and_two_dense_layers() -> None:
    network = SmallNetwork(16, 16)
    found = sum(each.numel() for each in network.parameters())
    assert found == 3 * 32 * 9 + 2 * 32 + 32 * 64 * 9 + 2 * 64 + (1024 * 64 + 64) + 2 * 64 + 64 * 16 + 16
    assert network.features(torch.zeros(2, 3, 16, 16)).shape == (2, network.feature_size)


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    spec = EncoderSpec("mine", "nic-small", 8, 0.5, 4)
    encoder = SmallEncoder(spec, SmallEncoder.build(spec))
    encoder.save(tmp_path / "e.safetensors")
    tiles = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(load_encoder(tmp_path / "e.safetensors").encode(tiles), encoder.encode(tiles))


@pytest.mark.parametrize("side", [4, 10])
def test_tiles_that_cannot_be_halved_twice(side: int) -> None:
    with pytest.raises(EncoderError, match=f"tile_px is {side}"):
        SmallNetwork(16, side)
