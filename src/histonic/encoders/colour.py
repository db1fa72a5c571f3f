"""Colour statistics of a tile: the encoders without weights, and the score that others must beat.

Colour moments follow Stricker and Orengo (1995), "Similarity of color images": mean, standard
deviation and cube root of the third central moment of each channel, here of red, green, blue and of
the haematoxylin, eosin and residual densities of Ruifrok and Johnston (2001).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

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

# Rows: optical density of pure haematoxylin, eosin and a residual (DAB) stain in red, green, blue.
STAIN_MATRIX = ((0.650, 0.704, 0.286), (0.072, 0.990, 0.105), (0.268, 0.570, 0.776))


@cache
def _densities_of_bytes() -> Tensor:
    return -torch.log10((torch.arange(256, dtype=torch.float32) + 1) / 256)


@cache
def _unmixing() -> Tensor:
    stains = torch.tensor(STAIN_MATRIX, dtype=torch.float32)
    inverse: Tensor = torch.linalg.inv(stains / stains.norm(dim=1, keepdim=True))
    return inverse


def colour_moments(tiles: Tensor) -> Tensor:
    """Moments of six channels: red, green, blue (0..1), haematoxylin, eosin, residual (density).

    Args:
        tiles: uint8 ``(B, H, W, 3)``.

    Returns:
        float32 ``(B, 18)``: six means, six standard deviations, six cube roots of the third moment.
    """
    pixels = tiles.flatten(1, 2)
    stains = _densities_of_bytes().to(tiles.device)[pixels.long()] @ _unmixing().to(tiles.device)
    channels = torch.cat([pixels / 255.0, stains], dim=2)
    mean = channels.mean(1)
    centred = channels - mean[:, None]
    squares = centred * centred
    third = (squares * centred).mean(1)
    return torch.cat([mean, squares.mean(1).sqrt(), third.sign() * third.abs() ** (1 / 3)], dim=1)


def mean_colour(tiles: Tensor) -> Tensor:
    """Mean of red, green and blue scaled to -1..1, uint8 ``(B, H, W, 3)`` to float32 ``(B, 3)``."""
    return tiles.float().mean((1, 2)) / 127.5 - 1


class Moments(nn.Module):
    """A function of tiles as a network without weights, so that it runs as other encoders do.

    Args:
        function: Tiles uint8 ``(B, H, W, 3)`` to codes ``(B, D)`` float32.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles."""
        return self._function(tiles)


class ColourEncoder:
    """Colour moments of a tile, 18 numbers; see :func:`colour_moments`.

    Example:
        >>> ColourEncoder.create("cpu", "32").spec.code_size
        18
    """

    spec = EncoderSpec("colour", "colour", 128, 0.5, 18, "none", "Apache-2.0")
    _moments = staticmethod(colour_moments)

    def __init__(self, spec: EncoderSpec, device: str = "cpu") -> None:
        self.spec = spec
        self.device = torch.device(device)

    @classmethod
    def create(cls, device: str, precision: str) -> ColourEncoder:
        """The encoder; moments are always computed in float32."""
        return cls(cls.spec, device)

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> ColourEncoder:
        """The encoder with a spec of its own, such as another licence; there are no weights.

        Raises:
            EncoderError: The file holds weights, or says another code size.
        """
        if tensors:
            raise EncoderError(
                f"Load the encoder {spec.name!r}.",
                f"It holds {len(tensors)} tensors, but colour statistics have none.",
                "Import or save the encoder again.",
            )
        if spec.code_size != cls.spec.code_size:
            raise EncoderError(
                f"Load the encoder {spec.name!r}.",
                f"Its code size is {spec.code_size}, but {cls.spec.name!r} gives {cls.spec.code_size}.",
                "Import or save the encoder again.",
            )
        return cls(spec, device)

    @property
    def tile_network(self) -> nn.Module:
        """What is run: tiles uint8 ``(B, H, W, 3)`` to codes ``(B, D)`` float32."""
        return Moments(self._moments)

    @property
    def tensors(self) -> Tensors:
        """There are no weights."""
        return {}

    @property
    def fingerprint(self) -> str:
        """Hash of all that the codes depend on."""
        return fingerprint_of(self.spec, {})

    def encode(self, tiles: UInt8Tiles) -> npt.NDArray[np.float32]:
        """Colour statistics, uint8 ``(N, H, W, 3)`` to float32 ``(N, D)``.

        Raises:
            EncoderError: The tiles are not uint8 ``(N, tile_px, tile_px, 3)``.
        """
        check_tiles(self.spec, tiles)
        codes = np.empty((len(tiles), self.spec.code_size), np.float32)
        step = batch_of(self.spec)
        with torch.inference_mode():
            for start in range(0, len(tiles), step):
                part = torch.tensor(tiles[start : start + step], device=self.device)
                codes[start : start + len(part)] = self._moments(part).cpu().numpy()
        return codes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the spec to a safetensors file."""
        save_encoder(path, self.spec, {})


class MeanRgbEncoder(ColourEncoder):
    """Mean of red, green and blue in -1..1: the weakest encoder of the NIC paper."""

    spec = EncoderSpec("mean-rgb", "mean-rgb", 128, 0.5, 3, "minus_one_to_one", "Apache-2.0")
    _moments = staticmethod(mean_colour)
