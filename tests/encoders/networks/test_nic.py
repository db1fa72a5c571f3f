"""The network of the NIC papers: its size, and the tiles that it takes."""

from __future__ import annotations

import pytest

from histonic.core.errors import EncoderError
from histonic.encoders.networks.nic import NicEncoder, NicNetwork


def test_nic_needs_weights() -> None:
    with pytest.raises(EncoderError, match="without weights"):
        NicEncoder.create("cpu", "32")


def test_parameters_of_the_paper() -> None:
    assert 0.55e6 < sum(weight.numel() for weight in NicNetwork().parameters()) < 0.65e6


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EncoderError, match="tile_px is 100"):
        NicNetwork(tile_px=100)
