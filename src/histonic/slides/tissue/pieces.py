"""Pieces and holes of a mask: what is too small or too thin to be tissue, and what is filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from histonic.slides.tissue.rule import BoolImage, FloatImage, TissueRule
from histonic.slides.tissue.shapes import closed, eroded

# A piece that is nowhere wider is the edge of a cover slip or of a bubble, a scratch, or a seam of the scan.
LEAST_WIDTH_UM = 40.0
# Gaps between cells do not make tissue thin.
GAP_UM2 = 2_500.0
# Dust and bubbles have no colour; colourless tissue (silver, nickel) comes in larger pieces.
GREY_SPREAD = 0.3
GREY_WIDTH_UM = 80.0
GREY_SPECK_UM2 = 80_000.0
GREY_SHARE = 0.03
GREY_GAP_UM = 24.0
GREY_HOLE_UM2 = 10_000.0
LARGEST_SPECK = 0.01
LARGEST_HOLE = 0.002


def clean_mask(mask: BoolImage, mpp: float, rule: TissueRule) -> BoolImage:
    """Drop thin and small pieces, and fill small holes.

    Args:
        mask: bool ``(h, w)``.
        mpp: Its microns per pixel.
        rule: The sizes; of a small picture they are at most a share of it.
    """
    pixel_um2 = mpp * mpp
    hole_px = min(rule.max_hole_um2 / pixel_um2, LARGEST_HOLE * mask.size)
    speck_px = min(rule.min_speck_um2 / pixel_um2, LARGEST_SPECK * mask.size)
    solid = mask | small_pieces(~mask, min(GAP_UM2 / pixel_um2, hole_px), inner_only=True)
    wide = solid & ~_thin_pieces(solid, mpp)
    filled = wide | small_pieces(~wide, hole_px, inner_only=True)
    return filled & ~small_pieces(filled, speck_px)


def small_pieces(mask: BoolImage, most: float, inner_only: bool = False) -> BoolImage:
    """Connected pieces of fewer than ``most`` pixels; with ``inner_only`` none that touches the border."""
    labels, count = ndimage.label(mask)
    if not count:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    chosen = sizes < most
    chosen[0] = False
    if inner_only:
        border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        chosen[border] = False
    return chosen[labels]  # type: ignore[no-any-return]


def _thin_pieces(mask: BoolImage, mpp: float) -> BoolImage:
    """Pieces in which no square of :data:`LEAST_WIDTH_UM` has room."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    wide = _wide_ones(mask, labels, count, LEAST_WIDTH_UM / mpp)
    wide[0] = True
    return ~wide[labels]  # type: ignore[no-any-return]


def _wide_ones(
    mask: BoolImage, labels: npt.NDArray[np.integer[Any]], count: int, side_px: float
) -> npt.NDArray[np.bool_]:
    """By label, whether a square of about ``side_px`` pixels has room in the piece."""
    wide = np.zeros(count + 1, bool)
    wide[labels[eroded(mask, max(1, round(side_px / 2)), outside=False)]] = True
    return wide


def drop_grey_specks(tissue: BoolImage, density: FloatImage, mpp: float) -> BoolImage:
    """Tissue without dust, bubbles and edges of a cover slip: pieces without colour that are small or thin.

    Args:
        tissue: bool ``(h, w)``.
        density: Optical density over the glass, float32 ``(3, h, w)``.
        mpp: Microns per pixel.
    """
    # Lacy tissue is not thin for its lumens.
    solid = closed(tissue, max(1, round(GREY_GAP_UM / 2 / mpp)))
    solid |= small_pieces(~solid, GREY_HOLE_UM2 / mpp**2, inner_only=True)
    labels, count = ndimage.label(solid, np.ones((3, 3)))
    if not count:
        return tissue
    spread = density.max(0) - density.min(0)
    colourless = tissue & (spread < GREY_SPREAD * np.maximum(density.max(0), 0.05))
    sizes = np.bincount(labels[tissue], minlength=count + 1)
    grey = np.bincount(labels[colourless], minlength=count + 1) > 0.6 * sizes
    wide = _wide_ones(solid, labels, count, GREY_WIDTH_UM / mpp)
    keep = ~grey | (wide & (sizes > min(GREY_SPECK_UM2 / mpp**2, GREY_SHARE * tissue.size)))
    keep[0] = False
    kept: BoolImage = tissue & keep[labels]
    return kept
