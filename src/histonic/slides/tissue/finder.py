"""Find tissue: what is denser than the slide's own glass, or shows more detail, without ink and borders."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.processes.cores import usable_cores
from histonic.core.processes.threads import mapped_by_threads
from histonic.slides.base import Slide
from histonic.slides.tissue.glass import (
    FLAT,
    WHITE,
    GlassColour,
    around,
    excess_over,
    find_glass,
    local_detail,
    main_glass,
    optical_density,
    shading_of,
    smooth,
)
from histonic.slides.tissue.ink import find_ink
from histonic.slides.tissue.pieces import clean_mask, drop_grey_specks
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
MOST_PX = 2_000_000
NEARLY, MOST_COARSER = 1.1, 1.45
BAND_ROWS = 512


def find_tissue(slide: Slide, rule: TissueRule | None = None) -> TissueMask:
    """Find the tissue of a slide, whatever its stain.

    Args:
        slide: The opened slide.
        rule: Resolution and sizes. Small pictures are read at a finer resolution than ``rule.mpp``, and of
            very large ones at most two million pixels.

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
    if rule.everything:
        mpp = looking_mpp(slide, rule)
        return TissueMask(np.ones(_extents(slide, mpp)[::-1], bool), mpp)
    return look_for_tissue(slide, rule).tissue


@dataclass(frozen=True)
class Found:
    """Tissue, and what else the same look at a slide tells.

    Attributes:
        tissue: The tissue; everything, if the rule says so.
        ink: Pen, borders and shadows, at the resolution of ``density``; nothing where no glass is in view.
        density: Optical density (natural logarithm) over the glass, or over the brightest place where no
            glass is in view, float16 ``(3, h, w)``.
        mpp: Microns per pixel of both.
    """

    tissue: TissueMask
    ink: BoolImage
    density: npt.NDArray[np.float16]
    mpp: float


def look_for_tissue(slide: Slide, rule: TissueRule | None = None) -> Found:
    """Find the tissue of a slide and keep what its quality is told by; its coarse picture is read once.

    Args:
        slide: The opened slide.
        rule: As for :func:`find_tissue`.

    Raises:
        MissingMppError: The slide has no mpp.
        SettingsError: There is no finder of the rule's name.
        UnreadableSlideError: Its pixels are damaged.
    """
    rule = rule or TissueRule()
    mpp = looking_mpp(slide, rule)
    pixels = _coarse_picture(slide, mpp)
    view = _View.of(pixels)
    if rule.everything:
        ink, mask = view.ink(mpp), np.ones(pixels.shape[:2], bool)
    else:
        finder = FINDERS.get(rule.finder)
        if finder is tissue_of:
            ink, found = view.ink_and_tissue(mpp)
        else:
            ink, found = view.ink(mpp), finder(pixels, mpp)
        mask = clean_mask(found, mpp, rule)
    return Found(TissueMask(mask, mpp), ink, view.density.astype(np.float16), mpp)


def _coarse_picture(slide: Slide, mpp: float) -> npt.NDArray[np.uint8]:
    wh = _extents(slide, mpp)
    pixels = np.empty((wh[1], wh[0], 3), np.uint8)
    # Band by band: a coarse picture may have to be made of much finer pixels.
    for top in range(0, wh[1], BAND_ROWS):
        rows = slice(top, min(top + BAND_ROWS, wh[1]))
        pixels[rows] = slide.read((0, top * mpp / slide.mpp), (wh[0], rows.stop - top), mpp)
    return pixels


def _extents(slide: Slide, mpp: float) -> tuple[int, int]:
    return _extent(slide.size_wh.w, slide.mpp, mpp), _extent(slide.size_wh.h, slide.mpp, mpp)


def looking_mpp(slide: Slide, rule: TissueRule) -> float:
    """Microns per pixel at which a slide is looked at: a multiple of a stored resolution, if one is near.

    Averages over whole pixels are exact and much faster than over parts of pixels.
    """
    area_um2 = slide.size_wh.w * slide.size_wh.h * slide.mpp**2
    finest = min(rule.mpp, math.sqrt(area_um2) / SMALL_SIDE_PX)
    wanted = max(finest, slide.mpp, math.sqrt(area_um2 / MOST_PX))
    stored = max((mpp for mpp in slide.native_mpps() if mpp <= wanted * NEARLY), default=slide.mpp)
    near = stored * max(round(wanted / stored), math.ceil(wanted / NEARLY / stored))
    return near if near <= MOST_COARSER * wanted else wanted


def tissue_of(pixels: npt.NDArray[np.uint8], mpp: float) -> BoolImage:
    """Tissue in a picture, as :class:`TissueFinder` asks for.

    Example:
        >>> pixels = np.full((200, 200, 3), 240, np.uint8)
        >>> pixels[50:150, 50:150] = (200, 120, 180)
        >>> int(tissue_of(pixels, 8.0)[60:140, 60:140].sum())
        6400
    """
    return _View.of(pixels).ink_and_tissue(mpp)[1]


@dataclass(frozen=True)
class _View:
    """A coarse picture with all that tissue and ink are told by."""

    smoothed: FloatImage
    white: float
    fine: FloatImage
    detail: FloatImage
    glass: list[GlassColour]
    density: FloatImage
    excess: FloatImage

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8]) -> _View:
        smoothed = smooth(pixels)
        white = max(float(np.percentile(smoothed.mean(0), 99.5)), 60.0)
        fine = local_detail(pixels)
        detail = around(fine) * np.float32(WHITE / white)
        glass = find_glass(smoothed, detail)
        if glass:
            shading = shading_of(smoothed, detail, glass)
            density = optical_density(smoothed, main_glass(glass).rgb, shading)
            excess = excess_over(smoothed, glass, shading)
        else:
            density = optical_density(smoothed, _brightest(smoothed), np.zeros_like(detail))
            excess = density.max(0)
        return cls(smoothed, white, fine, detail, glass, density, excess)

    def ink(self, mpp: float) -> BoolImage:
        if not self.glass:
            return np.zeros(self.detail.shape, bool)
        detail = self.detail * np.float32(self.white / WHITE)
        return find_ink(self.density, detail, self.smoothed.mean(0), self.excess > DENSE, mpp)

    def ink_and_tissue(self, mpp: float) -> tuple[BoolImage, BoolImage]:
        # Neither needs the other until the end.
        looks: list[Callable[[], BoolImage]] = [lambda: self.ink(mpp), self._tissue_or_ink]
        ink, either = mapped_by_threads(lambda look: look(), looks, usable_cores())
        if not self.glass:
            return ink, either
        return ink, drop_grey_specks(either & ~ink, self.density, mpp)

    def _tissue_or_ink(self) -> BoolImage:
        if not self.glass:
            return ~_plainly_empty(self.smoothed, self.detail, self.white)
        dense = self.excess > DENSE
        fine = self.fine * np.float32(WHITE / self.white)
        return dense | _faint_tissue(self.excess, fine, self.detail, dense)


def _brightest(smoothed: FloatImage) -> npt.NDArray[np.float64]:
    """What stands for the glass where none is in view: the brightest place, or white if that is near."""
    brightest = np.maximum(np.percentile(smoothed.reshape(3, -1), 99.8, axis=1), 60)
    return np.maximum(brightest, WHITE) if brightest.min() > 170 else brightest


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
