"""Loading encoders by name and from files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from histonic.core.errors import EncoderError, SettingsError
from histonic.encoders.base import EncoderSpec, check_tiles, load_encoder, save_encoder
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.testing import EncoderContract


class TestColour(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        return load_encoder("colour")


class TestMeanRgb(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        return load_encoder("mean-rgb")


class TestNic(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        import torch

        torch.manual_seed(0)
        return NicEncoder(EncoderSpec("random", "nic", 128, 0.5, 16), NicNetwork(16))


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(SettingsError, match="'colour'"):
        load_encoder("color")


def test_a_keras_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="histonic encoder import"):
        load_encoder(tmp_path / "encoder_bigan.h5")


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no such file"):
        load_encoder(tmp_path / "e.safetensors")


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "e.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(EncoderError, match="cannot be read"):
        load_encoder(tmp_path / "e.safetensors")


def test_tensors_of_something_else(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3)}, tmp_path / "e.safetensors")
    with pytest.raises(EncoderError, match="no histonic encoder"):
        load_encoder(tmp_path / "e.safetensors")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    save_encoder(path, EncoderSpec("x", "nic", 128, 0.5, 16), {"code.weight": np.zeros((16, 3), np.float32)})
    with pytest.raises(EncoderError, match="do not fit"):
        load_encoder(path)
    save_encoder(path, EncoderSpec("x", "colour", 128, 0.5, 18), {"w": np.zeros(1, np.float32)})
    with pytest.raises(EncoderError, match="have none"):
        load_encoder(path)


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    network = NicNetwork(16)
    network.code.bias.data[3] = float("nan")
    path = tmp_path / "e.safetensors"
    NicEncoder(EncoderSpec("x", "nic", 128, 0.5, 16), network).save(path)
    with pytest.raises(EncoderError, match="NaN"):
        load_encoder(path)


def test_a_tile_size_that_cannot_be_averaged() -> None:
    with pytest.raises(EncoderError, match="multiple of 64"):
        NicNetwork(tile_px=100)


@pytest.mark.parametrize(
    "tiles",
    [
        np.zeros((2, 64, 64, 3), np.uint8),
        np.zeros((2, 128, 128, 3), np.float32),
        np.zeros((128, 128, 3), np.uint8),
    ],
)
def test_other_tiles_are_refused(tiles) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EncoderError, match=r"uint8 \(N, 128, 128, 3\)"):
        check_tiles(EncoderSpec("x", "nic", 128, 0.5, 16), tiles)
