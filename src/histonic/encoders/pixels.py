"""The encoder that leaves pixels as they are: maps of red, green and blue, a cell a pixel."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from histonic.core.errors import EncoderError
from histonic.encoders.base import (
    EncoderSpec,
    Tensors,
    UInt8Tiles,
    check_tiles,
    fingerprint_of,
    save_encoder,
)

PIXELS_MPP = 2.0
"""Where no other resolution is asked for."""


class PixelsEncoder:
    """A tile of one pixel to its red, green and blue, 0 to 255.

    A map is then the slide itself at the encoder's resolution, for networks that are trained from pixels
    (aggregator ``streaming``); store, orientations, training and explanations are those of all maps. Another
    resolution is asked for by name: ``pixels:4`` is 4 µm/px.

    Example:
        >>> encoder = PixelsEncoder.named("4", "cpu", "32")
        >>> encoder.spec.mpp, encoder.encode(np.full((1, 1, 1, 3), (9, 0, 255), np.uint8)).tolist()
        (4.0, [[9.0, 0.0, 255.0]])
    """

    spec = EncoderSpec("pixels", "pixels", 1, PIXELS_MPP, 3, "none", "Apache-2.0")

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    @classmethod
    def create(cls, device: str, precision: str) -> PixelsEncoder:
        """The encoder at 2 µm/px."""
        return cls(cls.spec)

    @classmethod
    def named(cls, argument: str, device: str, precision: str) -> PixelsEncoder:
        """The encoder at another resolution.

        Args:
            argument: Microns per pixel.
            device: Of no matter.
            precision: Of no matter.

        Raises:
            EncoderError: That is no resolution.
        """
        try:
            mpp = float(argument)
        except ValueError:
            mpp = math.nan
        if not 0 < mpp < math.inf:
            raise EncoderError(
                f"Use the encoder 'pixels:{argument}'.",
                f"{argument!r} is no resolution.",
                "Give microns per pixel behind the colon, such as pixels:4.",
            )
        return cls(replace(cls.spec, name=f"pixels:{mpp:g}", mpp=mpp))

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> PixelsEncoder:
        """The encoder as a file says it; there are no weights.

        Raises:
            EncoderError: The file holds weights, or another kind of code.
        """
        if tensors or (spec.code_size, spec.tile_px) != (cls.spec.code_size, cls.spec.tile_px):
            raise EncoderError(
                f"Load the encoder {spec.name!r}.",
                f"It holds {len(tensors)} tensors, for codes of {spec.code_size} numbers of tiles of "
                f"{spec.tile_px} px; pixels are 3 numbers of 1 px without weights.",
                "Save the encoder again.",
            )
        return cls(spec)

    @property
    def tensors(self) -> Tensors:
        """There are no weights."""
        return {}

    @property
    def fingerprint(self) -> str:
        """Hash of all that the codes depend on."""
        return fingerprint_of(self.spec, {})

    def encode(self, tiles: UInt8Tiles) -> npt.NDArray[np.float32]:
        """Pixels, uint8 ``(N, 1, 1, 3)``, to float32 ``(N, 3)``.

        Raises:
            EncoderError: The tiles are not uint8 ``(N, 1, 1, 3)``.
        """
        check_tiles(self.spec, tiles)
        return tiles[:, 0, 0].astype(np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the spec to a safetensors file."""
        save_encoder(path, self.spec, {})
