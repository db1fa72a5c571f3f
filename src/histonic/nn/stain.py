"""Stains of haematoxylin, eosin and a residual: separated, perturbed and put together again."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

STAINS_HED = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical density of haematoxylin, eosin and DAB (the residual) in R, G, B (Ruifrok and Johnston 2001)."""
LEAST_LIGHT = 1e-3
"""Light that passes the darkest pixel, so that logarithms stay finite."""


def stain_matrix() -> Tensor:
    """Optical density of each stain at amount 1, ``(3, 3)``: a stain a row, of length 1, columns R, G, B."""
    stains = torch.tensor(STAINS_HED, dtype=torch.float64)
    return stains / stains.square().sum(dim=1, keepdim=True).sqrt()


@functools.cache
def separation_matrix() -> Tensor:
    """What optical density is multiplied by to give amounts of stains, ``(3, 3)``; computed once."""
    inverse: Tensor = torch.linalg.inv(stain_matrix())
    return inverse


def separate_stains(tiles: Tensor) -> Tensor:
    """How much of each stain lies on every pixel (Ruifrok and Johnston 2001).

    The natural optical density, minus the logarithm of the light that passes, is a sum of the stains'.

    Args:
        tiles: ``(B, 3, H, W)`` of 0..1.

    Returns:
        Amounts of haematoxylin, eosin and residual ``(B, 3, H, W)``; negative where a colour is none
        of theirs.

    Example:
        >>> light = torch.exp(-2 * stain_matrix()[0]).view(1, 3, 1, 1)
        >>> [abs(round(amount, 6)) for amount in separate_stains(light).flatten().tolist()]
        [2.0, 0.0, 0.0]
    """
    inverse = separation_matrix().to(tiles)
    return torch.einsum("bchw,cs->bshw", tiles.clamp_min(LEAST_LIGHT).log_().neg_(), inverse)


def perturb_stains(tiles: Tensor, factor: Tensor, addend: Tensor) -> Tensor:
    """Tiles with every stain made stronger or weaker.

    Every amount becomes ``amount * factor + addend``; separating, perturbing and mixing again are linear in
    the optical density, so that one matrix a tile does it.

    Args:
        tiles: ``(B, 3, H, W)`` of 0..1.
        factor: ``(B, 3)`` by which the amount of each stain is multiplied.
        addend: ``(B, 3)`` amount of each stain that is added everywhere, in natural optical density.

    Returns:
        ``(B, 3, H, W)`` of 0..1.

    Example:
        >>> tiles = torch.full((1, 3, 2, 2), 0.5)
        >>> same = perturb_stains(tiles, torch.ones(1, 3), torch.zeros(1, 3))
        >>> bool(torch.allclose(same, tiles, atol=1e-5))
        True
    """
    mix = stain_matrix()
    separate, mix = separation_matrix().to(tiles), mix.to(tiles)
    # Rows are the channels of the result; the density's sign stays that of the logarithm. The matrix is the
    # same for powers of 2, which a CPU does three times as fast as those of e.
    whole = (separate @ (factor[:, :, None] * mix)).mT
    light = tiles.clamp_min(LEAST_LIGHT).log2_().flatten(2)
    added = -(addend @ mix)[:, :, None] / math.log(2)
    return torch.baddbmm(added, whole, light).exp2_().clamp_(max=1).view_as(tiles)
