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
        # Planes one after the other: every statistic is a sum along one of them.
        pixels = tiles.float().contiguous()
        channels = torch.cat([pixels, separate_stains(pixels)[:, :2]], dim=1)
        found = [channels.mean(dim=(2, 3))]
        at_scale = channels
        for scale in range(SCALES):
            at_scale = F.avg_pool2d(at_scale, 2) if scale else at_scale
            found += _texture(at_scale)
        return torch.cat(found + _unevenness(channels), dim=1)


def _texture(channels: Tensor) -> list[Tensor]:
    """Five statistics a channel of maps ``(B, C, H, W)``."""
    distance = channels - channels.mean(dim=(2, 3), keepdim=True)
    squares = distance * distance
    deviation = (squares.sum(dim=(2, 3)) / (channels[0, 0].numel() - 1)).sqrt()
    skewness = (squares * distance).mean(dim=(2, 3)) / (deviation + 1e-3) ** 3
    across = channels[..., :-1, 1:] - channels[..., :-1, :-1]
    down = channels[..., 1:, :-1] - channels[..., :-1, :-1]
    slope = (across * across + down * down + 1e-8).sqrt()
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
        _log(_deviation(slope)),
        _log(_deviation(4 * inner - around)),
    ]


def _deviation(maps: Tensor) -> Tensor:
    """Standard deviation of each map of ``(B, C, H, W)``; two passes are four times as fast as ``std``."""
    distance = maps - maps.mean(dim=(2, 3), keepdim=True)
    return ((distance * distance).sum(dim=(2, 3)) / (maps[0, 0].numel() - 1)).sqrt()


def _unevenness(channels: Tensor) -> list[Tensor]:
    """Six statistics a channel of how blocks differ from each other."""
    batch, count, height, width = channels.shape
    blocks = channels.reshape(batch, count, height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX)
    averages = blocks.mean(dim=(3, 5), keepdim=True)
    means = averages[:, :, :, 0, :, 0]
    # Of distances: the difference of two mean squares would be rounding errors where a block is even.
    deviations = (blocks - averages).square().mean(dim=(3, 5)).sqrt()
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
