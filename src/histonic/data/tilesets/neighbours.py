"""Which tiles touch which on their slide, for methods that learn from pairs (Tellez et al. 2019)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from histonic.data.tilesets.listing import Texts

BESIDE = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""Where a tile lies that shares a side: to the right, to the left, below, above."""
OFF_GRID, LEAST_FILLED = 0.02, 1e-4
"""Part of a step that places may lie off a grid; share of its cells that hold a tile, else it is none."""
SLACK = 0.02
"""Share of a tile's side by which a place may be off: corners are whole pixels."""
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def touching_tiles(
    places: FloatArray, sides: FloatArray, group: Texts, slide: Texts, split: Texts
) -> IntArray:
    """For each tile those of the same slide and split that share a side with it.

    Args:
        places: ``(N, 2)`` x and y of the top-left corners in level-0 pixels, NaN where unknown.
        sides: ``(N,)`` sides of the tiles in level-0 pixels; where NaN, the step of the slide's grid is taken
            for it: the smallest step between two columns or rows of its tiles.
        group: ``(N,)``, stands in for the slide where that is unknown.
        slide: ``(N,)``, empty where unknown.
        split: ``(N,)`` train, val or test.

    Returns:
        ``(N, 4)`` rows of the tiles to the right, to the left, below and above (of several at a place the
        first); -1 where none is, or where place or slide is unknown.

    Example:
        >>> places = np.array([[0.0, 0.0], [900.0, 0.0], [128.0, 0.0]])
        >>> names = (np.array([each] * 3) for each in ("patient", "slide", "train"))
        >>> touching_tiles(places, np.full(3, 128.0), *names).tolist()
        [[2, -1, -1, -1], [-1, -1, -1, -1], [-1, 0, -1, -1]]
    """
    found = np.full((len(places), len(BESIDE)), -1, dtype=np.int64)
    known = ~np.isnan(places).any(axis=1) & ((group != "") | (slide != ""))
    members: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(known):
        members.setdefault((str(group[row]), str(slide[row])), []).append(int(row))
    for own in members.values():
        rows = np.array(own)
        # The step is that of the whole slide, of which a split may hold few tiles.
        side = np.where(np.isnan(sides[rows]), _step(places[rows]), sides[rows])
        for part in np.unique(split[rows].astype(str)):
            here = split[rows].astype(str) == part
            found[rows[here]] = _beside(places[rows[here]], side[here], rows[here])
    return found


def _step(places: FloatArray) -> float:
    """The smallest step between columns or rows of tiles; NaN where they lie in one place, or on no grid."""
    steps = [np.diff(np.unique(places[:, axis])) for axis in (0, 1)]
    every = np.concatenate(steps)
    if not len(every):
        return np.nan
    step = float(every.min())
    cells = (places - places.min(axis=0)) / step
    whole = bool(np.all(np.abs(cells - np.round(cells)) <= OFF_GRID))
    filled = len(places) / float(np.prod(cells.max(axis=0) + 1))
    return step if whole and filled >= LEAST_FILLED else np.nan


def _beside(places: FloatArray, side: FloatArray, rows: IntArray) -> IntArray:
    there, first = np.unique(places, axis=0, return_index=True)
    tree = cKDTree(there)
    found = np.full((len(places), len(BESIDE)), -1, dtype=np.int64)
    sure = np.flatnonzero(~np.isnan(side))
    for number, step in enumerate(BESIDE):
        wanted = places[sure] + np.array(step) * side[sure, None]
        distance, at = tree.query(wanted)
        reach = np.minimum(np.maximum(1.0, SLACK * side[sure]), side[sure] / 4)
        # A tile does not touch itself, however small the step is.
        near = (distance <= reach) & (rows[first[at]] != rows[sure])
        found[sure[near], number] = rows[first[at[near]]]
    return found


def count_touching(neighbours: IntArray, rows: IntArray) -> int:
    """How many of some tiles touch another."""
    return int((neighbours[rows] >= 0).any(axis=1).sum())
