"""Tiles at positions to cells of one lattice: exactly, or each to its nearest cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.01
"""Of a step; rounding of positions, which moves no tile."""
MOST_COLLISIONS = 0.05
"""Share of a slide's tiles that may be dropped since another one overlaps their cell more."""
MOST_CELLS = 40_000_000
"""Of a lattice; positions that need more are not those of tiles of this size."""
_ROUNDING = 0.75
"""Positions are whole numbers where a step is none: so far they are from the true place, at most."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    """A lattice and which of its cells each tile has.

    Attributes:
        origin: ``(x, y)`` of the top-left corner of cell (0, 0), in the unit of the positions.
        step: From cell to cell, in the same unit.
        cells: int64 ``(N, 2)`` rows and columns, none negative.
        kept: ``(N,)``: False for tiles whose cell another tile overlaps more.
        shifted: Tiles that were moved by more than rounding.
        largest_shift: Largest distance along an axis that a tile was moved by, in steps; at most 0.5.
    """

    origin: tuple[float, float]
    step: float
    cells: npt.NDArray[np.int64]
    kept: npt.NDArray[np.bool_]
    shifted: int = 0
    largest_shift: float = 0.0

    @property
    def dropped(self) -> int:
        """Tiles whose cell another tile overlaps more."""
        return int((~self.kept).sum())


def exact_lattice(xy: Floats, step: float) -> Lattice | None:
    """The lattice on which all tiles lie; None if they lie on none.

    A step that is no whole number, of positions that were rounded to such, is found from them.

    Args:
        xy: ``(N, 2)`` top-left corners, N > 0.
        step: From tile to tile, in the same unit.

    Example:
        >>> found = exact_lattice(np.array([[300.0, 20.0], [100.0, 220.0]]), 100.0)
        >>> found.origin, found.cells.tolist()
        ((0.0, 20.0), [[0, 3], [2, 1]])
    """
    first = xy.min(axis=0)
    places = (xy - first) / step
    cells = np.floor(places + 0.5)
    slack = 1e-4 * step
    if np.abs(places - cells).max() > TOLERANCE:
        found = _rounded(xy, step)
        if found is None:
            return None
        first, step, cells = found
        slack = _ROUNDING
    before = np.floor((first + slack) / step)
    origin = np.maximum(first - before * step, 0.0)
    return Lattice(
        (float(origin[0]), float(origin[1])),
        step,
        (cells + before)[:, ::-1].astype(np.int64),
        np.ones(len(xy), bool),
    )


def _rounded(xy: Floats, step: float) -> tuple[Floats, float, Floats] | None:
    """First position, step and places of positions that are rounded multiples of a broken step."""
    cells, columns = np.empty_like(xy), []
    for axis in (0, 1):
        values, inverse = np.unique(xy[:, axis], return_inverse=True)
        index = np.concatenate([[0.0], np.cumsum(np.floor(np.diff(values) / step + 0.5))])
        if (np.diff(index) < 1).any():
            return None
        cells[:, axis] = index[inverse]
        columns.append((values, index))
    # One step for both axes, each with a first position of its own, by least squares.
    rows = np.concatenate([index - index.mean() for _, index in columns])
    seen = np.concatenate([values - values.mean() for values, _ in columns])
    if not rows.any():
        return None
    fitted = float(rows @ seen / (rows @ rows))
    first = np.array([values.mean() - fitted * index.mean() for values, index in columns])
    if np.abs(xy - first - cells * fitted).max() > _ROUNDING or abs(fitted - step) > 1:
        return None
    return first, fitted, cells


def nearest_lattice(xy: Floats, step: float) -> Lattice:
    """The lattice of most tiles, and for every tile its nearest cell.

    Tools that begin a new lattice at each piece of tissue leave tiles between each other's lattices. The
    lattice on which most tiles lie stays; the others are moved by at most half a step along each axis. Of
    tiles that come to one cell the one that overlaps it more is kept, of equal ones the first.

    Args:
        xy: ``(N, 2)`` top-left corners, N > 0.
        step: From tile to tile, in the same unit.

    Example:
        >>> found = nearest_lattice(np.array([[0.0, 0.0], [100.0, 0.0], [240.0, 10.0]]), 100.0)
        >>> found.cells.tolist(), found.shifted, round(found.largest_shift, 2)
        ([[0, 0], [0, 1], [0, 2]], 1, 0.4)
    """
    residues = np.round(np.mod(xy, step), 6) % step
    found, counts = np.unique(residues, axis=0, return_counts=True)
    origin = found[int(np.argmax(counts))].copy()
    places = (xy - origin) / step
    cells = np.floor(places + 0.5)
    moved = np.abs(places - cells)
    below = np.minimum(cells.min(axis=0), 0)
    overlap = np.prod(1 - moved, axis=1)
    order = np.lexsort((np.arange(len(xy)), -overlap, cells[:, 0], cells[:, 1]))
    same = (np.diff(cells[order], axis=0) == 0).all(axis=1)
    kept = np.ones(len(xy), bool)
    kept[order[1:][same]] = False
    origin += below * step
    return Lattice(
        (float(origin[0]), float(origin[1])),
        step,
        (cells - below)[:, ::-1].astype(np.int64),
        kept,
        int((moved > TOLERANCE).any(axis=1).sum()),
        float(moved.max()),
    )


def least_step(xy: npt.NDArray[Any]) -> float | None:
    """The step of tiles nobody states one of: the least distance of neighbours in a row or column.

    Args:
        xy: ``(N, 2)`` top-left corners.

    Returns:
        None if no two tiles share a row or a column.

    Example:
        >>> least_step(np.array([[0, 0], [512, 0], [256, 512]]))
        512.0
    """
    found = []
    for axis in (0, 1):
        order = np.lexsort((xy[:, axis], xy[:, 1 - axis]))
        along, across = xy[order, axis], xy[order, 1 - axis]
        gaps = np.diff(along)[(np.diff(across) == 0) & (np.diff(along) > 0)]
        if len(gaps):
            # The most frequent gap: pieces with lattices of their own stand at any distance from each other.
            values, counts = np.unique(gaps, return_counts=True)
            found.append((int(counts.max()), -float(values[int(np.argmax(counts))])))
    return -max(found)[1] if found else None


def lattice_shape(lattice: Lattice, extent: tuple[float, float] | None, side: float) -> tuple[int, int]:
    """Rows and columns of a lattice that reaches over a slide, or over its tiles where that is not known.

    Args:
        lattice: The lattice.
        extent: Width and height of the slide, in the unit of the lattice.
        side: Of a tile.

    Example:
        >>> lattice_shape(Lattice((0, 0), 256, np.array([[1, 2]]), np.ones(1, bool)), (1000, 600), 256)
        (3, 4)
    """
    rows, cols = (lattice.cells.max(axis=0) + 1).tolist()
    if extent is not None:
        reach = max(side, lattice.step)
        wide, high = (
            max(1, math.ceil((whole - first - reach) / lattice.step - 1e-9) + 1)
            for whole, first in zip(extent, lattice.origin, strict=True)
        )
        rows, cols = max(rows, high), max(cols, wide)
    return rows, cols
