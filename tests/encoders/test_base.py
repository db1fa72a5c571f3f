"""Loading encoders by name and from files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from fixtures.damage import ABSENT, with_value
from histonic.core.errors import EncoderError, SettingsError
from histonic.encoders.base import EncoderMetadata, EncoderSpec, check_tiles, load_encoder, save_encoder
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


SPEC = EncoderSpec("x", "nic", 64, 0.5, 8)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("format", "histonic-encoder-0", "older than"),
        ("format", "histonic-encoder-2", "newer than"),
        ("format", "histonic-map-1", "no file of the format"),
        ("format", ABSENT, "its format is None"),
        ("spec", [], r"spec is \[\]"),
        ("spec.tile_px", ABSENT, r"spec\.tile_px is absent"),
        ("spec.tile_px", 64.5, r"spec\.tile_px is 64\.5"),
        ("spec.mpp", "0.5", r"spec\.mpp is '0.5'"),
        ("spec.code_size", 0, r"spec\.code_size is 0"),
        ("spec.colour", "red", r"spec\.colour is 'red'"),
    ],
)
def test_damaged_metadata_are_refused_by_their_field(
    place: str, value: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "e.safetensors"
    facts = with_value(EncoderMetadata(spec=SPEC).to_dict(), place, value)
    save_file({"a": np.zeros(3)}, path, {"histonic": json.dumps(facts)})
    with pytest.raises(EncoderError, match=words) as error:
        load_encoder(path)
    assert str(path) in error.value.asked


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_metadata_that_are_no_document_are_refused(text: str, tmp_path: Path) -> None:
    save_file({"a": np.zeros(3)}, tmp_path / "e.safetensors", {"histonic": text})
    with pytest.raises(EncoderError, match=r"e\.safetensors"):
        load_encoder(tmp_path / "e.safetensors")


@pytest.mark.parametrize("left", [0, 4, 100, 2000])
def test_a_truncated_file_is_refused(left: int, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    NicEncoder(SPEC, NicNetwork(8, 64)).save(path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(EncoderError, match="cannot be read"):
        load_encoder(path)


@pytest.mark.parametrize("mpp", [1, 1.0, 0.25])
def test_a_resolution_keeps_its_type_and_so_the_fingerprint(mpp: float, tmp_path: Path) -> None:
    encoder = NicEncoder(dataclasses.replace(SPEC, mpp=mpp), NicNetwork(8, 64))
    encoder.save(tmp_path / "e.safetensors")
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.fingerprint == encoder.fingerprint and type(again.spec.mpp) is type(mpp)


def test_the_shipped_encoder_is_the_one_that_was_measured() -> None:
    assert load_encoder("histonic-mtl").fingerprint.startswith("324916183fa6da50")
    assert load_encoder("histonic-lite").fingerprint.startswith("732293a3f4ff0f6d")


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


@pytest.mark.parametrize("at", [-1, -400, -5000])
def test_any_change_of_the_weights_is_noticed(at: int, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    load_encoder("histonic-mtl").save(path)
    load_encoder(path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(EncoderError, match="have changed since it was written"):
        load_encoder(path)


def test_a_change_of_the_spec_is_noticed_where_codes_depend_on_it(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    facts = EncoderMetadata(spec=load_encoder("colour").spec).to_dict()
    save_encoder(path, load_encoder("colour").spec, {})
    written = safe_open(path, "numpy").metadata()["histonic"]
    for place, value in (("spec.mpp", 0.25), ("spec.tile_px", 64), ("fingerprint", "0")):
        save_file({}, path, {"histonic": json.dumps(with_value(json.loads(written), place, value))})
        with pytest.raises(EncoderError, match="have changed since it was written"):
            load_encoder(path)
    save_file({}, path, {"histonic": json.dumps({**facts, "fingerprint": ""})})
    assert load_encoder(path).spec.name == "colour"  # as earlier versions wrote it
    save_file({}, path, {"histonic": json.dumps(with_value(facts, "spec.code_size", 17))})
    with pytest.raises(EncoderError, match="Its code size is 17"):
        load_encoder(path)
