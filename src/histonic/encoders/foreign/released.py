"""Keras files: exact import of the encoders that the NIC authors released (MIT), others by their layers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.core.processes.allocation import allocating_at_most
from histonic.encoders.base import (
    ENCODERS,
    Encoder,
    EncoderSpec,
    architecture_entry,
    fingerprint_of,
    load_encoder,
    save_encoder,
)
from histonic.encoders.foreign.keras_files import chain_of, is_of_paper, read_layers, side_of
from histonic.encoders.foreign.stated import NOT_STATED, Said
from histonic.encoders.networks.keras import LAYERS, SIDE
from histonic.encoders.networks.nic import CONVOLUTIONS
from histonic.slides.damage import SMALL_BYTES

RELEASED_KINDS = [
    "InputLayer",
    *["Conv2D", "LeakyReLU", "BatchNormalization"] * CONVOLUTIONS,
    "Flatten",
    "Dense",
]
HALF_GREY = (0.5, 0.5, 0.5)
"""Bytes of 0..1 less this and by this are those of -1..1."""
LICENCE = "MIT (Copyright of the authors of Neural Image Compression)"
HALF_COSINES = {
    "06560be244053ce43cd128544409eba76a0274f862018249bc3cc613cd5464dc": 0.9997,  # bigan
    "50fd2ee452f10bfdd7f6e007bd12fb1c621755df19e8d520abfe29cea6883cd2": 0.9999,  # multitask-4
}
"""Least cosine between codes in bfloat16 and in float32 on 1,717 real tiles, by the weights' fingerprint."""
Array = npt.NDArray[Any]
DAMAGE = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    MemoryError,
)
"""What h5py and the walk through its content raise where a file is damaged or another model."""


def import_released(
    file: str | os.PathLike[str], out: str | os.PathLike[str], said: Said | None = None
) -> Encoder:
    """Convert a Keras ``.h5`` encoder to a safetensors file, and load it.

    Args:
        file: ``encoder_bigan.h5``, ``encoder_multitask-4.h5`` or ``encoder_mean-rgb.h5``, which say all of
            themselves; or a file with a chain of convolutions and dense layers, such as the NIC paper's
            encoders by a variational auto-encoder, by pairs, or of a classifier, alone or in the whole model.
        out: The ``.safetensors`` file to write.
        said: Of a file that was not released: resolution (only the paper's encoders have a known one),
            licence and name.

    Raises:
        EncoderError: The file is absent or damaged, or holds no such chain; its resolution is not known; or
            something was said of a released encoder, which says all of itself.
        OutputError: ``out`` cannot be written.
    """
    path = Path(file)
    asked = f"Import the encoder {path}."
    if not path.is_file():
        raise EncoderError(asked, "There is no such file.", "Check the path.")
    if Path(out).suffix != ".safetensors":
        raise EncoderError(
            asked, f"The output {out} has another ending.", "Give --out a name that ends in .safetensors."
        )
    try:
        # HDF5 allocates what a damaged length claims before it looks for the data.
        with allocating_at_most(SMALL_BYTES * 8 + 20 * path.stat().st_size), h5py.File(path, "r") as keras:
            spec, tensors = _read_keras(keras, path.stem.removeprefix("encoder_"), said or Said(), asked)
    except DAMAGE as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise EncoderError(
            asked,
            f"It is no released encoder, nor another chain of layers: {found}.",
            "Give a Keras .h5 file of convolutions and dense layers that ends in a linear dense layer.",
        ) from error
    # Refused here if the weights do not fit, before anything is written.
    ENCODERS.get(architecture_entry(spec)).from_tensors(spec, tensors, "cpu", "32")
    spec = replace(spec, half_cosine=HALF_COSINES.get(fingerprint_of(spec, tensors)))
    save_encoder(out, spec, tensors)
    return load_encoder(out)


def _read_keras(keras: h5py.File, stem: str, said: Said, asked: str) -> tuple[EncoderSpec, dict[str, Array]]:
    model = json.loads(keras.attrs["model_config"])["config"]
    layers = _flatten_layers(model if isinstance(model, list) else model["layers"])
    kinds = [layer["class_name"] for layer in layers]
    released = ["InputLayer", "GlobalAveragePooling2D"], RELEASED_KINDS
    if kinds not in released or (kinds == RELEASED_KINDS and not _is_released(layers)):
        return _read_chain(chain_of(model), _weights_by_layer(keras), stem, said, asked)
    if said != Said():
        raise EncoderError(
            asked,
            "A released Keras encoder says all of itself, and something else was said of it.",
            "Give the file and --out alone.",
        )
    provenance = f"released by the NIC authors as encoder_{stem}.h5"
    if kinds == ["InputLayer", "GlobalAveragePooling2D"]:
        return EncoderSpec(
            f"released-{stem}", "mean-rgb", 128, 0.5, 3, licence=LICENCE, provenance=provenance
        ), {}
    spec = EncoderSpec(f"released-{stem}", "nic", 128, 0.5, 128, licence=LICENCE, provenance=provenance)
    return spec, _nic_tensors(_weights_by_layer(keras), layers)


def _flatten_layers(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keras nests a Sequential as one layer; its configuration is a list of layers."""
    flat: list[dict[str, Any]] = []
    for layer in layers:
        config = layer["config"]
        inner = config if isinstance(config, list) else config.get("layers")
        flat += _flatten_layers(inner) if inner is not None else [layer]
    return flat


def _is_released(layers: list[dict[str, Any]]) -> bool:
    """Whether convolutions, slopes and normalisations are those of the released files."""
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        found = (config.get("strides"), config.get("padding"), config.get("activation"))
        if kind == "Conv2D" and found != ([2, 2], "valid", "linear"):
            return False
        if kind == "LeakyReLU" and abs(config["alpha"] - 0.2) > 1e-6:
            return False
        if kind == "BatchNormalization" and abs(config["epsilon"] - 1e-3) > 1e-9:
            return False
    return True


def _read_chain(
    chain: Sequence[Mapping[str, Any]],
    weights: dict[str, dict[str, Array]],
    stem: str,
    said: Said,
    asked: str,
) -> tuple[EncoderSpec, dict[str, Array]]:
    """Any other chain of layers, by what it is; nothing about its tiles is guessed."""
    layers, tensors = read_layers(chain, weights)
    side = side_of(chain)
    given = {"architecture": said.architecture, "colours": said.colours, "pooling": said.pooling}
    if wrong := [key for key, value in given.items() if value is not None]:
        raise EncoderError(
            asked,
            f"{wrong[0]} was given; a Keras file holds its own layers, and takes bytes scaled to -1..1.",
            f"Leave out --{wrong[0]}.",
        )
    mpp = said.mpp or (0.5 if is_of_paper(layers) and side == 128 else None)
    if mpp is None:
        raise EncoderError(
            asked,
            f"It takes tiles of {side} px and is none of the NIC paper's encoders; nothing says at which "
            "resolution.",
            "Say it: --mpp MICRONS_PER_PIXEL.",
        )
    tile_px = said.tile_px or side
    if tile_px % side:
        raise EncoderError(
            asked, f"--tile-px is {tile_px}, and the network takes {side} px.", f"Give a multiple of {side}."
        )
    described = TrunkDescription({LAYERS: layers, SIDE: side}, "model", HALF_GREY, HALF_GREY)
    return EncoderSpec(
        said.name or stem,
        "keras",
        tile_px,
        mpp,
        int(layers[-1]["units"]),
        licence=said.licence or NOT_STATED,
        provenance=f"Keras file of {len(layers)} layers",
        trunk=described,
    ), tensors


def _weights_by_layer(keras: h5py.File) -> dict[str, dict[str, Array]]:
    weights: dict[str, dict[str, Array]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            *_, layer, weight = name.split("/")
            # A damaged header may claim any size; weights hardly become smaller by compression.
            if item.nbytes > SMALL_BYTES + 100 * item.id.get_storage_size():
                raise ValueError(f"{name} is said to have {item.nbytes:,} bytes, more than the file holds")
            weights.setdefault(layer, {})[weight.removesuffix(":0")] = np.asarray(item, np.float32)

    keras["model_weights"].visititems(visit)
    return weights


def _nic_tensors(weights: dict[str, dict[str, Array]], layers: list[dict[str, Any]]) -> dict[str, Array]:
    """Keras order (row, column, in, out) to PyTorch order (out, in, row, column)."""
    names = {
        kind: [layer["config"]["name"] for layer in layers if layer["class_name"] == kind]
        for kind in ("Conv2D", "BatchNormalization", "Dense")
    }
    tensors: dict[str, Array] = {}
    for index, (conv, norm) in enumerate(zip(names["Conv2D"], names["BatchNormalization"], strict=True)):
        at = 1 + 3 * index
        tensors[f"body.{at}.weight"] = weights[conv]["kernel"].transpose(3, 2, 0, 1)
        tensors[f"body.{at}.bias"] = weights[conv]["bias"]
        tensors[f"body.{at + 2}.weight"] = weights[norm]["gamma"]
        tensors[f"body.{at + 2}.bias"] = weights[norm]["beta"]
        tensors[f"body.{at + 2}.running_mean"] = weights[norm]["moving_mean"]
        tensors[f"body.{at + 2}.running_var"] = weights[norm]["moving_variance"]
        tensors[f"body.{at + 2}.num_batches_tracked"] = np.array(0, np.int64)
    dense = weights[names["Dense"][0]]
    tensors["code.weight"] = dense["kernel"].T
    tensors["code.bias"] = dense["bias"]
    return tensors
