"""The same network on the same tiles, said to be of another width."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from histonic.core.errors import SettingsError
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.scale import load_encoder_at


def random_file(folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / "e.safetensors"
    NicEncoder(EncoderSpec("random", "nic", 128, 0.5, 16), NicNetwork(16)).save(path)
    return path


def test_codes_are_the_same_and_the_fingerprint_is_not(tmp_path: Path) -> None:
    tiles = np.random.default_rng(0).integers(0, 255, (3, 128, 128, 3), np.uint8)
    for name in (random_file(tmp_path), "colour"):
        own, near = load_encoder(name), load_encoder_at(name, 16.0)
        assert (near.spec.tile_px, near.spec.mpp) == (128, 0.125)
        assert np.array_equal(own.encode(tiles), near.encode(tiles))
        assert near.fingerprint != own.fingerprint
        assert near.fingerprint == load_encoder_at(name, 16.0).fingerprint


def test_nothing_is_written_to_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = random_file(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    for name in (path, "colour", "pixels:4", "histonic-lite"):
        near = load_encoder_at(name, 16.0)
        tensors = load_encoder(name).tensors
        assert near.spec.mpp * near.spec.tile_px == 16.0 and near.tensors.keys() == tensors.keys()


def test_its_file_says_the_scale(tmp_path: Path) -> None:
    near = load_encoder_at(random_file(tmp_path), 32.0)
    near.save(tmp_path / "near.safetensors")
    again = load_encoder(tmp_path / "near.safetensors")
    assert again.spec.mpp == 0.25 and again.fingerprint == near.fingerprint
    own = load_encoder(tmp_path / "e.safetensors")
    assert load_encoder_at(tmp_path / "near.safetensors", 64.0).fingerprint == own.fingerprint


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="'colour'"):
        load_encoder_at("color", 16.0)
