"""The larger trunk of the 2019 paper: its layers, and the encoder made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.tellez import TellezEncoder, TellezNetwork
from histonic.testing import EncoderContract


class TestTellez(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        torch.manual_seed(0)
        return TellezEncoder(EncoderSpec("random", "tellez2019", 64, 0.5, 16), TellezNetwork(16, 64))


def test_layers_are_those_of_the_paper() -> None:
    network = TellezNetwork()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 64, 128, 256, 512]
    assert {layer.stride for layer in convolutions} == {(2, 2)}
    assert network.body(torch.zeros(1, 3, 128, 128)).shape == (1, 512, 4, 4)
    kernels = sum(
        9 * before * after for before, after in [(3, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
    )
    norms = 2 * (32 + 64 + 128 + 256 + 512)
    dense = 8192 * 512 + 512 + 2 * 512
    code = 512 * 128 + 128
    assert sum(parameter.numel() for parameter in network.parameters()) == kernels + norms + dense + code


def test_codes_are_the_code_layer_on_top_of_the_features() -> None:
    network = TellezNetwork(8, 64).eval()
    tiles = torch.randn(3, 3, 64, 64)
    assert network.features(tiles).shape == (3, network.feature_size)
    assert torch.equal(network.code(network.features(tiles)), network(tiles))


@pytest.mark.parametrize("tile_px", [0, 16, 100])
def test_tiles_that_cannot_be_halved_five_times(tile_px: int) -> None:
    with pytest.raises(EncoderError, match="multiple of 32"):
        TellezNetwork(tile_px=tile_px)


def test_the_name_alone_has_no_weights() -> None:
    with pytest.raises(EncoderError, match="tellez2019"):
        load_encoder("tellez2019")


def test_weights_of_another_tile_size_do_not_fit(tmp_path: Path) -> None:
    spec = EncoderSpec("x", "tellez2019", 128, 0.5, 8)
    TellezEncoder(spec, TellezNetwork(8, 64)).save(tmp_path / "e.safetensors")
    with pytest.raises(EncoderError, match="do not fit the architecture 'tellez2019'"):
        load_encoder(tmp_path / "e.safetensors")
