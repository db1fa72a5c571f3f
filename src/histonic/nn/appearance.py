"""Statistics of colour, stain and texture of a tile, computed on whole batches on their device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from histonic.nn.stain import separate_stains

SCALES = 3
"""Resolutions at which texture is measured, each half the one before."""
BLOCK_PX = 8
LEAST = 1e-5
MOST_SKEW = 5.0
CHANNELS = 5
STATISTICS = CHANNELS * (1 + 5 * SCALES + 6)
"""S, the numbers that :func:`appearance` gives."""


@torch.no_grad()
def appearance(tiles: Tensor) -> Tensor:
    """What a tile looks like, in numbers that do not depend on where in it something lies.

    Of red, green, blue, haematoxylin and eosin: the mean; at three scales the standard deviation, the
    skewness, mean and deviation of the gradient and deviation of the Laplacian (all but the skewness as
    logarithms); and how mean and deviation differ between blocks of 8 pixels. They are known by mirroring a
    tile or turning it by 90 degrees; a linear model on them is a strong baseline on histology.

    Args:
        tiles: ``(B, 3, H, H)`` of 0..1, H a multiple of 32.

    Returns:
        ``(B, S)`` float32.

    Example:
        >>> appearance(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 110])
    """
    # Differences of neighbouring pixels have no digits left in half precision.
    with torch.autocast(tiles.device.type, enabled=False):
        pixels = tiles.float()
        channels = torch.cat([pixels, separate_stains(pixels)[:, :2]], dim=1)
        found = [channels.mean(dim=(2, 3))]
        for scale in range(SCALES):
            found += _texture(F.avg_pool2d(channels, 2**scale) if scale else channels)
        return torch.cat(found + _unevenness(channels), dim=1)


def _texture(channels: Tensor) -> list[Tensor]:
    """Five statistics a channel of maps ``(B, C, H, W)``."""
    deviation = channels.std(dim=(2, 3))
    distance = channels - channels.mean(dim=(2, 3), keepdim=True)
    skewness = (distance**3).mean(dim=(2, 3)) / (deviation + 1e-3) ** 3
    across = channels[..., :-1, 1:] - channels[..., :-1, :-1]
    down = channels[..., 1:, :-1] - channels[..., :-1, :-1]
    slope = (across.square() + down.square() + 1e-8).sqrt()
    inner = channels[..., 1:-1, 1:-1]
    around = (
        channels[..., 1:-1, :-2]
        + channels[..., 1:-1, 2:]
        + channels[..., :-2, 1:-1]
        + channels[..., 2:, 1:-1]
    )
    return [
        _log(deviation),
        skewness.clamp(-MOST_SKEW, MOST_SKEW),
        _log(slope.mean(dim=(2, 3))),
        _log(slope.std(dim=(2, 3))),
        _log((4 * inner - around).std(dim=(2, 3))),
    ]


def _unevenness(channels: Tensor) -> list[Tensor]:
    """Six statistics a channel of how blocks differ from each other."""
    means = F.avg_pool2d(channels, BLOCK_PX)
    deviations = (F.avg_pool2d(channels.square(), BLOCK_PX) - means.square()).clamp_min(0).sqrt()
    return [
        _log(means.std(dim=(2, 3))),
        means.amin(dim=(2, 3)),
        means.amax(dim=(2, 3)),
        deviations.std(dim=(2, 3)),
        deviations.amin(dim=(2, 3)),
        deviations.amax(dim=(2, 3)),
    ]


def _log(values: Tensor) -> Tensor:
    return values.clamp_min(LEAST).log()
