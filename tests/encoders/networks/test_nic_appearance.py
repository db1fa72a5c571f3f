"""The NIC encoder beside statistics: what is learned, what is fixed, and the contract of all encoders."""

from __future__ import annotations

import numpy as np
import torch

from histonic.encoders.base import Encoder, EncoderSpec
from histonic.encoders.networks.nic_appearance import NicAppearanceEncoder, NicAppearanceNetwork
from histonic.nn.appearance import appearance
from histonic.testing import EncoderContract


def fitted(code_size: int = 32) -> NicAppearanceNetwork:
    torch.manual_seed(0)
    network = NicAppearanceNetwork(code_size, 64)
    network.fit_appearance([textured(64) for _ in range(4)])
    return network.eval()


def textured(count: int) -> torch.Tensor:
    """Tiles of many colours, contrasts and grains."""
    coarse = torch.nn.functional.interpolate(torch.rand(count, 3, 8, 8), size=64, mode="bilinear")
    fine = torch.rand(count, 3, 64, 64) * torch.rand(count, 1, 1, 1)
    return (coarse * torch.rand(count, 1, 1, 1) + fine * 0.5) * 2 - 1


class TestNicAppearance(EncoderContract):
    def make(self) -> Encoder:
        torch.manual_seed(0)
        network = NicAppearanceNetwork(16, 64)
        tiles = torch.from_numpy(self_tiles()).permute(0, 3, 1, 2) / 127.5 - 1
        network.fit_appearance([tiles])
        return NicAppearanceEncoder(EncoderSpec("both", "nic-appearance", 64, 1.0, 16), network)


def self_tiles() -> np.ndarray:
    return ((textured(64).permute(0, 2, 3, 1).numpy() + 1) * 127.5).clip(0, 255).astype(np.uint8)


def test_the_second_half_is_uncorrelated_and_of_unit_variance_on_the_fitted_tiles() -> None:
    torch.manual_seed(0)
    network, tiles = NicAppearanceNetwork(32, 64), [textured(64) for _ in range(4)]
    network.fit_appearance(tiles)
    looks = network.eval()(torch.cat(tiles))[:, 16:].double()
    assert torch.allclose(torch.cov(looks.T), torch.eye(16, dtype=torch.float64), atol=0.02)
    assert torch.allclose(looks.mean(0), torch.zeros(16, dtype=torch.float64), atol=0.05)


def test_the_second_half_is_a_linear_map_of_the_statistics() -> None:
    network, tiles = fitted(), textured(8)
    wanted = ((appearance((tiles + 1) / 2) - network.mean) / network.spread).clamp(-5, 5) @ network.components
    assert torch.allclose(network(tiles)[:, 16:], wanted, atol=1e-4)
    assert torch.equal(network(tiles)[:, :16], network.learned(tiles))


def test_only_the_first_half_learns() -> None:
    network = fitted()
    network(textured(4)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.learned.parameters())
    assert {name for name, _ in network.named_parameters()} == {
        f"learned.{name}" for name, _ in network.learned.named_parameters()
    }


def test_large_tiles_are_averaged_first() -> None:
    small, large = fitted(), NicAppearanceNetwork(32, 128).eval()
    large.load_state_dict(small.state_dict())
    tiles = textured(4)
    doubled = tiles.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(large(doubled), small(tiles), atol=1e-4)


def test_bfloat16_keeps_the_statistics() -> None:
    network, tiles = fitted(), textured(8)
    with torch.autocast("cpu", torch.bfloat16):
        short = network(tiles)[:, 16:].float()
    assert torch.allclose(short, network(tiles)[:, 16:], atol=0.05)
