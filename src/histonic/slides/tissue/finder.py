"""Find tissue: what is denser than the slide's own glass, or shows more detail, without ink and borders."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from histonic.slides.base import Slide
from histonic.slides.tissue.glass import (
    FLAT,
    WHITE,
    around,
    excess_over,
    find_glass,
    local_detail,
    main_glass,
    optical_density,
    shading_of,
    smooth,
)
from histonic.slides.tissue.ink import drop_grey_specks, find_ink
from histonic.slides.tissue.pieces import clean_mask
from histonic.slides.tissue.registry import FINDERS
from histonic.slides.tissue.rule import BoolImage, FloatImage, TissueMask, TissueRule
from histonic.slides.tissue.shapes import dilated

# Optical density over glass (natural logarithm): above the first it is tissue, above the second it is where
# there is detail. Serum, haze and smears of dye are faint and without detail.
DENSE = 0.10
FAINT = 0.02
LEAST_DETAIL = 0.8
BLACK = 30
# A small picture is looked at with about as many pixels on its side, a large one with at most as many in all.
SMALL_SIDE_PX = 512
MOST_PX = 3_000_000
BAND_ROWS = 512


def find_tissue(slide: Slide, rule: TissueRule | None = None) -> TissueMask:
    """Find the tissue of a slide, whatever its stain.

    Args:
        slide: The opened slide.
        rule: Resolution and sizes. Small pictures are read at a finer resolution than ``rule.mpp``, and of
            very large ones at most three million pixels.

    Raises:
        MissingMppError: The slide has no mpp.
        SettingsError: There is no finder of the rule's name.
        UnreadableSlideError: Its pixels are damaged.

    Example:
        >>> from histonic.slides.formats.array import ArraySlide
        >>> pixels = np.full((640, 640, 3), 240, np.uint8)
        >>> pixels[160:480, 160:480] = (200, 120, 180)
        >>> float(find_tissue(ArraySlide(pixels, mpp=2.0)).mask.mean().round(2))
        0.25
    """
    rule = rule or TissueRule()
    mpp = looking_mpp(slide, rule)
    wh = (_extent(slide.size_wh.w, slide.mpp, mpp), _extent(slide.size_wh.h, slide.mpp, mpp))
    if rule.everything:
        return TissueMask(np.ones(wh[::-1], bool), mpp)
    pixels = np.empty((wh[1], wh[0], 3), np.uint8)
    # Band by band: a coarse picture may have to be made of much finer pixels.
    for top in range(0, wh[1], BAND_ROWS):
        rows = slice(top, min(top + BAND_ROWS, wh[1]))
        pixels[rows] = slide.read((0, top * mpp / slide.mpp), (wh[0], rows.stop - top), mpp)
    return TissueMask(clean_mask(FINDERS.get(rule.finder)(pixels, mpp), mpp, rule), mpp)


def looking_mpp(slide: Slide, rule: TissueRule) -> float:
    """Microns per pixel at which a slide is looked at."""
    area_um2 = slide.size_wh.w * slide.size_wh.h * slide.mpp**2
    finest = min(rule.mpp, math.sqrt(area_um2) / SMALL_SIDE_PX)
    return max(finest, slide.mpp, math.sqrt(area_um2 / MOST_PX))


def tissue_of(pixels: npt.NDArray[np.uint8], mpp: float) -> BoolImage:
    """Tissue in a picture, as :class:`TissueFinder` asks for.

    Example:
        >>> pixels = np.full((200, 200, 3), 240, np.uint8)
        >>> pixels[50:150, 50:150] = (200, 120, 180)
        >>> int(tissue_of(pixels, 8.0)[60:140, 60:140].sum())
        6400
    """
    smoothed = smooth(pixels)
    brightness = smoothed.mean(0)
    white = max(float(np.percentile(brightness, 99.5)), 60.0)
    fine = local_detail(pixels)
    detail = around(fine) * np.float32(WHITE / white)
    glass = find_glass(smoothed, detail)
    if not glass:
        return ~_plainly_empty(smoothed, detail, white)
    shading = shading_of(smoothed, detail, glass)
    excess = excess_over(smoothed, glass, shading)
    dense = excess > DENSE
    tissue = dense | _faint_tissue(excess, fine * np.float32(WHITE / white), detail, dense)
    density = optical_density(smoothed, main_glass(glass).rgb, shading)
    tissue &= ~find_ink(density, detail * np.float32(white / WHITE), brightness, dense, mpp)
    return drop_grey_specks(tissue, density, mpp)


def _plainly_empty(smoothed: FloatImage, detail: FloatImage, white: float) -> BoolImage:
    """White or black, and flat, in a picture without glass: a lumen or a gap, or the border of a scan."""
    light: BoolImage = (smoothed.min(0) >= 0.92 * white) & (white > 200)
    dark: BoolImage = smoothed.max(0) <= BLACK
    return (light | dark) & (detail < FLAT)


def _faint_tissue(excess: FloatImage, fine: FloatImage, detail: FloatImage, dense: BoolImage) -> BoolImage:
    """Places a little denser than glass that have detail of their own, not that of an edge beside them."""
    glass = excess < FAINT
    usual = float(np.median(detail[glass])) if glass.any() else 0.3
    apart = ~dilated(dense, 2)
    weight = around(apart.astype(np.float32))
    known = weight > 0.1
    own_detail = around(fine * apart) / np.maximum(weight, 0.1)
    own_excess = around(np.minimum(excess, 0.2) * apart) / np.maximum(weight, 0.1)
    faint: BoolImage = (
        known
        & (np.maximum(own_excess, excess) > FAINT)
        & (excess > FAINT / 2)
        & (own_detail > max(LEAST_DETAIL, 2.5 * usual + 0.4))
    )
    return faint


def _extent(length: int, mpp: float, coarse_mpp: float) -> int:
    return max(1, math.ceil(length * mpp / coarse_mpp - 1e-9))
