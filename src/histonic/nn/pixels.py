"""Tiles from bytes to numbers, averaged on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def tensor_of(tiles: npt.NDArray[Any]) -> Tensor:
    """Tiles as a tensor of the same memory, or of a copy where that is mapped from a file and read-only.

    Torch knows no read-only tensors, and warns of each that it is given.

    Example:
        >>> tiles = np.zeros((1, 2, 2, 3), np.uint8)
        >>> tiles.flags.writeable = False
        >>> tensor_of(tiles).shape
        torch.Size([1, 2, 2, 3])
    """
    return torch.from_numpy(np.require(tiles, requirements=("C", "W")))


@torch.no_grad()
def unit_pixels(tiles: Tensor, side_px: int) -> Tensor:
    """Tiles of bytes as numbers, every square of pixels averaged to one.

    Sums are made of whole numbers, which is three times as fast on a CPU as pooling floats.

    Args:
        tiles: uint8 ``(B, H, H, 3)``.
        side_px: Side of the result; pixels that fill no whole square, at the right and below, are left out.

    Returns:
        Float ``(B, 3, side_px, side_px)`` of 0..1, channels last in memory.

    Example:
        >>> tiles = torch.tensor([0, 255, 255, 0], dtype=torch.uint8).view(1, 2, 2, 1).expand(1, 2, 2, 3)
        >>> unit_pixels(tiles, 1).flatten().tolist()
        [0.5, 0.5, 0.5]
    """
    step = tiles.shape[1] // side_px
    whole = tiles[:, : step * side_px, : step * side_px]
    if step > 1:
        number = torch.int16 if step * step * 255 < 1 << 15 else torch.int32
        lines = whole[:, ::step].to(number)
        for line in range(1, step):
            lines += whole[:, line::step]
        whole = lines[:, :, ::step].clone()
        for column in range(1, step):
            whole += lines[:, :, column::step]
    return whole.permute(0, 3, 1, 2).float().div_(255 * step * step)
