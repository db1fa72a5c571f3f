"""An array is a slide like any other."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.slides.base import Slide
from histonic.slides.formats.array import ArraySlide
from histonic.testing import SlideContract


class TestArrayContract(SlideContract):
    def make(self) -> Slide:
        return ArraySlide(np.random.default_rng(3).integers(0, 256, (700, 900, 3), dtype=np.uint8), mpp=0.5)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_an_array_must_be_rgb_bytes(pixels: np.ndarray) -> None:
    with pytest.raises(SettingsError, match="RGB"):
        ArraySlide(pixels, mpp=0.5)
