"""An array is a slide like any other."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.core.places.images import HeldSlide
from histonic.data.tables.slide_lists import read_slide_list
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


@pytest.mark.parametrize(
    ("pixels", "todo"),
    [
        (np.zeros((4, 4), np.uint8), "in RGB, of an image of Pillow image.convert('RGB')."),
        (np.zeros((4, 4), bool), "in RGB, of an image of Pillow image.convert('RGB')."),
        (np.zeros((4, 4, 4), np.uint8), "in RGB, of an image of Pillow image.convert('RGB')."),
        (np.zeros((4, 4, 3)), "in RGB, of numbers from 0 to 1 (image * 255).round().astype('uint8')."),
        (
            np.zeros((4, 4, 3), np.uint16),
            "in RGB, of numbers up to 65535 (image / 257).round().astype('uint8').",
        ),
        (np.zeros((0, 4, 3), np.uint8), "in RGB."),
        (np.zeros((0, 4), np.uint8), "in RGB."),
        (np.zeros((4, 4, 3), np.int64), "in RGB."),
        (np.zeros((2, 4, 4, 3), np.uint8), "in RGB."),
    ],
)
def test_how_an_array_becomes_a_slide_is_said_of_what_it_is(pixels: np.ndarray, todo: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ArraySlide(pixels, mpp=0.5)
    assert caught.value.todo == f"Give uint8 (H, W, 3) {todo}"
    if pixels.dtype == np.uint16:  # what is said to be done can be done
        scaled = ((pixels + np.uint16(65535)) / 257).round().astype("uint8")
        assert (ArraySlide(scaled, mpp=0.5).read((0, 0), (2, 2), 0.5) == 255).all()


def test_masked_pixels_have_no_colour() -> None:
    pixels = np.ma.array(np.full((4, 4, 3), 9, np.uint8))
    assert ArraySlide(pixels, 0.5).read((0, 0), (4, 4), 0.5).tolist() == pixels.data.tolist()
    pixels[1, 1] = np.ma.masked
    with pytest.raises(SettingsError, match="Some of its pixels are masked"):
        ArraySlide(pixels, 0.5)
    with pytest.raises(SettingsError, match="Some of its pixels are masked"):
        read_slide_list([HeldSlide(pixels, 0.5)])
