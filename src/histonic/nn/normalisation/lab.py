"""Bytes to the CIE L, a, b of 8-bit pictures, and what of the way back is shared."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
"""Linear sRGB to XYZ at the white point D65 (ITU-R BT.709)."""
WHITE = (0.95047, 1.0, 1.08883)
CUBE_FROM, SLOPE, OFFSET = 0.008856, 7.787, 16 / 116
"""Below, the cube root of CIE's formula is a straight line."""


@functools.cache
def light_of_bytes() -> Tensor:
    """Linear light 0..1 of the bytes 0 to 255 of sRGB, float64 ``(256,)``."""
    share = torch.arange(256, dtype=torch.float64) / 255
    return torch.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)


@functools.cache
def rgb_to_white() -> Tensor:
    """Linear red, green, blue (columns) to X, Y, Z over those of white (rows), float64 ``(3, 3)``."""
    return torch.tensor(RGB_TO_XYZ, dtype=torch.float64) / torch.tensor(WHITE, dtype=torch.float64)[:, None]


@functools.cache
def roots_to_lab() -> tuple[Tensor, Tensor]:
    """Roots of X, Y, Z to L, a, b: a matrix ``(3, 3)`` and what is added ``(3,)``, float64."""
    matrix = torch.tensor(
        [[0.0, 116 * 2.55, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]], dtype=torch.float64
    )
    return matrix, torch.tensor([-16 * 2.55, 128.0, 128.0], dtype=torch.float64)


def roots(xyz: Tensor) -> Tensor:
    """CIE's root of X, Y, Z over those of white."""
    return torch.where(xyz > CUBE_FROM, xyz.clamp_min(CUBE_FROM) ** (1 / 3), SLOPE * xyz + OFFSET)


def to_lab(pixels: Tensor) -> Tensor:
    """L, a, b of pixels: uint8 ``(N, 3)`` to float64 ``(N, 3)``.

    L is on 0..255, a and b have 128 added, as pictures of 8 bits hold them.

    Example:
        >>> to_lab(torch.tensor([[255, 255, 255], [0, 0, 0]], dtype=torch.uint8)).round().int().tolist()
        [[255, 128, 128], [0, 128, 128]]
    """
    found = roots(light_of_bytes()[pixels.long()] @ rgb_to_white().mT)
    matrix, added = roots_to_lab()
    return found @ matrix.mT + added
