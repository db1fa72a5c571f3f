"""Erosion and dilation by squares are those of scipy, whatever the radius."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from histonic.slides.tissue.shapes import closed, dilated, eroded, opened


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_as_binary_morphology_by_squares(radius: int) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (60, 70)), 3) > 0
    square = np.ones((2 * radius + 1,) * 2)
    assert (dilated(mask, radius) == ndimage.binary_dilation(mask, square)).all()
    assert (eroded(mask, radius) == ndimage.binary_erosion(mask, square, border_value=1)).all()
    assert (eroded(mask, radius, outside=False) == ndimage.binary_erosion(mask, square)).all()
    assert not (opened(mask, radius) & ~mask).any() and not (mask & ~closed(mask, radius)).any()
    inner = (slice(2 * radius, -2 * radius),) * 2
    assert (opened(mask, radius) == ndimage.binary_opening(mask, square))[inner].all()
    assert (closed(mask, radius) == ndimage.binary_closing(mask, square))[inner].all()
