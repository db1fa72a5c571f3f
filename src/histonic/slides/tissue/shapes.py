"""Erosion and dilation by squares: separable filters, so that their time does not grow with the radius."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from histonic.slides.tissue.rule import BoolImage


def eroded(mask: BoolImage, radius: int, outside: bool = True) -> BoolImage:
    """Pixels whose whole square of ``2 * radius + 1`` is in the mask.

    Example:
        >>> eroded(np.ones((3, 4), bool), 1, outside=False).astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    least = ndimage.minimum_filter(mask.view(np.uint8), 2 * radius + 1, mode="constant", cval=int(outside))
    return np.asarray(least.view(bool))


def dilated(mask: BoolImage, radius: int) -> BoolImage:
    """Pixels with any of the mask in their square of ``2 * radius + 1``."""
    most = ndimage.maximum_filter(mask.view(np.uint8), 2 * radius + 1, mode="constant")
    return np.asarray(most.view(bool))


def opened(mask: BoolImage, radius: int) -> BoolImage:
    """The mask without what a square of ``2 * radius + 1`` does not fit into."""
    return dilated(eroded(mask, radius), radius) & mask


def closed(mask: BoolImage, radius: int) -> BoolImage:
    """The mask with gaps filled that a square of ``2 * radius + 1`` does not fit into."""
    return eroded(dilated(mask, radius), radius) | mask
