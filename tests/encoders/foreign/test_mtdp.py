"""Trunks of Mormont et al. against torchvision's own networks, and files that are not whole."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from histonic.core.errors import EncoderError
from histonic.encoders.base import load_encoder
from histonic.encoders.foreign.importing import read_encoder
from histonic.encoders.foreign.mtdp import MtdpEncoder, MtdpNetwork, is_multitask_trunk
from histonic.encoders.foreign.stated import Said

SIZES = {"resnet50": 2048, "densenet121": 1024}
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def network(name: str) -> Any:
    """Torchvision's, with random weights and statistics that are not those of a fresh network."""
    torch.manual_seed(0)
    made = getattr(importlib.import_module("torchvision.models"), name)(weights=None)
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.2)
    return made.eval()


def released(name: str, counted: bool = True) -> dict[str, Tensor]:
    """A state dict as theirs: trunk with ImageNet's classifier, and two heads."""
    state = {f"features.{key}": value for key, value in network(name).state_dict().items()}
    if not counted:
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    for task, classes in (("lung", 10), ("necrosis", 2)):
        state[f"heads.{task}.fc.weight"] = torch.zeros(classes, SIZES[name])
        state[f"heads.{task}.fc.bias"] = torch.zeros(classes)
    return state


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("name", SIZES)
def test_codes_are_the_averages_of_the_released_network(name: str, tmp_path: Path) -> None:
    torch.save(released(name, counted=name == "resnet50"), tmp_path / "best.pth")
    encoder = read_encoder(tmp_path / "best.pth", Said(mpp=0.5, tile_px=64))
    assert encoder.spec.architecture == f"mtdp:{name}" and encoder.spec.code_size == SIZES[name]
    assert "heads of 2 tasks left out" in encoder.spec.provenance and "MIT" in encoder.spec.licence
    tiles = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    seen = torch.tensor(((tiles / 255 - MEAN) / STD).transpose(0, 3, 1, 2), dtype=torch.float32)
    own = network(name)
    # Theirs: feature maps as the network's last layer gives them, then their average.
    layers = [own.features] if name == "densenet121" else list(own.children())[:-2]
    with torch.no_grad():
        wanted = F.adaptive_avg_pool2d(torch.nn.Sequential(*layers)(seen), 1).flatten(1).numpy()
    np.testing.assert_allclose(encoder.encode(tiles), wanted, rtol=1e-3, atol=1e-4)
    assert (wanted < 0).any() == (name == "densenet121")
    encoder.save(tmp_path / "e.safetensors")
    again = load_encoder(tmp_path / "e.safetensors")
    assert isinstance(again, MtdpEncoder) and again.fingerprint == encoder.fingerprint
    assert np.array_equal(again.encode(tiles), encoder.encode(tiles))


@pytest.mark.usefixtures("timm")
def test_the_resolution_has_to_be_said(tmp_path: Path) -> None:
    torch.save(released("resnet50"), tmp_path / "best.pth")
    with pytest.raises(EncoderError, match="--mpp"):
        read_encoder(tmp_path / "best.pth", Said())
    with pytest.raises(EncoderError, match="convolutional trunk"):
        read_encoder(tmp_path / "best.pth", Said(mpp=0.5, pooling="cls"))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"features.layer3.2.conv2.weight": None},
            "1 weights of the model are not in the file.*layer3.2.conv2",
        ),
        ({"features.layer9.0.conv1.weight": torch.zeros(1)}, "1 weights of the file are not.*layer9.0.conv1"),
        ({"features.layer1.0.conv1.weight": torch.zeros(8, 64, 1, 1)}, r"layer1.0.conv1.weight is \(8, 64"),
        ({"features.bn1.running_var": torch.full((64,), torch.nan)}, "bn1.running_var holds NaN"),
        ({"features.conv1.weight": None, "features.stem.weight": torch.zeros(1)}, "neither features.conv1"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    change: dict[str, Tensor | None], words: str, tmp_path: Path
) -> None:
    state = {**released("resnet50"), **change}
    torch.save({name: value for name, value in state.items() if value is not None}, tmp_path / "best.pth")
    with pytest.raises(EncoderError, match=words):
        read_encoder(tmp_path / "best.pth", Said(mpp=0.5))


def test_plain_networks_are_not_taken_for_theirs() -> None:
    one = torch.zeros(1)
    assert is_multitask_trunk({"features.conv1.weight": one})
    assert is_multitask_trunk({"features.features.conv0.weight": one})
    assert not is_multitask_trunk({"features.conv0.weight": one})
    assert not is_multitask_trunk({"features.conv0.weight": one, "classifier.weight": one})
    assert not is_multitask_trunk({"heads.lung.fc.weight": one})
    with pytest.raises(EncoderError, match="no such trunk"):
        MtdpNetwork("resnet18")
