"""What all encoders with trained weights share: a network with a spec, run on uint8 tiles."""

from __future__ import annotations

import functools
import os
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import (
    EncoderSpec,
    Tensors,
    UInt8Tiles,
    batch_of,
    check_tiles,
    fingerprint_of,
    save_encoder,
)
from histonic.encoders.networks.tile_network import Runs, TileNetwork
from histonic.nn.pixels import tensor_of


@runtime_checkable
class Featured(Protocol):
    """A trunk whose code is one layer on top of richer features, which an objective may also use.

    Attributes:
        feature_size: F, the numbers below the code layer.
        code: The code layer, features ``(B, F)`` to codes ``(B, D)``.
    """

    feature_size: int
    code: nn.Module

    def features(self, tiles: Tensor) -> Tensor:
        """Features ``(B, F)`` of tiles ``(B, 3, H, W)``."""


class NetworkEncoder:
    """A network with weights as an encoder of uint8 tiles; a subclass says how the network is built.

    The network must not be changed once tiles were encoded: what is run is made from it at first use.

    Args:
        spec: What it expects and gives.
        network: Tiles ``(B, 3, H, W)`` scaled to -1..1, to codes ``(B, D)``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``32`` or ``bf16``.
    """

    architecture: ClassVar[str] = ""
    """Entry of the registry; also names the architecture in messages."""

    def __init__(
        self, spec: EncoderSpec, network: nn.Module, device: str = "cpu", precision: str = "32"
    ) -> None:
        self.spec = spec
        self.precision = precision
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def build(cls, spec: EncoderSpec) -> nn.Module:
        """The network of a spec, with fresh weights."""
        raise TypeError(f"{cls.__name__} does not say how its network is built")

    @classmethod
    def working_px(cls, spec: EncoderSpec) -> int:
        """Side of the tiles behind the average with which the network begins, if it begins with one.

        A network built for that side has the same weights, and is trained on a fraction of the pixels.
        """
        return spec.tile_px

    @classmethod
    def create(cls, device: str, precision: str) -> Self:
        """Refuse: this encoder needs weights.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            f"Use the encoder {cls.architecture!r}.",
            "It names an architecture without weights.",
            "Give a weights file, such as one made by 'histonic encoder import FILE.h5 --out E.safetensors'.",
        )

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> Self:
        """Fill the network with weights.

        Raises:
            EncoderError: The tensors do not fit the architecture, or hold NaN.
        """
        network = cls.build(spec)
        state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise EncoderError(
                f"Load the encoder {spec.name!r}.",
                f"Its weights do not fit the architecture {spec.architecture!r}: {error}.",
                "Import or save it again.",
            ) from error
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise EncoderError(
                f"Load the encoder {spec.name!r}.",
                "Its weights hold NaN or infinity.",
                "Import or train it again.",
            )
        return cls(spec, network, device, precision)

    @property
    def tensors(self) -> Tensors:
        """Weights of the network."""
        return {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}

    @property
    def fingerprint(self) -> str:
        """Hash of all that the codes depend on."""
        return fingerprint_of(self.spec, self.tensors, self.precision)

    @functools.cached_property
    def tile_network(self) -> nn.Module:
        """What is run: tiles uint8 ``(B, H, W, 3)`` on the device, to codes ``(B, D)`` float32."""
        made = self.running_network(half=self.precision == "bf16")
        self.network.to(self.device)
        return made.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def running_network(self, half: bool) -> nn.Module:
        """What is run at a precision, on the CPU, where the network is then, too."""
        side_px = self.working_px(self.spec) if isinstance(self.network, Runs) else self.spec.tile_px
        return TileNetwork(self.network.to("cpu"), side_px, half)

    def encode(self, tiles: UInt8Tiles) -> npt.NDArray[np.float32]:
        """Codes of tiles, uint8 ``(N, H, W, 3)`` to float32 ``(N, D)``.

        Raises:
            EncoderError: The tiles are not uint8 ``(N, tile_px, tile_px, 3)``.
        """
        check_tiles(self.spec, tiles)
        codes = np.empty((len(tiles), self.spec.code_size), np.float32)
        step = batch_of(self.spec) if self.device.type == "cpu" else max(1, len(tiles))
        with torch.inference_mode():
            for start in range(0, len(tiles), step):
                part = tensor_of(tiles[start : start + step]).to(self.device)
                codes[start : start + step] = self.tile_network(part).cpu().numpy()
        return codes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write spec and weights to a safetensors file."""
        save_encoder(path, self.spec, self.tensors)
