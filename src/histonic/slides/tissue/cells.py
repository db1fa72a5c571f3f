"""Shares of a picture of the whole slide in the cells of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.grid import TileGrid
from histonic.slides.tissue.rule import TissueMask

ROUNDING = 1e-6


def cell_coverage(tissue: TissueMask, grid: TileGrid) -> npt.NDArray[np.float32]:
    """Share of tissue in every cell of a grid; what lies outside the slide is no tissue.

    Args:
        tissue: Mask of the whole slide.
        grid: The cells.

    Returns:
        float32 ``(R, K)``, 0 to 1.
    """
    return cell_means(tissue.mask, tissue.mpp, grid)


def enough_tissue(shares: npt.NDArray[np.float32], least: float) -> npt.NDArray[np.bool_]:
    """Which cells hold at least a share of tissue; at least none means any at all.

    Example:
        >>> enough_tissue(np.array([0.0, 0.01, 0.25], np.float32), 0).tolist()
        [False, True, True]
    """
    # A millionth of a cell is what rounding leaves of none.
    enough: npt.NDArray[np.bool_] = shares > ROUNDING if least <= ROUNDING else shares >= least
    return enough


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
    per_pixel = grid.slide_mpp / mpp
    side = grid.tile_side_level0 * per_pixel
    top = (grid.origin_xy.y + np.arange(grid.shape.rows) * grid.stride_level0) * per_pixel
    left = (grid.origin_xy.x + np.arange(grid.shape.cols) * grid.stride_level0) * per_pixel
    # Sums above every border between rows; between borders they grow evenly. Then the same to the right.
    above = np.zeros((height + 1, width))
    values.cumsum(0, np.float64, out=above[1:])
    of_rows = _between(above, top + side) - _between(above, top)
    before = np.zeros((width + 1, len(top)))
    of_rows.T.cumsum(0, out=before[1:])
    inside = (_between(before, left + side) - _between(before, left)).T
    shares: npt.NDArray[np.float32] = np.clip(inside / side**2, 0, 1).astype(np.float32)
    return shares


def _between(summed: npt.NDArray[np.float64], at: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Rows of a table of sums, linearly between them; beyond its ends those at the ends."""
    at = np.clip(at, 0, len(summed) - 1)
    first = np.minimum(at.astype(int), len(summed) - 2)
    part = (at - first)[:, None]
    rows: npt.NDArray[np.float64] = summed[first] * (1 - part) + summed[first + 1] * part
    return rows
