"""Outlines of groups of cells, as polygons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from scipy import ndimage

BoolGrid = npt.NDArray[np.bool_]


def rings(cells: BoolGrid) -> list[list[list[tuple[int, int]]]]:
    """Outlines of cells that touch along a side: for each group its outer ring, then its holes.

    Args:
        cells: ``(rows, cols)``.

    Returns:
        Closed rings of corners ``(x, y)`` in cells, the outer one clockwise on the screen; groups in the
        order of :func:`scipy.ndimage.label`.

    Example:
        >>> rings(np.array([[True, True]]))
        [[[(0, 0), (2, 0), (2, 1), (0, 1), (0, 0)]]]
    """
    padded = np.pad(cells, 1)
    y, x = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    across = np.stack([x, y, x + 1, y], axis=1)
    y, x = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    down = np.stack([x, y, x, y + 1], axis=1)
    borders = shapely.linestrings(np.concatenate([across, down]).reshape(-1, 2, 2).astype(float))
    # Holes are faces, too. A normalised ring begins at its least corner: right of it and below is its inside.
    faces = shapely.normalize(shapely.get_parts(shapely.polygonize(borders)))
    least = shapely.get_coordinates(shapely.get_point(shapely.get_exterior_ring(faces), 0)).astype(int)
    pieces, _ = ndimage.label(cells)
    number = pieces[least[:, 1], least[:, 0]]
    order = np.argsort(number, kind="stable")
    kept = faces[order[number[order] > 0]]
    return [_corners(polygon) for polygon in shapely.orient_polygons(shapely.simplify(kept, 0))]


def _corners(polygon: shapely.Polygon) -> list[list[tuple[int, int]]]:
    loops = [polygon.exterior, *polygon.interiors]
    return [[(int(x), int(y)) for x, y in shapely.get_coordinates(loop)] for loop in loops]
