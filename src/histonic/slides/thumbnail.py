"""Small pictures of slides, plain or with tissue and kept cells drawn, and the lengths of scale bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from histonic.core.grid import TileGrid
from histonic.slides.slide import Slide, UInt8Image

OUTLINE = (0, 90, 160)
TISSUE_OUTLINE = (200, 80, 0)
PALER = (0.35 * np.arange(256, dtype=np.float32) + 0.65 * 255).round().astype(np.uint8)
"""Of each level what it becomes where nothing is kept."""
BAR_LENGTHS_UM = (10_000, 5_000, 2_000, 1_000, 500, 200, 100, 50, 20, 10, 5)


def thumbnail(slide: Slide, side_px: int = 1024) -> UInt8Image:
    """The whole slide, its longer side about ``side_px`` pixels; never larger than the slide itself.

    The size is a stored one divided by a whole number, so that pixels are averaged without weights.

    Returns:
        uint8 ``(h, w, 3)`` RGB, the longer side between two thirds and one and a half of ``side_px``.

    Raises:
        MissingMppError: The slide has no mpp.
    """
    longer = max(slide.size_wh)
    # The coarsest stored size that need not be enlarged much is the fastest to read.
    stored = [mpp for mpp in slide.native_mpps() if longer * slide.mpp / mpp >= side_px] or [slide.mpp]
    factor = max(1, round(longer * slide.mpp / stored[-1] / side_px))
    scale = stored[-1] * factor / slide.mpp
    wh = (max(1, int(slide.size_wh.w / scale)), max(1, int(slide.size_wh.h / scale)))
    return slide.read((0, 0), wh, slide.mpp * scale)


def read_small(path: Path, side_px: int) -> Image.Image | None:
    """A stored picture in RGB, at most so many pixels a side; None where it is absent or damaged."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except OSError:
        return None
    small.thumbnail((side_px, side_px))
    return small


def draw_cells(picture: UInt8Image, grid: TileGrid, mask: npt.NDArray[np.bool_]) -> UInt8Image:
    """Draw the kept cells on a thumbnail: their outline in blue, all else paler.

    Args:
        picture: Thumbnail of the whole slide, uint8 ``(h, w, 3)``.
        grid: The cells.
        mask: bool ``(R, K)``, True for kept cells.

    Returns:
        uint8 ``(h, w, 3)``.
    """
    height, width = picture.shape[:2]
    per_pixel = grid.slide_wh.w / width
    rows = ((np.arange(height) + 0.5) * per_pixel - grid.square_origin_xy.y) / grid.stride_level0
    cols = ((np.arange(width) + 0.5) * per_pixel - grid.square_origin_xy.x) / grid.stride_level0
    rows_inside = np.clip(rows.astype(int), 0, mask.shape[0] - 1)
    cols_inside = np.clip(cols.astype(int), 0, mask.shape[1] - 1)
    kept = mask[np.ix_(rows_inside, cols_inside)]
    edge = kept & ~ndimage.binary_erosion(kept, iterations=2, border_value=0)
    drawn = np.where(kept[..., None], picture, PALER[picture])
    drawn[edge] = OUTLINE
    return drawn


def draw_tissue(picture: UInt8Image, tissue: npt.NDArray[np.bool_]) -> UInt8Image:
    """Draw the outline of a tissue mask on a thumbnail, in orange.

    Args:
        picture: Of the whole slide, uint8 ``(h, w, 3)``.
        tissue: bool ``(H, W)`` over the whole slide.

    Returns:
        uint8 ``(h, w, 3)``.
    """
    rows, cols = (
        np.minimum((np.arange(length) + 0.5) * of / length, of - 1).astype(int)
        for length, of in zip(picture.shape[:2], tissue.shape, strict=True)
    )
    shown = tissue[np.ix_(rows, cols)]
    drawn = picture.copy()
    drawn[shown & ~ndimage.binary_erosion(shown, border_value=0)] = TISSUE_OUTLINE
    return drawn


def bar_length_um(width_um: float) -> int:
    """Length of a scale bar for a picture so wide: a round number, at most a quarter; 0 if there is none.

    Example:
        >>> bar_length_um(9_000), bar_length_um(170.0), bar_length_um(12.0)
        (2000, 20, 0)
    """
    return next((each for each in BAR_LENGTHS_UM if each <= width_um / 4), 0)


def length_words(length_um: float) -> str:
    """A length as it stands at a scale bar.

    Example:
        >>> length_words(2_000), length_words(50)
        ('2 mm', '50 µm')
    """
    return f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
