"""Maps of numbers to points: cells higher than those around them, at least a distance apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

from histonic.core.compressed import CellMap
from histonic.core.grid import TileGrid

FloatArray = npt.NDArray[np.float64]


class Points(NamedTuple):
    """Places on a slide, the highest first.

    Attributes:
        xy: ``(n, 2)`` level-0 pixels: the middle of the cell's tile.
        values: ``(n,)``.
    """

    xy: FloatArray
    values: FloatArray

    def above(self, least: float) -> Points:
        """Those of at least a value."""
        kept = self.values >= least
        return Points(self.xy[kept], self.values[kept])


def cell_middles(grid: TileGrid, cells: npt.NDArray[np.integer]) -> FloatArray:
    """The middles ``(n, 2)`` of the tiles of cells ``(n, 2)`` (row, column), level-0 pixels (x, y).

    Example:
        >>> grid = TileGrid.over((1024, 512), slide_mpp=0.25, tile_px=128, mpp=0.5)
        >>> cell_middles(grid, np.array([[1, 2]])).tolist()
        [[640.0, 384.0]]
    """
    origin = np.array(grid.origin_xy, np.float64) + grid.tile_side_level0 / 2
    return np.asarray(origin + cells[:, ::-1] * grid.stride_level0, np.float64)


def pick_points(cells: CellMap, *, above: float, radius_um: float = 0.0) -> Points:
    """The local maxima of a map, of which those near to a higher one are left out.

    A local maximum is no lower than the eight cells around it. They are taken from the highest to the lowest,
    each unless one nearer to it than the radius was taken before (non-maximum suppression; of equal ones that
    of the upper row, then of the left column is first). So no two points are nearer to each other than the
    radius, and each maximum left out has one at least as high nearer than that.

    Args:
        cells: Numbers by cell; NaN is no maximum.
        above: Only cells higher than this.
        radius_um: Distance in microns between the middles of tiles; 0: all maxima.

    Example:
        >>> values = np.array([[0.1, 0.9, 0.2, 0.8, np.nan, 0.7]], np.float32)
        >>> grid = TileGrid.over((1536, 256), slide_mpp=0.25, tile_px=128, mpp=0.5)
        >>> points = pick_points(CellMap("a", values, grid, "test"), above=0.5, radius_um=150.0)
        >>> points.xy.tolist(), points.values.round(1).tolist()
        ([[384.0, 128.0], [1408.0, 128.0]], [0.9, 0.7])
    """
    values = np.where(np.isfinite(cells.values), cells.values, -np.inf)
    around = ndimage.maximum_filter(values, size=3, mode="constant", cval=-np.inf)
    places = np.argwhere((values == around) & (values > above))
    heights = values[tuple(places.T)].astype(np.float64)
    order = np.argsort(-heights, kind="stable")
    xy, heights = cell_middles(cells.grid, places[order]), heights[order]
    if radius_um > 0 and len(xy):
        # Within a ball lies also what is exactly as far away as its radius.
        within = np.nextafter(radius_um, 0)
        um = xy * float(cells.grid.slide_mpp)
        near = KDTree(um).query_ball_point(um, within)
        kept = np.ones(len(um), bool)
        for number, others in enumerate(near):
            if kept[number]:
                kept[[other for other in others if other > number]] = False
        xy, heights = xy[kept], heights[kept]
    return Points(xy, heights)
