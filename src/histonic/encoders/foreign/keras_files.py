"""What a Keras model file holds: the chain of layers from a tile to its code, and their weights.

The authors of Neural Image Compression describe encoders of several methods (Tellez et al., TPAMI 2019): of a
variational auto-encoder, of pairs told apart, and of classifiers. Each is a chain of convolutions and dense
layers, alone in the file or within the whole model that it was trained in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.encoders.networks.keras import ACTIVATIONS

Array = npt.NDArray[Any]
Config = Mapping[str, Any]
Weights = Mapping[str, Mapping[str, Array]]
NOTHING_AT_REST = (
    "Dropout",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "ActivityRegularization",
)
"""Layers that do nothing once a network is trained."""
CODE_NAME = re.compile(r"(^|[^a-z])(mu|mean)([^a-z]|$)")
PAPER_FILTERS, PAPER_FEATURES = [32, 64, 128, 256, 512], 512


def chain_of(model: Config) -> list[Config]:
    """Layers from the image to the code, the input first, as their configurations.

    Args:
        model: The ``config`` of a model, or a list of layers.

    Raises:
        ValueError: There is no single chain.
    """
    return _up_to_code(_chain(model))


def _layers(model: Any) -> list[Config]:
    found: list[Config] = model if isinstance(model, list) else model["layers"]
    return found


def _chain(model: Any) -> list[Config]:
    layers = _layers(model)
    # The encoder as a model of its own, beside a decoder, a twin or a classifier.
    inner = [chain for layer in layers if (chain := _inner_encoder(layer)) is not None]
    if len(inner) == 1:
        return inner[0]
    if not any(layer.get("inbound_nodes") for layer in layers):
        return [each for layer in layers for each in _opened(layer)]
    named = {str(layer.get("name", layer["config"].get("name"))): layer for layer in layers}
    return _followed(named, _last(model, named))


def _opened(layer: Config) -> list[Config]:
    """A layer, or the chain of the model that stands in its place."""
    config = layer["config"]
    return _chain(config) if isinstance(config, list) or "layers" in config else [layer]


def _inner_encoder(layer: Config) -> list[Config] | None:
    """The chain of a model within a model, if it leads from images to a code."""
    config = layer["config"]
    if not isinstance(config, list) and "layers" not in config:
        return None
    try:
        chain = _up_to_code(_chain(config))
    except ValueError:
        return None
    shape = _shape_of(chain[0])
    return chain if shape is not None and len(shape) == 4 else None


def _last(model: Config, named: Mapping[str, Config]) -> str:
    """The layer whose output is the code."""
    outputs = model["output_layers"]
    # Newer files leave out the outer list where there is one output.
    outputs = [outputs] if outputs and isinstance(outputs[0], str) else outputs
    return _one([str(each[0]) for each in outputs if str(each[0]) in named], "outputs")


def _one(names: Sequence[str], what: str) -> str:
    """The only name, or the only one that says mean."""
    unique = list(dict.fromkeys(names))
    means = [name for name in unique if CODE_NAME.search(name.lower())]
    if len(unique) != 1 and len(means) != 1:
        raise ValueError(f"it has the {what} {', '.join(unique)}, and which is the code is not known")
    return unique[0] if len(unique) == 1 else means[0]


def _followed(named: Mapping[str, Config], name: str) -> list[Config]:
    """From the input to a layer, by what each is connected to."""
    chain: list[Config] = []
    while True:
        layer = named[name]
        parents = list(dict.fromkeys(each for each in _names_in(layer["inbound_nodes"]) if each in named))
        if len(parents) > 1:
            # A sample around a mean: the code is the mean.
            chain, name = [], _one(parents, f"branches into {name!r}")
            continue
        chain = [*_opened(layer), *chain]
        if not parents:
            return chain
        name = parents[0]


def _names_in(nodes: Any) -> Iterator[str]:
    """Names of the layers that a layer is connected to, in the forms of old and new files."""
    if isinstance(nodes, Mapping):
        if "keras_history" in nodes:
            yield str(nodes["keras_history"][0])
            return
        for value in nodes.values():
            yield from _names_in(value)
    elif isinstance(nodes, list):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
            yield nodes[0]
            return
        for value in nodes:
            yield from _names_in(value)


def _up_to_code(chain: list[Config]) -> list[Config]:
    """Without what stands behind the code: a linear dense layer at the end, or before another dense one."""
    kept = [layer for layer in chain if layer["class_name"] not in NOTHING_AT_REST]
    for place in range(len(kept) - 1, -1, -1):
        layer = kept[place]
        if layer["class_name"] != "Dense" or layer["config"].get("activation", "linear") != "linear":
            continue
        if place + 1 == len(kept) or kept[place + 1]["class_name"] == "Dense":
            return kept[: place + 1]
    raise ValueError("none of its dense layers gives a code: a linear one at the end, or before a classifier")


def _shape_of(layer: Config) -> list[Any] | None:
    config = layer["config"]
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    return list(shape) if shape is not None else None


def side_of(chain: Sequence[Config]) -> int:
    """Side of the square colour tiles that a chain takes.

    Raises:
        ValueError: It takes something else.
    """
    shape = next((found for layer in chain[:2] if (found := _shape_of(layer)) is not None), None)
    if shape is None or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2] or not shape[1]:
        raise ValueError(f"its input is {shape}, not square colour tiles of a fixed side")
    return int(shape[1])


def is_of_paper(layers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether this is the larger encoder of the NIC paper, whose tiles are 128 px at 0.5 µm/px."""
    filters = [layer["filters"] for layer in layers if layer["kind"] == "conv"]
    dense = [layer["units"] for layer in layers if layer["kind"] == "dense"]
    return filters == PAPER_FILTERS and len(dense) == 2 and dense[0] == PAPER_FEATURES


def read_layers(chain: Sequence[Config], weights: Weights) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """What each layer is, and its weights in PyTorch's order.

    Args:
        chain: From :func:`chain_of`.
        weights: Layer -> weight -> values.

    Returns:
        For :class:`~histonic.encoders.networks.keras.KerasNetwork`: layers and tensors.

    Raises:
        ValueError: A layer is of a kind that is not known, or used in an unknown way.
        KeyError: A layer has no weights.
    """
    layers: list[dict[str, Any]] = []
    tensors: dict[str, Array] = {}
    maps = True
    for layer in chain:
        kind, config = layer["class_name"], layer["config"]
        if kind == "InputLayer":
            continue
        own = weights.get(config.get("name", ""), {})
        for described, found in _described(kind, config, own, maps):
            tensors |= {f"layers.{len(layers)}.{name}": value for name, value in found.items()}
            layers.append(described)
        maps = maps and kind not in ("Flatten", "GlobalAveragePooling2D")
    return layers, tensors


Described = tuple[dict[str, Any], dict[str, Array]]


def _described(kind: str, config: Config, own: Mapping[str, Array], maps: bool) -> list[Described]:
    if config.get("data_format", "channels_last") != "channels_last":
        raise ValueError(f"{config['name']} has its channels first")
    if kind == "Conv2D":
        return [_convolution(config, own), *_activation(config.get("activation"))]
    if kind == "Dense":
        return [_dense(config, own), *_activation(config.get("activation"))]
    if kind == "BatchNormalization":
        return [_norm(config, own, maps)]
    if kind == "LeakyReLU":
        slope = config.get("alpha", config.get("negative_slope", 0.3))
        # Single precision made 0.2 a long number.
        return [({"kind": "leaky_relu", "slope": round(float(slope), 7)}, {})]
    if kind == "ReLU" and any(
        config.get(key) for key in ("max_value", "negative_slope", "alpha", "threshold")
    ):
        raise ValueError(
            f"its layer {config.get('name', kind)!r} is a ReLU with max_value, negative_slope or threshold, "
            "which is not read"
        )
    if kind in ("ReLU", "Activation"):
        return _activation("relu" if kind == "ReLU" else config["activation"])
    if kind == "AveragePooling2D" and config.get("padding", "valid") == "valid":
        window = [int(each) for each in config["pool_size"]]
        strides = [int(each) for each in config.get("strides") or window]
        return [({"kind": "average", "window": window, "strides": strides}, {})]
    if kind in ("Flatten", "GlobalAveragePooling2D"):
        return [({"kind": "flatten" if kind == "Flatten" else "mean"}, {})]
    raise ValueError(f"its layer {config.get('name', kind)!r} is a {kind}, which is not read")


def _activation(name: Any) -> list[Described]:
    if name in (None, "linear"):
        return []
    if name not in ACTIVATIONS or name == "leaky_relu":
        raise ValueError(f"it has the activation {name!r}")
    return [({"kind": name}, {})]


def _convolution(config: Config, own: Mapping[str, Array]) -> Described:
    kernel = own["kernel"]
    if list(config.get("dilation_rate", [1, 1])) != [1, 1] or config.get("groups", 1) != 1:
        raise ValueError(f"{config['name']} is dilated or grouped")
    if config["padding"] not in ("same", "valid") or kernel.ndim != 4:
        raise ValueError(f"{config['name']} has the padding {config['padding']!r}")
    rows, cols, channels, filters = kernel.shape
    described = {
        "kind": "conv",
        "channels": channels,
        "filters": filters,
        "kernel": [rows, cols],
        "strides": [int(each) for each in config["strides"]],
        "same": config["padding"] == "same",
        "bias": "bias" in own,
    }
    # Keras: row, column, in, out. PyTorch: out, in, row, column.
    return described, {"weight": kernel.transpose(3, 2, 0, 1), **_bias(own)}


def _dense(config: Config, own: Mapping[str, Array]) -> Described:
    size, units = own["kernel"].shape
    described = {"kind": "dense", "size": size, "units": units, "bias": "bias" in own}
    return described, {"weight": own["kernel"].T, **_bias(own)}


def _bias(own: Mapping[str, Array]) -> dict[str, Array]:
    return {"bias": own["bias"]} if "bias" in own else {}


def _norm(config: Config, own: Mapping[str, Array], maps: bool) -> Described:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) else axis
    if axis not in (-1, 3 if maps else 1):
        raise ValueError(f"{config['name']} normalises axis {axis}")
    mean = own["moving_mean"]
    described = {
        "kind": "norm",
        "maps": maps,
        "channels": len(mean),
        "epsilon": float(config["epsilon"]),
    }
    return described, {
        "weight": own.get("gamma", np.ones_like(mean)),
        "bias": own.get("beta", np.zeros_like(mean)),
        "running_mean": mean,
        "running_var": own["moving_variance"],
        "num_batches_tracked": np.array(0, np.int64),
    }
