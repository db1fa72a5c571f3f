"""The network of the NIC papers: its size, and a code that begins as a mean."""

from __future__ import annotations

import pytest
import torch

from histonic.core.errors import EncoderError
from histonic.encoders.networks.nic import NicEncoder, NicNetwork


def test_nic_needs_weights() -> None:
    with pytest.raises(EncoderError, match="without weights"):
        NicEncoder.create("cpu", "32")


def test_parameters_of_the_paper() -> None:
    assert 0.55e6 < sum(weight.numel() for weight in NicNetwork().parameters()) < 0.65e6


@torch.no_grad()
def test_the_code_can_begin_as_the_mean_of_the_last_filters() -> None:
    torch.manual_seed(0)
    network, tiles = NicNetwork().eval(), torch.randn(2, 3, 128, 128)
    network.pool_code()
    assert torch.allclose(network(tiles), network.body(tiles).mean(dim=(2, 3)), atol=1e-5)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EncoderError, match="tile_px is 100"):
        NicNetwork(tile_px=100)
    with pytest.raises(EncoderError, match="has 64 numbers, the last layer 128 filters"):
        NicNetwork(code_size=64).pool_code()
