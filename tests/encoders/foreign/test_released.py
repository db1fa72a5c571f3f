"""The imported encoders compute what the Keras files say, checked by a forward pass in plain NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from histonic.core.errors import EncoderError
from histonic.encoders.base import load_encoder
from histonic.encoders.foreign.released import import_released
from histonic.encoders.foreign.stated import Said

Array = npt.NDArray[np.float64]


def numpy_forward(path: Path, tiles: npt.NDArray[np.uint8]) -> Array:
    """Average to 64 px, then layer by layer in the order of the Keras configuration, channels last."""
    maps = tiles.astype(np.float64) / 127.5 - 1
    count, height, width, _ = maps.shape
    maps = maps.reshape(count, height // 2, 2, width // 2, 2, 3).mean((2, 4))
    with h5py.File(path) as file:
        weights: dict[str, Array] = {}
        file["model_weights"].visititems(
            lambda name, item: (
                weights.__setitem__("/".join(name.split("/")[-2:]), np.asarray(item, np.float64))
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
        config = json.loads(file.attrs["model_config"])["config"]["layers"]
    for layer in _flat(config):
        name = layer["config"]["name"] if isinstance(layer["config"], dict) else ""
        if layer["class_name"] == "Conv2D":
            maps = _convolve(maps, weights[f"{name}/kernel:0"]) + weights[f"{name}/bias:0"]
        elif layer["class_name"] == "LeakyReLU":
            maps = np.where(maps > 0, maps, 0.2 * maps)
        elif layer["class_name"] == "BatchNormalization":
            centred = maps - weights[f"{name}/moving_mean:0"]
            scale = weights[f"{name}/gamma:0"] / np.sqrt(weights[f"{name}/moving_variance:0"] + 1e-3)
            maps = centred * scale + weights[f"{name}/beta:0"]
        elif layer["class_name"] == "Flatten":
            maps = maps.reshape(count, -1)
        elif layer["class_name"] == "Dense":
            maps = maps @ weights[f"{name}/kernel:0"] + weights[f"{name}/bias:0"]
    return maps


def _flat(layers: list) -> list:  # type: ignore[type-arg]
    flat: list = []  # type: ignore[type-arg]
    for layer in layers:
        inner = layer["config"] if isinstance(layer["config"], list) else layer["config"].get("layers")
        flat += _flat(inner) if inner else [layer]
    return flat


def _convolve(maps: Array, kernel: Array) -> Array:
    side = (maps.shape[1] - 3) // 2 + 1
    out = np.zeros((len(maps), side, side, kernel.shape[3]))
    for row in range(3):
        for col in range(3):
            window = maps[:, row : row + 2 * side - 1 : 2, col : col + 2 * side - 1 : 2]
            out += window @ kernel[row, col]
    return out


@pytest.fixture(scope="module")
def tiles() -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    flat = np.full((1, 128, 128, 3), 255, np.uint8)
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[:, None, None], (128, 128, 3))[None]
    return np.concatenate([noise, flat, ramp])


@pytest.mark.parametrize("stem", ["bigan", "multitask-4"])
def test_codes_agree_with_numpy(
    stem: str, data_dir: Path, tmp_path: Path, tiles: npt.NDArray[np.uint8]
) -> None:
    source = data_dir / "encoders" / f"encoder_{stem}.h5"
    encoder = import_released(source, tmp_path / "e.safetensors")
    codes = encoder.encode(tiles)
    assert codes.dtype == np.float32 and codes.shape == (5, 128)
    assert np.abs(codes - numpy_forward(source, tiles)).max() < 1e-4
    assert encoder.spec.mpp == 0.5 and encoder.spec.tile_px == 128 and "MIT" in encoder.spec.licence


def test_mean_rgb_is_the_mean(data_dir: Path, tmp_path: Path, tiles: npt.NDArray[np.uint8]) -> None:
    encoder = import_released(data_dir / "encoders" / "encoder_mean-rgb.h5", tmp_path / "m.safetensors")
    wanted = tiles.astype(np.float64).mean((1, 2)) / 127.5 - 1
    assert np.abs(encoder.encode(tiles) - wanted).max() < 1e-5


def test_a_released_file_says_all_of_itself(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="says all of itself"):
        import_released(data_dir / "encoders" / "encoder_bigan.h5", tmp_path / "e.safetensors", Said(mpp=1.0))
    assert not (tmp_path / "e.safetensors").exists()


def test_fingerprint_survives_save_and_load(data_dir: Path, tmp_path: Path) -> None:
    first = import_released(data_dir / "encoders" / "encoder_bigan.h5", tmp_path / "a.safetensors")
    first.save(tmp_path / "b.safetensors")
    again = load_encoder(tmp_path / "b.safetensors")
    assert again.fingerprint == first.fingerprint
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    other = import_released(data_dir / "encoders" / "encoder_multitask-4.h5", tmp_path / "c.safetensors")
    assert other.fingerprint != first.fingerprint


def test_bf16_stays_close(data_dir: Path, tmp_path: Path, tiles: npt.NDArray[np.uint8]) -> None:
    path = tmp_path / "a.safetensors"
    exact = import_released(data_dir / "encoders" / "encoder_multitask-4.h5", path)
    fast = load_encoder(path, precision="bf16")
    a, b = exact.encode(tiles), fast.encode(tiles)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.999
    assert fast.fingerprint != exact.fingerprint


def _write_keras(path: Path, slope: float, **change: Any) -> None:
    """A file with the released layers but another slope, and other values in each layer."""
    kinds = ["InputLayer", *["Conv2D", "LeakyReLU", "BatchNormalization"] * 4, "Flatten", "Dense"]
    layers = []
    for index, kind in enumerate(kinds):
        config = {
            "name": f"l{index}",
            "strides": [2, 2],
            "padding": "valid",
            "activation": "linear",
            "alpha": slope,
            "epsilon": 1e-3,
        }
        layers.append({"class_name": kind, "config": config, **change})
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": layers}})
        file.create_group("model_weights")


def _write_attribute(path: Path, value: Any) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = value


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"not hdf5"), "no released encoder"),
        (lambda path: h5py.File(path, "w").close(), "no released encoder"),
        (lambda path: _write_keras(path, 0.3), "nor another chain of layers"),
        (lambda path: _write_keras(path, 0.2), "no released encoder"),
        *(
            (lambda path, value=value: _write_keras(path, 0.2, config=value), "no released encoder")
            for value in (None, 3, "x", [3], {}, [{"config": 1}], {"layers": 3})
        ),
        (lambda path: _write_attribute(path, 3), "no released encoder"),
        (lambda path: _write_attribute(path, "[]"), "no released encoder"),
        (lambda path: _write_attribute(path, '{"config": {"layers": [null]}}'), "no released encoder"),
        (lambda path: _write_attribute(path, "[" * 100_000), "no released encoder"),
    ],
)
def test_other_files_are_refused(make, words: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "x.h5")
    with pytest.raises(EncoderError, match=words):
        import_released(tmp_path / "x.h5", tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_weights_larger_than_their_file_are_not_read(tmp_path: Path) -> None:
    """Nothing is stored of them; the header alone claims 40 GB."""
    _write_keras(tmp_path / "x.h5", 0.2)
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["model_weights"].create_dataset("l1/l1/kernel:0", shape=(100_000, 100_000), dtype="f4")
    with pytest.raises(EncoderError, match=r"kernel:0 is said to have 40,000,000,000 bytes"):
        import_released(tmp_path / "x.h5", tmp_path / "x.safetensors")


def test_output_must_be_safetensors(tmp_path: Path) -> None:
    _write_keras(tmp_path / "x.h5", 0.2)
    with pytest.raises(EncoderError, match=r"ends in \.safetensors"):
        import_released(tmp_path / "x.h5", tmp_path / "x.pt")
