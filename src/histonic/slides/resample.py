"""Averaging pixels over areas, by whole numbers where possible and by exact shares elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Image = npt.NDArray[np.uint8]
NEARLY = 1e-6
BAND = 32
# Sums in float32 may fall just short of a half that is exact on paper; it must round up all the same.
HALF_SLACK = 1e-3


def whole(value: float) -> int | None:
    """The integer that ``value`` is but for rounding, else None."""
    nearest = round(value)
    return nearest if abs(value - nearest) < NEARLY * max(1.0, abs(value)) else None


def cut_out(pixels: UInt8Image, x: int, y: int, width: int, height: int) -> UInt8Image:
    """A region of pixels in memory, white where it reaches beyond them.

    Args:
        pixels: uint8 ``(H, W, 3)``.
        x: Left edge in pixels; may lie outside, like all edges.
        y: Top edge.
        width: Of the region.
        height: Of the region.

    Returns:
        uint8 ``(height, width, 3)``, a copy.

    Example:
        >>> cut_out(np.zeros((2, 2, 3), np.uint8), 1, 0, 2, 1)[0, :, 0].tolist()
        [0, 255]
    """
    out = np.full((height, width, 3), 255, np.uint8)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, pixels.shape[1]), min(y + height, pixels.shape[0])
    if left < right and top < bottom:
        out[top - y : bottom - y, left - x : right - x] = pixels[top:bottom, left:right]
    return out


def average_blocks(pixels: UInt8Image, factor: int) -> UInt8Image:
    """Mean of blocks of ``factor`` x ``factor`` pixels, rounded half up.

    Args:
        pixels: uint8 ``(H, W, 3)``, H and W multiples of ``factor``.
        factor: Pixels per side of a block.

    Example:
        >>> average_blocks(np.full((4, 4, 3), 7, np.uint8), 2).shape
        (2, 2, 3)
    """
    if factor == 1:
        return pixels
    height, width, channels = pixels.shape
    area = factor * factor
    # Sums of up to 16 x 16 pixels fit 16 bits, which halves the memory that is moved.
    kind: Any = np.uint16 if 255 * area + area // 2 < 2**16 else np.uint32
    rows: npt.NDArray[Any] = pixels[0::factor].astype(kind)
    for offset in range(1, factor):
        rows += pixels[offset::factor]
    columns = rows.reshape(height // factor, width // factor, factor * channels)
    sums = np.empty((height // factor, width // factor, channels), kind)
    # One plane at a time: adding long strided vectors is ten times faster than a sum over short axes.
    for channel in range(channels):
        plane: npt.NDArray[Any] = columns[:, :, channel].copy()
        for offset in range(channel + channels, factor * channels, channels):
            plane += columns[:, :, offset]
        sums[:, :, channel] = plane
    sums += kind(area // 2)
    means: UInt8Image = (sums // kind(area)).astype(np.uint8)
    return means


def area_weights(start: float, scale: float, count: int, length: int) -> npt.NDArray[np.float32]:
    """Share of each input pixel in each output pixel along one axis.

    Args:
        start: Where the first output pixel begins, in input pixels.
        scale: Input pixels per output pixel.
        count: Number of output pixels.
        length: Number of input pixels.

    Returns:
        ``(count, length)`` float32, rows summing to 1.

    Example:
        >>> area_weights(0.5, 2.0, 1, 3)
        array([[0.25, 0.5 , 0.25]], dtype=float32)
    """
    edges = start + scale * np.arange(count + 1)
    pixels = np.arange(length)
    upper = np.minimum(edges[1:, None], pixels + 1)
    lower = np.maximum(edges[:-1, None], pixels)
    shares: npt.NDArray[np.float32] = (np.clip(upper - lower, 0, None) / scale).astype(np.float32)
    return shares


def average_area(
    pixels: UInt8Image, start_xy: tuple[float, float], scale: float, wh: tuple[int, int]
) -> UInt8Image:
    """Area-weighted mean of pixels for a grid that does not fall on them.

    Args:
        pixels: uint8 ``(H, W, 3)``.
        start_xy: Corner of the first output pixel, in input pixels.
        scale: Input pixels per output pixel; below 1 it enlarges, each result the mean of what it covers.
        wh: Output size.

    Returns:
        uint8 ``(h, w, 3)``, rounded half up.
    """
    height, width, channels = pixels.shape
    rows = _average_first_axis(pixels.reshape(height, -1).astype(np.float32), start_xy[1], scale, wh[1])
    across = rows.reshape(wh[1], width, channels).transpose(1, 0, 2).reshape(width, -1)
    columns = _average_first_axis(across, start_xy[0], scale, wh[0])
    means = columns.reshape(wh[0], wh[1], channels).transpose(1, 0, 2)
    rounded: UInt8Image = np.clip(means + (0.5 + HALF_SLACK), 0, 255).astype(np.uint8)
    return rounded


def _average_first_axis(
    values: npt.NDArray[np.float32], start: float, scale: float, count: int
) -> npt.NDArray[np.float32]:
    """Average along the first axis; in bands, as most weights of one large matrix would be zero."""
    out = np.empty((count, values.shape[1]), np.float32)
    for first in range(0, count, BAND):
        many = min(BAND, count - first)
        begin = start + first * scale
        low = math.floor(begin)
        part = values[low : math.ceil(begin + many * scale)]
        out[first : first + many] = area_weights(begin - low, scale, many, len(part)) @ part
    return out
