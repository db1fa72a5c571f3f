"""Pieces and holes of a mask: what is too small or too thin to be tissue, and what is filled."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from histonic.slides.tissue.rule import BoolImage, TissueRule
from histonic.slides.tissue.shapes import eroded

# A piece that is nowhere wider is the edge of a cover slip or of a bubble, a scratch, or a seam of the scan.
LEAST_WIDTH_UM = 40.0
# Gaps between cells do not make tissue thin.
GAP_UM2 = 2_500.0
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
    wide = np.zeros(count + 1, bool)
    wide[labels[eroded(mask, max(1, round(LEAST_WIDTH_UM / 2 / mpp)), outside=False)]] = True
    wide[0] = True
    return ~wide[labels]  # type: ignore[no-any-return]
