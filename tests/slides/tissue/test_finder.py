"""Tissue is found; glass, pen, borders, specks and holes are not taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from histonic.slides.base import open_slide
from histonic.slides.formats.array import ArraySlide
from histonic.slides.tissue.finder import find_tissue, looking_mpp
from histonic.slides.tissue.rule import TissueRule

TISSUE = (200, 125, 180)

RULE = TissueRule(mpp=8.0)


def glass(side: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(242 + rng.normal(0, 2, (side, side, 3)), 0, 255).astype(np.uint8)


def find(pixels: np.ndarray) -> np.ndarray:
    return find_tissue(ArraySlide(pixels, mpp=8.0), RULE).mask


def test_a_piece_is_found_to_the_pixel_or_so() -> None:
    pixels = glass()
    pixels[100:300, 80:320] = TISSUE
    found = find(pixels)
    wanted = np.zeros((400, 400), bool)
    wanted[100:300, 80:320] = True
    assert (found ^ wanted).sum() < 0.03 * wanted.sum()


@pytest.mark.parametrize("colour", [(225, 190, 215), (120, 80, 150), (235, 160, 190), (90, 50, 120)])
def test_pale_and_dark_tissue(colour: tuple[int, int, int]) -> None:
    pixels = glass()
    pixels[100:300, 100:300] = colour
    assert 0.23 < find(pixels).mean() < 0.27


def test_glass_alone_is_empty() -> None:
    assert not find(glass()).any()
    assert not find(np.full((50, 60, 3), 255, np.uint8)).any()
    assert not find(np.zeros((50, 60, 3), np.uint8)).any()


def test_the_nearly_empty_real_slide_has_no_tissue(data_dir: Path) -> None:
    with open_slide(data_dir / "slides" / "kidney-48-5.tif", default_mpp=0.5) as slide:
        assert not find_tissue(slide, RULE).mask.any()


@pytest.mark.parametrize("colour", [(40, 60, 190), (30, 140, 70), (20, 20, 25), (210, 40, 50)])
def test_pen_is_not_tissue(colour: tuple[int, int, int]) -> None:
    pixels = glass()
    pixels[200:350, 100:300] = TISSUE
    pixels[40:70, 20:380] = colour
    found = find(pixels)
    assert not found[30:80].any()
    assert found[210:340, 110:290].all()


def test_a_black_border_does_not_hide_pale_tissue() -> None:
    pixels = glass()
    pixels[:, :60] = pixels[:, -60:] = 5
    pixels[100:300, 120:280] = (228, 200, 220)
    found = find(pixels)
    assert not found[:, :60].any() and found[110:290, 130:270].all()


def test_specks_go_and_holes_fill() -> None:
    pixels = glass()
    pixels[100:300, 100:300] = TISSUE
    pixels[150:165, 150:165] = 242  # 225 px of 64 µm²: a small hole
    pixels[200:280, 200:280] = 242  # a large one
    pixels[20:32, 20:32] = TISSUE  # a speck of 9216 µm²
    found = find(pixels)
    assert found[150:165, 150:165].all()
    assert not found[210:270, 210:270].any()
    assert not found[15:40, 15:40].any()


@pytest.mark.parametrize("colour", [(45, 25, 60), (60, 100, 120), (20, 20, 20)])
def test_small_dark_or_cold_things_take_no_tissue_with_them(colour: tuple[int, int, int]) -> None:
    pixels = glass()
    pixels[100:300, 100:300] = TISSUE
    pixels[120:280:20, 120:280:20] = colour  # pigment, dense nuclei
    pixels[150:250, 200:202] = colour  # a fringe 16 µm wide
    assert find(pixels)[105:295, 105:295].all()


@pytest.mark.parametrize("colour", [(170, 45, 75), (150, 160, 195), (225, 100, 130)])
def test_blood_eosin_and_blue_counterstain_are_tissue(colour: tuple[int, int, int]) -> None:
    pixels = glass()
    pixels[100:300, 100:300] = colour
    assert find(pixels)[105:295, 105:295].all()


def test_the_soft_rim_of_a_stroke_goes_with_it() -> None:
    ink = np.zeros((400, 400, 1))
    ink[60:80, 50:350] = 1
    ink = ndimage.gaussian_filter(ink, (2, 2, 0))
    pixels = (glass() * (1 - ink) + np.array((40, 60, 190)) * ink).astype(np.uint8)
    pixels[200:300, 100:300] = TISSUE
    found = find(pixels)
    assert not found[:120].any() and found[205:295, 105:295].all()


def test_dark_epidermis_of_the_real_slide_is_kept(data_dir: Path) -> None:
    with open_slide(data_dir / "slides" / "CMU-1-Small-Region.svs") as slide:
        found = find_tissue(slide, RULE)
    rows, cols = (slice(*(round(at * 8 / found.mpp) for at in ends)) for ends in ((50, 65), (88, 96)))
    assert found.mask[rows, cols].mean() > 0.9
    assert 0.30 < found.mask.mean() < 0.50


@pytest.mark.parametrize(
    ("mpp", "side_mm", "looked_at"),
    [
        (0.499, 10, 7.984),  # 16 pixels are nearly 8 µm
        (0.25, 10, 8.0),
        (
            0.62,
            0.4,
            0.78125,
        ),  # a field is looked at with about 512 pixels a side; 1.24 would be far too coarse
        (0.5, 1.2, 2.5),
        (8.0, 16, 16.0),  # two millions of pixels at most, and no parts of pixels
        (5.0, 10, 10.0),
    ],
)
def test_slides_are_looked_at_over_whole_pixels(mpp: float, side_mm: float, looked_at: float) -> None:
    side = round(side_mm * 1000 / mpp)
    slide = ArraySlide(
        np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), (side, side, 3), (0, 0, 1)), mpp=mpp
    )
    assert looking_mpp(slide, TissueRule()) == pytest.approx(looked_at, rel=1e-3)
