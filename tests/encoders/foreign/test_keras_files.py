"""Keras files by their layers: the NIC paper's encoders in the forms in which such models are saved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from histonic.core.errors import EncoderError
from histonic.encoders.base import load_encoder
from histonic.encoders.foreign.keras_files import chain_of
from histonic.encoders.foreign.released import import_released
from histonic.encoders.foreign.stated import Said

Array = npt.NDArray[np.float64]
Layers = list[dict[str, Any]]


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "name": name, "config": {"name": name, **config}}


def encoder_layers(filters: Sequence[int], dense: int, code: int, side: int, prefix: str = "") -> Layers:
    """Strided convolutions, BN, leaky ReLU, a dense layer and the code, as in the appendix of the paper."""
    made = [layer("InputLayer", f"{prefix}input", batch_input_shape=[None, side, side, 3])]
    for number, count in enumerate(filters):
        made += [
            layer("Conv2D", f"{prefix}conv{number}", filters=count, kernel_size=[3, 3], strides=[2, 2],
                  padding="same", activation="linear", use_bias=True),
            layer("BatchNormalization", f"{prefix}bn{number}", axis=[3], epsilon=1e-3),
            layer("LeakyReLU", f"{prefix}act{number}", alpha=0.30000001192092896),
        ]  # fmt: skip
    return [
        *made,
        layer("Flatten", f"{prefix}flat"),
        layer("Dense", f"{prefix}dense", units=dense, activation="linear"),
        layer("BatchNormalization", f"{prefix}bnd", axis=[1], epsilon=1e-3),
        layer("LeakyReLU", f"{prefix}actd", alpha=0.30000001192092896),
        layer("Dropout", f"{prefix}drop", rate=0.5),
        layer("Dense", f"{prefix}code", units=code, activation="linear"),
    ]


def weights_of(layers: Layers, side: int, rng: np.random.Generator) -> dict[str, dict[str, Array]]:
    shape, found = [side, side, 3], {}
    for each in layers:
        kind, config = each["class_name"], each["config"]
        if kind == "Conv2D":
            kernel = rng.normal(0, 0.3, (3, 3, shape[2], config["filters"]))
            found[config["name"]] = {"kernel": kernel, "bias": rng.normal(0, 0.1, config["filters"])}
            shape = [-(-shape[0] // 2), -(-shape[1] // 2), config["filters"]]
        elif kind == "Dense":
            kernel = rng.normal(0, 0.1, (shape[0], config["units"]))
            found[config["name"]] = {"kernel": kernel, "bias": rng.normal(0, 0.1, config["units"])}
            shape = [config["units"]]
        elif kind == "BatchNormalization":
            found[config["name"]] = {
                "gamma": rng.uniform(0.5, 2, shape[-1]),
                "beta": rng.normal(0, 0.3, shape[-1]),
                "moving_mean": rng.normal(0, 0.3, shape[-1]),
                "moving_variance": rng.uniform(0.5, 2, shape[-1]),
            }
        elif kind == "Flatten":
            shape = [int(np.prod(shape))]
    return found


def connected(layers: Layers, new: bool = False) -> Layers:
    """The same in a row, by the connections of a functional model."""
    before, made = None, []
    for each in layers:
        nodes: list[Any] = []
        if before and new:
            keras_tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
            nodes = [{"args": [keras_tensor], "kwargs": {}}]
        elif before:
            nodes = [[[before, 0, 0, {}]]]
        made.append({**each, "inbound_nodes": nodes})
        before = each["name"]
    return made


def functional(layers: Layers, outputs: Sequence[str]) -> dict[str, Any]:
    return {"name": "model", "layers": layers, "output_layers": [[name, 0, 0] for name in outputs]}


def write(path: Path, config: Any, weights: dict[str, dict[str, Array]], inner: str = "") -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config})
        for name, own in weights.items():
            group = file.create_group(f"model_weights/{inner or name}/{name}")
            for key, value in own.items():
                group.create_dataset(f"{key}:0", data=value.astype(np.float32))
    return path


def numpy_codes(layers: Layers, weights: dict[str, dict[str, Array]], tiles: npt.NDArray[np.uint8]) -> Array:
    """Layer by layer, channels last; "same" puts what is odd of the padding below and to the right."""
    maps = tiles.astype(np.float64) / 127.5 - 1
    for each in layers:
        kind, own = each["class_name"], weights.get(each["name"], {})
        if kind == "Conv2D":
            side = maps.shape[1]
            out = -(-side // 2)
            total = max((out - 1) * 2 + 3 - side, 0)
            pads = (total // 2, total - total // 2)
            padded = np.pad(maps, ((0, 0), pads, pads, (0, 0)))
            made = np.zeros((len(maps), out, out, own["kernel"].shape[3])) + own["bias"]
            for row in range(out):
                for col in range(out):
                    window = padded[:, 2 * row : 2 * row + 3, 2 * col : 2 * col + 3]
                    made[:, row, col] += np.einsum("nrci,rcio->no", window, own["kernel"])
            maps = made
        elif kind == "BatchNormalization":
            scale = own["gamma"] / np.sqrt(own["moving_variance"] + 1e-3)
            maps = (maps - own["moving_mean"]) * scale + own["beta"]
        elif kind == "LeakyReLU":
            maps = np.where(maps > 0, maps, 0.3 * maps)
        elif kind == "Flatten":
            maps = maps.reshape(len(maps), -1)
        elif kind == "Dense":
            maps = maps @ own["kernel"] + own["bias"]
    return maps


def head(prefix: str, outputs: int, activation: str) -> Layers:
    return [
        layer("Dense", f"{prefix}256", units=256, activation="linear"),
        layer("BatchNormalization", f"{prefix}bn", axis=[1], epsilon=1e-3),
        layer("LeakyReLU", f"{prefix}act", alpha=0.30000001192092896),
        layer("Dense", f"{prefix}out", units=outputs, activation=activation),
    ]


SMALL = ((4, 6), 10, 5, 12)
"""Filters, dense layer, code and side: small, and 12 px is padded unlike 128."""


def vae_whole(chain: Layers) -> dict[str, Any]:
    """Encoder with mean, spread and sample, and the decoder behind it."""
    body, code = connected(chain)[:-1], chain[-1]["name"]
    nodes = [[[body[-1]["name"], 0, 0, {}]]]
    mean = layer("Dense", "z_mean", units=5, activation="linear")
    spread = layer("Dense", "z_log_var", units=5, activation="linear")
    sample = {**layer("Lambda", "z"), "inbound_nodes": [[["z_mean", 0, 0, {}], ["z_log_var", 0, 0, {}]]]}
    assert code == "code"
    inner = functional(
        [*body, {**mean, "inbound_nodes": nodes}, {**spread, "inbound_nodes": nodes}, sample], ["z"]
    )
    image = {**layer("InputLayer", "image", batch_input_shape=[None, 12, 12, 3]), "inbound_nodes": []}
    vector = layer("InputLayer", "zin", batch_input_shape=[None, 5])
    decoder = functional(connected([vector, layer("Dense", "back", units=3, activation="linear")]), ["back"])
    return functional(
        [
            image,
            {"class_name": "Model", "name": "encoder", "config": inner,
             "inbound_nodes": [[["image", 0, 0, {}]]]},
            {"class_name": "Model", "name": "decoder", "config": decoder,
             "inbound_nodes": [[["encoder", 1, 0, {}]]]},
        ],
        ["decoder"],
    )  # fmt: skip


def siamese(chain: Layers) -> dict[str, Any]:
    images = [
        {**layer("InputLayer", name, batch_input_shape=[None, 12, 12, 3]), "inbound_nodes": []}
        for name in ("left", "right")
    ]
    shared = {
        "class_name": "Functional", "name": "shared", "config": functional(connected(chain), ["code"]),
        "inbound_nodes": [[["left", 0, 0, {}]], [["right", 0, 0, {}]]],
    }  # fmt: skip
    joined = {
        **layer("Concatenate", "pair"),
        "inbound_nodes": [[["shared", 1, 0, {}], ["shared", 2, 0, {}]]],
    }
    tail, before = [], "pair"
    for each in head("h", 1, "sigmoid"):
        tail.append({**each, "inbound_nodes": [[[before, 0, 0, {}]]]})
        before = each["name"]
    return functional([*images, shared, joined, *tail], ["hout"])


@pytest.mark.parametrize("form", ["sequential", "functional", "keras3", "supervised", "siamese", "vae"])
def test_every_form_gives_the_codes_of_its_encoder(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    chain = encoder_layers(*SMALL)
    weights, inner, config = weights_of(chain, SMALL[3], rng), "", {}
    if form == "sequential":
        config = {"layers": chain}
    elif form in ("functional", "keras3"):
        config = functional(connected(chain, new=form == "keras3"), ["code"])
    elif form == "supervised":
        whole = [*chain, *head("h", 9, "softmax")]
        config, weights = functional(connected(whole), ["hout"]), weights_of(whole, SMALL[3], rng)
    elif form == "siamese":
        config, inner = siamese(chain), "shared"
    else:
        config, inner = vae_whole(chain), "encoder"
        weights["z_mean"] = weights.pop("code")
        weights["z_log_var"] = {key: value * 2 for key, value in weights["z_mean"].items()}
        chain = [*chain[:-1], {**chain[-1], "name": "z_mean"}]
    path = write(tmp_path / "encoder_x.h5", config, weights, inner)
    encoder = import_released(path, tmp_path / "x.safetensors", Said(mpp=0.5, licence="MIT"))
    tiles = rng.integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    wanted = numpy_codes(chain, weights, tiles)
    assert encoder.spec.code_size == 5 and encoder.spec.licence == "MIT" and encoder.spec.name == "x"
    assert np.abs(encoder.encode(tiles) - wanted).max() < 1e-4 < np.ptp(wanted)
    again = load_encoder(tmp_path / "x.safetensors")
    assert again.fingerprint == encoder.fingerprint
    assert np.array_equal(again.encode(tiles), encoder.encode(tiles))


def test_the_encoder_of_the_paper_has_its_own_resolution(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    chain = encoder_layers((32, 64, 128, 256, 512), 512, 128, 128)
    path = write(tmp_path / "encoder_vae.h5", {"layers": chain}, weights_of(chain, 128, rng))
    encoder = import_released(path, tmp_path / "x.safetensors")
    assert (encoder.spec.tile_px, encoder.spec.mpp, encoder.spec.code_size) == (128, 0.5, 128)
    assert encoder.spec.licence == "not stated" and encoder.spec.name == "vae"
    assert sum(each.size for each in encoder.tensors.values()) > 5_700_000
    assert encoder.encode(np.zeros((1, 128, 128, 3), np.uint8)).shape == (1, 128)


def test_larger_tiles_are_averaged_to_what_the_network_takes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    chain = encoder_layers(*SMALL)
    weights = weights_of(chain, 12, rng)
    path = write(tmp_path / "e.h5", {"layers": chain}, weights)
    encoder = import_released(path, tmp_path / "x.safetensors", Said(mpp=0.5, tile_px=24))
    small = rng.integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    assert np.allclose(
        encoder.encode(small.repeat(2, 1).repeat(2, 2)), numpy_codes(chain, weights, small), atol=1e-4
    )
    with pytest.raises(EncoderError, match="a multiple of 12"):
        import_released(path, tmp_path / "y.safetensors", Said(mpp=0.5, tile_px=30))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda chain: chain.__setitem__(-1, {**chain[-1], "class_name": "LSTM"}), "none of its"),
        (lambda chain: chain[1]["config"].update(padding="causal"), "padding 'causal'"),
        (lambda chain: chain[1]["config"].update(activation="gelu"), "activation 'gelu'"),
        (lambda chain: chain[1]["config"].update(dilation_rate=[2, 2]), "dilated"),
        (lambda chain: chain.insert(3, layer("ReLU", "six", max_value=6.0)), "'six' is a ReLU with"),
        (lambda chain: chain[1]["config"].update(data_format="channels_first"), "channels first"),
        (lambda chain: chain.insert(3, layer("MaxPooling2D", "pool")), "'pool' is a MaxPooling2D"),
        (lambda chain: chain[0]["config"].update(batch_input_shape=[None, 12, 12, 1]), "not square colour"),
        (lambda chain: chain[0]["config"].update(batch_input_shape=[None, None, None, 3]), "not square"),
        (lambda chain: chain[-1]["config"].update(activation="softmax"), "none of its dense layers"),
        (lambda chain: chain[2].__setitem__("config", {**chain[2]["config"], "name": "gone"}), "KeyError"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_refused_by_name(change: Any, words: str, tmp_path: Path) -> None:
    chain = encoder_layers(*SMALL)
    weights = weights_of(chain, 12, np.random.default_rng(4))
    change(chain)
    path = write(tmp_path / "e.h5", {"layers": chain}, weights)
    with pytest.raises(EncoderError, match=words):
        import_released(path, tmp_path / "x.safetensors", Said(mpp=0.5))
    assert not (tmp_path / "x.safetensors").exists()


def test_nothing_is_guessed(tmp_path: Path) -> None:
    chain = encoder_layers(*SMALL)
    path = write(tmp_path / "e.h5", {"layers": chain}, weights_of(chain, 12, np.random.default_rng(5)))
    with pytest.raises(EncoderError, match="at which resolution"):
        import_released(path, tmp_path / "x.safetensors")
    with pytest.raises(EncoderError, match="pooling was given"):
        import_released(path, tmp_path / "x.safetensors", Said(mpp=0.5, pooling="cls"))
    two = [*connected(chain), {**layer("Dense", "other", units=3), "inbound_nodes": [[["actd", 0, 0, {}]]]}]
    with pytest.raises(ValueError, match="outputs code, other, and which is the code is not known"):
        chain_of(functional(two, ["code", "other"]))
