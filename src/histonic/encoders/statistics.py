"""Statistics of colour, stain and texture as codes: an encoder without weights that is hard to beat."""

from __future__ import annotations

from torch import Tensor

from histonic.encoders.base import EncoderSpec
from histonic.encoders.colour import ColourEncoder
from histonic.nn.appearance import STATISTICS, appearance
from histonic.nn.pixels import unit_pixels

SIDE_PX = 64
"""Side to which tiles are averaged first, as the NIC encoder averages its own."""


def tile_statistics(tiles: Tensor) -> Tensor:
    """Uint8 ``(B, H, W, 3)`` to float32 ``(B, 110)``, see :func:`histonic.nn.appearance.appearance`."""
    return appearance(unit_pixels(tiles, SIDE_PX))


class AppearanceEncoder(ColourEncoder):
    """Statistics of colour, stain and texture of a tile, 110 numbers that do not change as it is turned.

    Example:
        >>> AppearanceEncoder.create("cpu", "32").spec.code_size
        110
    """

    spec = EncoderSpec("appearance", "appearance", 128, 0.5, STATISTICS, "none", "Apache-2.0")
    _moments = staticmethod(tile_statistics)
