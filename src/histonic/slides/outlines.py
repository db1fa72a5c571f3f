"""Outlines of groups of cells, as polygons."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

BoolGrid = npt.NDArray[np.bool_]


def rings(cells: BoolGrid) -> list[list[list[tuple[int, int]]]]:
    """Outlines of cells that touch along a side: for each group its outer ring, then its holes.

    Args:
        cells: ``(rows, cols)``.

    Returns:
        Closed rings of corners ``(x, y)`` in cells, the outer one clockwise on the screen.

    Example:
        >>> rings(np.array([[True, True]]))
        [[[(0, 0), (2, 0), (2, 1), (0, 1), (0, 0)]]]
    """
    pieces, _ = ndimage.label(cells)
    found = []
    for number, (rows, cols) in enumerate(ndimage.find_objects(pieces), start=1):
        loops = _loops(pieces[rows, cols] == number)
        # The outer ring alone runs clockwise; the shoelace sum of holes has the other sign.
        ordered = sorted(loops, key=_doubled_area, reverse=True)
        found.append([[(x + cols.start, y + rows.start) for x, y in loop] for loop in ordered])
    return found


def _loops(cells: BoolGrid) -> list[list[tuple[int, int]]]:
    """Rings with the cells on their right-hand side."""
    padded = np.pad(cells, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, col in np.argwhere(cells):
        y, x = int(row), int(col)
        for missing, start, end in (
            (not padded[y, x + 1], (x, y), (x + 1, y)),
            (not padded[y + 1, x + 2], (x + 1, y), (x + 1, y + 1)),
            (not padded[y + 2, x + 1], (x + 1, y + 1), (x, y + 1)),
            (not padded[y + 1, x], (x, y + 1), (x, y)),
        ):
            if missing:
                steps.setdefault(start, []).append(end)
    loops = []
    while steps:
        start = here = min(steps)
        came = (0, 0)
        ring = [start]
        while True:
            ends = steps[here]
            # Where two corners meet, turn left: rings may touch at a point, none touches itself.
            left = (here[0] + came[1], here[1] - came[0])
            following = ends.pop(ends.index(left) if left in ends else 0)
            if not ends:
                del steps[here]
            going = (following[0] - here[0], following[1] - here[1])
            if going == came:
                ring[-1] = following
            else:
                ring.append(following)
            came, here = going, following
            if here == start:
                break
        loops.append(ring)
    return loops


def _doubled_area(ring: list[tuple[int, int]]) -> int:
    return sum(x * after_y - after_x * y for (x, y), (after_x, after_y) in pairwise(ring))
