"""A chain of Keras layers as a tile encoder, computed as Keras does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import NetworkEncoder

LAYERS = "layers"
"""Argument of such an encoder: what each layer is, in order."""
SIDE = "side"
"""Argument of such an encoder: side of the tiles behind the averaging with which it begins."""
ACTIVATIONS = ("leaky_relu", "relu", "tanh", "sigmoid", "elu")
Layer = Mapping[str, Any]


class KerasConvolution(nn.Conv2d):
    """A convolution whose padding is that of Keras: none, or as much as keeps ``ceil(side / stride)`` places.

    What is odd of that padding lies at the bottom and the right.

    Example:
        >>> KerasConvolution(3, 8, (3, 3), (2, 2), same=True, bias=True)(torch.zeros(1, 3, 128, 128)).shape
        torch.Size([1, 8, 64, 64])
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: tuple[int, int],
        strides: tuple[int, int],
        *,
        same: bool,
        bias: bool,
    ) -> None:
        super().__init__(channels, filters, kernel, strides, bias=bias)
        self.same = same

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, filters, H', W')``."""
        if self.same:
            pads: list[int] = []
            # Columns first, as torch wants them.
            for axis in (1, 0):
                side, step, size = maps.shape[2 + axis], self.stride[axis], self.kernel_size[axis]
                total = max((-(-side // step) - 1) * step + size - side, 0)
                pads += [total // 2, total - total // 2]
            maps = F.pad(maps, pads)
        return super().forward(maps)


class _Flatten(nn.Module):
    """Maps ``(B, C, H, W)`` to vectors in the order of Keras: rows, columns, channels."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1).flatten(1)


class _Mean(nn.Module):
    """Maps to the mean of each channel."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(2, 3))


def make_layer(layer: Layer) -> nn.Module:
    """One layer with fresh weights.

    Args:
        layer: ``kind`` and its figures, see :func:`histonic.encoders.foreign.keras_files.read_layers`.

    Raises:
        LookupError: A figure is absent, or there is no such kind.
    """
    kind = layer["kind"]
    if kind == "conv":
        return KerasConvolution(
            layer["channels"], layer["filters"], tuple(layer["kernel"]), tuple(layer["strides"]),
            same=layer["same"], bias=layer["bias"],
        )  # fmt: skip
    if kind == "dense":
        return nn.Linear(layer["size"], layer["units"], bias=layer["bias"])
    if kind == "norm":
        made = nn.BatchNorm2d if layer["maps"] else nn.BatchNorm1d
        return made(layer["channels"], eps=layer["epsilon"])
    if kind == "average":
        return nn.AvgPool2d(tuple(layer["window"]), tuple(layer["strides"]))
    plain: dict[str, nn.Module] = {
        "flatten": _Flatten(),
        "mean": _Mean(),
        "leaky_relu": nn.LeakyReLU(layer.get("slope", 0.0)),
        "relu": nn.ReLU(),
        "tanh": nn.Tanh(),
        "sigmoid": nn.Sigmoid(),
        "elu": nn.ELU(),
    }
    return plain[kind]


class KerasNetwork(nn.Module):
    """Layers one after the other.

    Args:
        layers: What each is.
        average: Tiles are averaged by so much first.

    Example:
        >>> layers = [{"kind": "mean"}, {"kind": "dense", "size": 3, "units": 5, "bias": True}]
        >>> KerasNetwork(layers, 2)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 5])
    """

    def __init__(self, layers: Sequence[Layer], average: int = 1) -> None:
        super().__init__()
        self.average = nn.AvgPool2d(average) if average > 1 else nn.Identity()
        self.layers = nn.Sequential(*(make_layer(layer) for layer in layers))

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        return torch.as_tensor(self.layers(self.average(tiles)))


class KerasEncoder(NetworkEncoder):
    """A :class:`KerasNetwork` with weights, as an encoder of uint8 tiles."""

    architecture = "keras"

    @classmethod
    def build(cls, spec: EncoderSpec) -> KerasNetwork:
        """The network of a spec, with fresh weights.

        Raises:
            EncoderError: The spec does not say what its layers are.
        """
        arguments = {} if spec.trunk is None else spec.trunk.arguments
        try:
            return KerasNetwork(arguments[LAYERS], spec.tile_px // int(arguments[SIDE]))
        except (LookupError, TypeError, ValueError) as error:
            raise EncoderError(
                f"Build the encoder {spec.name!r}.",
                "Nothing says which layers it has.",
                "Import the Keras file again; networks of this kind are not trained here.",
            ) from error
