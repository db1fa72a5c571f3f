"""What encoders with weights share: device precision, what a trunk offers, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import Featured, NetworkEncoder
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.networks.tellez import TellezEncoder, TellezNetwork


@pytest.mark.parametrize(
    ("kind", "network"), [(NicEncoder, NicNetwork(16)), (TellezEncoder, TellezNetwork(16))]
)
def test_codes_in_bfloat16_point_the_same_way(kind: type[NetworkEncoder], network: nn.Module) -> None:
    spec = EncoderSpec("x", kind.architecture, 128, 0.5, 16)
    tiles = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)
    # Smooth tiles, as noise averages to nothing and leaves codes of rounding errors.
    tiles = (tiles // 4 + np.linspace(0, 190, 128)[None, :, None, None]).astype(np.uint8)
    full = kind(spec, network).encode(tiles)
    half = kind(spec, network, precision="bf16").encode(tiles)
    cosines = (full * half).sum(1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosines.min() > 0.999
    assert not np.array_equal(full, half)


@pytest.mark.parametrize("kind", [NicEncoder, TellezEncoder])
def test_precision_is_part_of_the_fingerprint_and_build_makes_what_a_file_fills(
    kind: type[NetworkEncoder],
) -> None:
    spec = EncoderSpec("x", kind.architecture, 64, 0.5, 4)
    network = kind.build(spec)
    assert isinstance(network, Featured)
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    one = kind.from_tensors(spec, tensors, "cpu", "32")
    assert isinstance(one, kind)
    assert one.fingerprint == kind(spec, network).fingerprint
    assert one.fingerprint != kind.from_tensors(spec, tensors, "cpu", "bf16").fingerprint


def test_a_trunk_without_features_is_told_apart() -> None:
    assert not isinstance(nn.Linear(3, 4), Featured)


def test_an_encoder_that_does_not_say_how_it_is_built() -> None:
    with pytest.raises(TypeError, match="does not say"):
        NetworkEncoder.build(EncoderSpec("x", "y", 64, 0.5, 4))


def test_infinite_weights_are_refused() -> None:
    network = TellezNetwork(4, 64)
    network.code.bias.data[0] = torch.inf
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    with pytest.raises(EncoderError, match="NaN or infinity"):
        TellezEncoder.from_tensors(EncoderSpec("x", "tellez2019", 64, 0.5, 4), tensors, "cpu", "32")
