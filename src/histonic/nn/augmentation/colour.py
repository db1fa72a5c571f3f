"""Tiles with other hue, saturation, brightness and contrast."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-6
"""Below this a pixel is grey or black: no division by less."""


def turn_colours(tiles: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Turn the hue and move the saturation of HSV; the value, its largest channel, stays.

    The saturation S becomes S (1 + s) for s below 0, and S (1 + s (1 - S)) above, which keeps it within 0..1:
    as the authors of Tellez et al. (2019) have it in their released code.

    Args:
        tiles: ``(B, 3, H, W)`` of 0..1.
        hue: ``(B, 1, 1, 1)`` share of the full circle, of -1..1, positive from red towards green.
        saturation: ``(B, 1, 1, 1)`` of -1..1, s above: grey at -1.

    Returns:
        ``(B, 3, H, W)`` of 0..1, new.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> green = turn_colours(red, torch.full((1, 1, 1, 1), 1 / 3), torch.zeros(1, 1, 1, 1))
        >>> [round(value, 3) for value in green.flatten().tolist()]
        [0.0, 1.0, 0.0]
    """
    value, least = tiles.amax(dim=1, keepdim=True), tiles.amin(dim=1, keepdim=True)
    chroma = value - least
    sixth = _sixth(tiles, value, chroma).add_(6 * hue).remainder_(6)
    stronger = chroma / value.clamp_min_(LEAST)
    stronger.mul_(-saturation.clamp_min(0)).add_(1 + saturation).mul_(chroma)
    # With the hue h in sixths, red is fullest within 1 of 0 (= 6), green within 1 of 2, blue within 1 of 4,
    # and falls to nothing over the next sixth.
    middle, sign, base = torch.tensor(
        [[3.0, 2.0, 4.0], [1.0, -1.0, -1.0], [-1.0, 2.0, 2.0]], dtype=tiles.dtype, device=tiles.device
    ).view(3, 1, 3, 1, 1)
    share = (sixth - middle).abs_().mul_(sign).add_(base).clamp_(0, 1)
    return torch.as_tensor(share.sub_(1).mul_(stronger).add_(value))


def _sixth(tiles: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """The hue ``(B, 1, H, W)`` in sixths of the circle, of -1..5."""
    red, green, blue = tiles.chunk(3, dim=1)
    reds = value == red
    greens = value == green
    sixth = torch.where(reds, green - blue, torch.where(greens, blue - red, red - green))
    sixth.div_(chroma.clamp_min(LEAST))
    return sixth.add_(4).sub_(torch.where(reds, 4.0, 2.0 * greens).to(tiles.dtype))


def relight(tiles: Tensor, brightness: Tensor, contrast: Tensor) -> None:
    """Multiply by brightness, then the distance from the tile's mean grey by contrast, in place.

    Args:
        tiles: ``(B, 3, H, W)`` of 0..1; kept within.
        brightness: ``(B, 1, 1, 1)``.
        contrast: ``(B, 1, 1, 1)``.
    """
    grey = tiles.mean(dim=(1, 2, 3), keepdim=True)
    tiles.mul_(brightness * contrast).add_(grey * brightness * (1 - contrast)).clamp_(0, 1)
