"""Networks as they run on tiles: the same codes as the network that was trained, at both precisions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.networks.nic_appearance import NicAppearanceNetwork
from histonic.encoders.networks.tellez import TellezNetwork
from histonic.encoders.networks.tile_network import FoldedConvolutions, HalfNetwork, Runs, TileNetwork


def smooth_tiles(count: int = 4, side: int = 128) -> Tensor:
    """Tiles with large and small structure, as noise alone averages to nothing."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 12, 12, generator=generator)
    fine = torch.rand(count, 3, side, side, generator=generator)
    light = nn.functional.interpolate(coarse, side, mode="bilinear") * 0.8 + fine * 0.2
    return (light * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def with_learned_norms(network: nn.Module) -> nn.Module:
    """A network whose normalisations do what trained ones do, to each channel something else."""
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values, low, high in (
                (layer.weight.data, -1.5, 1.5),
                (layer.bias.data, -1, 1),
                (layer.running_mean, -0.5, 0.5),
                (layer.running_var, 0.1, 3),
            ):
                values.copy_(torch.rand(len(values), generator=generator) * (high - low) + low)
    return network.eval()


def trained_way(network: nn.Module, tiles: Tensor) -> Tensor:
    """What the network gives as it stands: all in float32, tiles scaled to -1..1 before."""
    with torch.no_grad():
        return network(tiles.permute(0, 3, 1, 2).float() / 127.5 - 1)


@pytest.mark.parametrize(
    ("network", "side", "tile_px"),
    [
        (NicNetwork(24), 64, 128),
        (NicNetwork(8, 64), 64, 64),
        (NicAppearanceNetwork(24), 64, 128),
        (TellezNetwork(8), 128, 128),
    ],
)
def test_codes_are_those_of_the_network(network: nn.Module, side: int, tile_px: int) -> None:
    network, tiles = with_learned_norms(network), smooth_tiles(side=tile_px)
    expected = trained_way(network, tiles)
    with torch.no_grad():
        found = TileNetwork(network, side, half=False)(tiles)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert found.dtype == torch.float32


@pytest.mark.parametrize("network", [NicNetwork(24), NicAppearanceNetwork(24), TellezNetwork(8)])
def test_codes_in_half_precision_are_near_and_not_the_same(network: nn.Module) -> None:
    network, tiles = with_learned_norms(network), smooth_tiles()
    side = 64 if isinstance(network, Runs) else 128
    expected = trained_way(network, tiles)
    with torch.no_grad():
        found = TileNetwork(network, side, half=True)(tiles)
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.999
    assert not torch.equal(found, expected)


def test_the_network_that_is_run_in_half_precision_stays_as_it_was() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    HalfNetwork(network)
    assert network[1].weight.dtype == torch.float32


def test_statistics_stay_in_single_precision() -> None:
    network, tiles = with_learned_norms(NicAppearanceNetwork(24)), smooth_tiles()
    with torch.no_grad():
        single, half = (TileNetwork(network, 64, half=half)(tiles)[:, 12:] for half in (False, True))
    assert torch.equal(single, half)


def test_only_what_can_be_folded_is() -> None:
    padded = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.LeakyReLU(0.2), nn.BatchNorm2d(4))
    with pytest.raises(TypeError, match="without padding"):
        FoldedConvolutions(padded, nn.Linear(4, 2), half=False)
    unknown = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.BatchNorm2d(4, track_running_stats=False)
    )
    with pytest.raises(TypeError, match="running statistics"):
        FoldedConvolutions(unknown, nn.Linear(4, 2), half=False)


def test_an_encoder_runs_what_its_file_holds() -> None:
    network = with_learned_norms(NicNetwork(8))
    tiles = smooth_tiles(40)
    encoder = NicEncoder(EncoderSpec("x", "nic", 128, 0.5, 8), network)
    found = encoder.encode(tiles.numpy())
    np.testing.assert_allclose(found, trained_way(network, tiles), rtol=1e-3, atol=1e-4)
    assert load_encoder("colour").tile_network is not None  # type: ignore[attr-defined]
