"""Where the tissue is: an Otsu-type mask, with rules for holes, specks, pen and borders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from histonic.core.grid import TileGrid
from histonic.core.settings import TissueSettings
from histonic.slides.base import Slide

BoolImage = npt.NDArray[np.bool_]

# Colourfulness (largest minus smallest channel, 0..255) between which Otsu's threshold may lie: below the
# lower bound is sensor noise on glass, above the upper one even pale stroma and fat septa would be lost.
THRESHOLD_RANGE = (12.0, 36.0)
BLACK = 70
BLACK_COLOURFULNESS = 45
PEN_MARGIN = 8
# A blue counterstain without eosin is as cold as thin ink, but never as colourful as a stroke's middle.
PEN_COLOURFULNESS = 45
# Red ink has no blue; blood and strong eosin do.
RED_PEN_EXCESS = 110
RED_PEN_BLUE = 20
# Narrower things are pigment, dense nuclei or fringes of refraction, not strokes or borders.
PEN_WIDTH_UM = 40.0
PEN_HALO_UM = 24.0
BAND_ROWS = 256


@dataclass(frozen=True)
class TissueRule:
    """What counts as tissue.

    Attributes:
        mpp: Microns per pixel at which tissue is looked for.
        min_speck_um2: Smaller pieces are dropped.
        max_hole_um2: Smaller holes are filled.
        everything: All of the slide is tissue, and nothing is looked for.
    """

    mpp: float = 8.0
    min_speck_um2: float = 20_000.0
    max_hole_um2: float = 40_000.0
    everything: bool = False

    @classmethod
    def of(cls, settings: TissueSettings) -> TissueRule:
        """The rule that settings ask for."""
        return cls(settings.mpp, settings.min_speck_um2, settings.max_hole_um2, settings.source == "all")


@dataclass(frozen=True)
class TissueMask:
    """Tissue over a whole slide.

    Attributes:
        mask: bool ``(h, w)``, True on tissue; its corner is the slide's top-left corner.
        mpp: Microns per pixel of the mask.
    """

    mask: BoolImage
    mpp: float


def find_tissue(slide: Slide, rule: TissueRule | None = None) -> TissueMask:
    """Find the tissue of a slide stained with haematoxylin and eosin.

    Tissue is more colourful than glass (Otsu's threshold on colourfulness, kept within bounds so that
    an empty slide gives an empty mask). Wide areas are left out where green is above red (blue and green
    pen), that are a red without blue (red pen), or black (border, pen, shadow of the cover slip).

    Args:
        slide: The opened slide.
        rule: Resolution and sizes.

    Raises:
        MissingMppError: The slide has no mpp.
        UnreadableSlideError: Its pixels are damaged.

    Example:
        >>> from histonic.slides.formats.array import ArraySlide
        >>> pixels = np.full((640, 640, 3), 240, np.uint8)
        >>> pixels[160:480, 160:480] = (200, 120, 180)
        >>> float(find_tissue(ArraySlide(pixels, mpp=2.0)).mask.mean().round(2))
        0.25
    """
    rule = rule or TissueRule()
    mpp = max(rule.mpp, slide.mpp)
    wh = (_extent(slide.size_wh.w, slide.mpp, mpp), _extent(slide.size_wh.h, slide.mpp, mpp))
    if rule.everything:
        return TissueMask(np.ones(wh[::-1], bool), mpp)
    colourfulness = np.empty(wh[::-1], np.uint8)
    foreign = np.empty(wh[::-1], np.uint8)
    # Band by band: of the whole slide only two bytes a pixel are held.
    for top in range(0, wh[1], BAND_ROWS):
        rows = slice(top, min(top + BAND_ROWS, wh[1]))
        pixels = slide.read((0, top * mpp / slide.mpp), (wh[0], rows.stop - top), mpp)
        colourfulness[rows], foreign[rows] = look_at_pixels(pixels)
    mask = _part(colourfulness, _wide_areas(foreign, mpp))
    return TissueMask(clean_mask(mask, mpp, rule), mpp)


def look_at_pixels(
    pixels: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """How colourful pixels are, and which may be pen, border or shadow.

    Args:
        pixels: uint8 ``(h, w, 3)`` RGB.

    Returns:
        Largest minus smallest channel, uint8 ``(h, w)``; and uint8 ``(h, w)``: 2 for pen, border and
        shadow, 1 for what may be the thin rim of a stroke, 0 for the rest.
    """
    red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
    highest, lowest = pixels.max(2), pixels.min(2)
    colourfulness = highest - lowest
    black = (highest < BLACK) & (colourfulness < BLACK_COLOURFULNESS)
    cold = (green > red + PEN_MARGIN) & (colourfulness > THRESHOLD_RANGE[0])
    hot = (red - np.maximum(green, blue) > RED_PEN_EXCESS) & (blue < green + RED_PEN_BLUE)
    sure = black | hot | (cold & (colourfulness > PEN_COLOURFULNESS))
    return colourfulness, (cold | sure).astype(np.uint8) + sure


def _wide_areas(foreign: npt.NDArray[np.uint8], mpp: float) -> BoolImage:
    """Strokes and borders with their rims and halos; of small things nothing."""
    radius = max(1, round(PEN_WIDTH_UM / 2 / mpp))
    cores = ndimage.binary_erosion(foreign == 2, iterations=radius, border_value=1)
    areas = ndimage.binary_propagation(cores, mask=foreign > 0)
    halo = max(1, round(PEN_HALO_UM / mpp))
    return ndimage.binary_dilation(areas, iterations=halo)  # type: ignore[no-any-return]


def _part(colourfulness: npt.NDArray[np.uint8], foreign: BoolImage) -> BoolImage:
    """Tissue before holes and specks are dealt with."""
    smooth = ndimage.gaussian_filter(np.where(foreign, 0, colourfulness), 1.0, output=np.float32)
    threshold = np.clip(otsu_threshold(smooth[~foreign]), *THRESHOLD_RANGE)
    return (smooth > threshold) & ~foreign  # type: ignore[no-any-return]


def otsu_threshold(values: npt.NDArray[np.float32]) -> float:
    """Threshold that parts values into the two classes of largest variance between them (Otsu 1979).

    Args:
        values: Any number of values, 0..255.

    Returns:
        The threshold; 0 if there is nothing to part.
    """
    counts, edges = np.histogram(values, bins=256, range=(0, 256))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    possible = (below > 0) & (above > 0)
    if not possible.any():
        return 0.0
    mean_below = sums[possible] / below[possible]
    mean_above = (sums[-1] - sums[possible]) / above[possible]
    between = below[possible].astype(float) * above[possible] * (mean_below - mean_above) ** 2
    return float(edges[1:][possible][np.argmax(between)])


def clean_mask(mask: BoolImage, mpp: float, rule: TissueRule) -> BoolImage:
    """Fill small holes and drop small pieces.

    Args:
        mask: bool ``(h, w)``.
        mpp: Its microns per pixel.
        rule: The sizes.
    """
    pixel_um2 = mpp * mpp
    filled = mask | _pieces(~mask, most=rule.max_hole_um2 / pixel_um2, inner_only=True)
    small = _pieces(filled, most=rule.min_speck_um2 / pixel_um2)
    return filled & ~small


def _pieces(mask: BoolImage, most: float, inner_only: bool = False) -> BoolImage:
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


def cell_coverage(tissue: TissueMask, grid: TileGrid) -> npt.NDArray[np.float32]:
    """Share of tissue in every cell of a grid; what lies outside the slide is no tissue.

    Args:
        tissue: Mask of the whole slide.
        grid: The cells.

    Returns:
        float32 ``(R, K)``, 0 to 1.
    """
    return cell_means(tissue.mask, tissue.mpp, grid)


def cell_means(values: npt.NDArray[Any], mpp: float, grid: TileGrid) -> npt.NDArray[np.float32]:
    """Mean over every cell of a grid of a picture of the whole slide; outside it is zero.

    Exact for a picture of even squares: a square that a cell's border cuts counts with its part.

    Args:
        values: ``(h, w)``, 0 to 1; its corner is the slide's top-left corner.
        mpp: Its microns per pixel.
        grid: The cells.

    Returns:
        float32 ``(R, K)``, 0 to 1.
    """
    height, width = values.shape
    # Sum left of and above every pixel corner; between corners it is bilinear.
    summed = np.zeros((height + 1, width + 1))
    summed[1:, 1:] = values.cumsum(0, np.float64).cumsum(1)
    per_pixel = grid.slide_mpp / mpp
    rows = np.arange(grid.shape.rows)
    cols = np.arange(grid.shape.cols)
    top = (grid.origin_xy.y + rows * grid.stride_level0) * per_pixel
    left = (grid.origin_xy.x + cols * grid.stride_level0) * per_pixel
    side = grid.tile_side_level0 * per_pixel

    def area(y: npt.NDArray[Any], x: npt.NDArray[Any]) -> Any:
        points = np.meshgrid(np.clip(y, 0, height), np.clip(x, 0, width), indexing="ij")
        return ndimage.map_coordinates(summed, points, order=1, mode="nearest")

    inside = area(top + side, left + side) - area(top, left + side) - area(top + side, left) + area(top, left)
    shares: npt.NDArray[np.float32] = np.clip(inside / side**2, 0, 1).astype(np.float32)
    return shares


def _extent(length: int, mpp: float, coarse_mpp: float) -> int:
    return max(1, math.ceil(length * mpp / coarse_mpp - 1e-9))
