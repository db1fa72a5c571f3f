"""What spoils cells of tissue: pen, folds and dark spots in the picture of a slide; tiles out of focus."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from histonic.core.processes.cores import usable_cores
from histonic.core.processes.threads import mapped_by_threads
from histonic.slides.tissue.rule import BoolImage, FloatImage, TissueMask
from histonic.slides.tissue.shapes import opened

# Folds are looked for at about so many microns per pixel, or at what the picture has.
FOLDS_MPP = 16.0
# Mean density of the three channels (natural logarithm), above which a place is tissue, and may be a fold.
TISSUE = 0.08
LEAST_FOLD = 0.35
LOOK_UM = 40.0
AROUND_UM = 700.0
# Doubled tissue is denser in every channel; lymphocytes, glands and a positive stain mostly in some.
DENSER = 1.7
EVERY_CHANNEL = 1.5
PLAIN = 1.4
NARROWEST_UM = 32.0
WIDEST_UM = 350.0
SHORTEST_UM = 300.0
LENGTH2_OVER_AREA = 3.0
# Hardly any light in any channel: pigment, dirt, tissue in several layers, of whatever shape.
DARK = 1.6
# Squares with less energy (squared density) show too little to be in or out of focus, and so does a tile
# with fewer others.
LEAST_ENERGY = 1e-4
LEAST_SHARE = 1 / 16
CHUNK_PX = 2**18
# Of four summed grey levels; the offset keeps the noise of black pixels small.
_DENSITY: npt.NDArray[np.float32] = -np.log((np.arange(1021, dtype=np.float32) + 32) / 1052)


def find_folds(density: npt.NDArray[np.floating[Any]], ink: BoolImage, mpp: float) -> TissueMask:
    """Folds and dark spots: tissue at least 1.7 times as dense as what lies around it.

    A fold is a band of 32 to 350 µm and at least 300 µm long, denser in every channel; a dark spot lets
    hardly any light through. Tissue around is that within 350 µm, without what is itself denser.

    Args:
        density: Optical density over the glass (natural logarithm), ``(3, h, w)``.
        ink: bool ``(h, w)``, which is neither.
        mpp: Microns per pixel.

    Returns:
        The mask, coarser than the picture where that is finer than 16 µm/px.

    Example:
        >>> density = np.full((3, 100, 100), 0.4, np.float32)
        >>> density[:, :, 40:48] *= 2.2
        >>> found = find_folds(density, np.zeros((100, 100), bool), 16.0)
        >>> int(found.mask[:, 41:47].sum()), int(found.mask[:, :36].sum())
        (600, 0)
    """
    step = max(1, int(FOLDS_MPP / mpp))
    planes = [_shrunk(plane, step) for plane in density]
    mpp *= step
    mean = _mean_of(planes)
    tissue = (mean > TISSUE) & ~(_shrunk(ink, step) > 0)
    look, reach = (max(1, round(um / mpp) | 1) for um in (LOOK_UM, AROUND_UM))
    local = _means_where([np.maximum(plane, 0) for plane in planes], tissue, look)
    mean = _mean_of(local)
    plain = tissue & (mean < PLAIN * _means_where([mean], tissue, reach)[0])
    around, *by_plane = _means_where([mean, *local], plain, reach)
    denser = tissue & (mean > DENSER * np.maximum(around, TISSUE))
    dark = denser & (np.minimum(np.minimum(local[0], local[1]), local[2]) > DARK)
    denser &= mean > LEAST_FOLD
    for plane, plane_around in zip(local, by_plane, strict=True):
        denser &= plane > EVERY_CHANNEL * np.maximum(plane_around, 0.05)
    bands = opened(denser, max(1, round(NARROWEST_UM / 2 / mpp)))
    bands &= ~opened(bands, max(1, round(WIDEST_UM / 2 / mpp)))
    return TissueMask(_long_pieces(bands, mpp) | dark, mpp)


def _shrunk(plane: npt.NDArray[Any], step: int) -> FloatImage:
    """Means over squares of ``step`` pixels, those at the border of what there is."""
    rows, cols = (-(-side // step) * step for side in plane.shape)
    padded = np.pad(
        plane.astype(np.float32), ((0, rows - plane.shape[0]), (0, cols - plane.shape[1])), mode="edge"
    )
    mean: FloatImage = padded.reshape(rows // step, step, cols // step, step).mean((1, 3))
    return mean


def _mean_of(planes: list[FloatImage]) -> FloatImage:
    mean: FloatImage = (planes[0] + planes[1] + planes[2]) * np.float32(1 / 3)
    return mean


def _means_where(planes: list[FloatImage], where: BoolImage, side: int) -> list[FloatImage]:
    """Of each plane the mean over a square around each pixel, of the pixels that count."""

    def filtered(plane: FloatImage) -> FloatImage:
        mean: FloatImage = ndimage.uniform_filter(plane, side, mode="constant")
        return mean

    counts = where.astype(np.float32)
    totals = mapped_by_threads(filtered, [counts, *(plane * counts for plane in planes)], usable_cores())
    weight: FloatImage = np.maximum(next(totals), np.float32(1e-3))
    return [total / weight for total in totals]


def _long_pieces(bands: BoolImage, mpp: float) -> BoolImage:
    labels, count = ndimage.label(bands, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    long = np.zeros(count + 1, bool)
    for at, box in enumerate(ndimage.find_objects(labels), start=1):
        length = float(np.hypot(*(side.stop - side.start for side in box)))
        long[at] = length * mpp >= SHORTEST_UM and length**2 >= LENGTH2_OVER_AREA * sizes[at]
    return np.asarray(long[labels])


def focus_of(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How much fine detail tiles have for their coarser detail; to be compared within a slide only.

    Energies of the optical density in the green channel, by Haar's averages over squares: what an average
    over 2 pixels keeps and one over 4 loses, over what one over 4 keeps and one over 8 loses; of all squares
    of 8 pixels that show anything the median, so that the edge of a piece does not tell for the tile. A
    stronger stain changes both alike, and noise of single pixels is hardly in either.

    Args:
        tiles: uint8 ``(N, H, W, 3)`` RGB, sides of at least 8 pixels.

    Returns:
        float32 ``(N,)``: the base-2 logarithm of the ratio; one less is half the energy. NaN for tiles that
        show hardly anything.

    Example:
        >>> sharp = np.random.default_rng(0).integers(60, 200, (1, 64, 64, 3), np.uint8)
        >>> dim = ndimage.gaussian_filter(sharp, (0, 3, 3, 0))
        >>> bool(focus_of(dim) < focus_of(sharp) - 1), focus_of(np.full((1, 64, 64, 3), 200, np.uint8))
        (True, array([nan], dtype=float32))
    """
    # Few at a time, so that what is worked with stays near the core.
    some = max(1, CHUNK_PX // max(1, tiles.shape[1] * tiles.shape[2]))
    parts = [_focus_of_some(tiles[start : start + some]) for start in range(0, len(tiles), some)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _focus_of_some(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    rows, cols = (side // 8 * 8 for side in tiles.shape[1:3])
    if not rows or not cols:
        return np.full(len(tiles), np.nan, np.float32)
    green = tiles[:, :rows, :cols, 1].astype(np.uint16)
    by_rows = green[:, ::2] + green[:, 1::2]
    planes = [_DENSITY[by_rows[:, :, ::2] + by_rows[:, :, 1::2]]]
    for _ in range(2):
        halved = planes[-1][:, ::2] + planes[-1][:, 1::2]
        planes.append((halved[:, :, ::2] + halved[:, :, 1::2]) * np.float32(0.25))
    two, four, eight = planes
    # By squares of 8 pixels, of which the middle one counts, lest the edge of a piece tells for the tile.
    fine = np.zeros(eight.shape, np.float32)
    middle = np.zeros(eight.shape, np.float32)
    for row in (0, 1):
        for col in (0, 1):
            mean = four[:, row::2, col::2]
            middle += (mean - eight) ** 2
            for y in (0, 1):
                for x in (0, 1):
                    fine += (two[:, 2 * row + y :: 4, 2 * col + x :: 4] - mean) ** 2
    fine /= 16
    middle /= 4
    squares = np.maximum(fine, LEAST_ENERGY / 100) / np.maximum(middle, LEAST_ENERGY / 100)
    squares[fine + middle < LEAST_ENERGY] = np.inf
    ratio = squares.reshape(len(tiles), rows // 8 * (cols // 8))
    ratio.sort(axis=1)
    known = np.isfinite(ratio).sum(1)
    middle_one = ratio[np.arange(len(tiles)), np.maximum(known - 1, 0) // 2]
    enough = known >= LEAST_SHARE * ratio.shape[1]
    return np.log2(np.where(enough, middle_one, np.nan)).astype(np.float32)
