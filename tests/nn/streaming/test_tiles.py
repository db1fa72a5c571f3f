"""Codes and gradients of tiles some at a time are those of all at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from histonic.core.errors import NetworkError
from histonic.encoders.networks.nic_appearance import NicAppearanceNetwork
from histonic.nn.streaming.tiles import stream_tiles


def tiles(count: int, side: int = 64) -> torch.Tensor:
    chance = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=chance)


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_the_tile_encoder_learns_through_its_codes(at_once: int) -> None:
    torch.manual_seed(0)
    network = NicAppearanceNetwork(8, 64).double().eval()
    given = tiles(7)
    pixels = given.permute(0, 3, 1, 2).double() / 255 * 2 - 1
    codes = network(pixels)
    towards = torch.randn_like(codes)
    weights = [*network.parameters()]
    wanted = torch.autograd.grad(codes, weights, towards)
    streamed = stream_tiles(network, given, at_once)
    found = torch.autograd.grad(streamed, weights, towards)
    # Bytes are scaled in single precision.
    assert (streamed - codes).abs().max() < 1e-5
    for mine, right in zip(found, wanted, strict=True):
        assert (mine - right).abs().max() < 1e-4 * (1 + right.abs().max())
    again = torch.autograd.grad(stream_tiles(network, given, 7), weights, towards)
    for mine, right in zip(found, again, strict=True):
        assert (mine - right).abs().max() < 1e-10


def test_what_depends_on_other_tiles_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 64), nn.BatchNorm2d(2), nn.Flatten())
    with pytest.raises(NetworkError, match="'1'"):
        stream_tiles(network, tiles(2))
    assert stream_tiles(network.eval(), tiles(2)).shape == (2, 2)
