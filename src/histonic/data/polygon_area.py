"""How much of every square of a raster a polygon covers, exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def polygon_area(rings: tuple[FloatArray, ...], shape: tuple[int, int]) -> tuple[slice, slice, FloatArray]:
    """The covered share of every unit square of a raster.

    The signed area left of each edge is added up in the squares it crosses, and carried on to the right
    (the exact-area scan conversion of font rasterisers, such as Levien's font-rs). For rings that do not
    cross themselves the shares are exact; where a ring winds twice, or the other way round, an area counts
    once, and only squares that several of its edges cross may err.

    Args:
        rings: Corners ``(n, 2)`` as x, y in squares from the raster's corner; the outline, then holes.
        shape: Rows and columns of the raster.

    Returns:
        Rows and columns that the polygon reaches, and float64 shares of them, 0 to 1.

    Example:
        >>> triangle = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
        >>> polygon_area((triangle,), (3, 3))[2].tolist()
        [[1.0, 0.5], [0.5, 0.0]]
    """
    size = np.array(shape[::-1])
    low = np.clip(np.floor(rings[0].min(0)), 0, size).astype(int)
    high = np.clip(np.ceil(rings[0].max(0)), low, size).astype(int)
    rows, cols = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    window = (rows.stop - rows.start, cols.stop - cols.start)
    area = np.zeros(window)
    if area.size:
        area = _ring_area(rings[0] - low, window)
        for hole in rings[1:]:
            area -= _ring_area(hole - low, window)
    return rows, cols, np.clip(area, 0, 1)


def _ring_area(ring: FloatArray, shape: tuple[int, int]) -> FloatArray:
    rows, cols = shape
    pieces = np.concatenate([ring, np.roll(ring, -1, axis=0)], axis=1)  # x, y of start and end
    # After both cuts each piece lies within one square, or beyond the raster.
    pieces = _cut(_cut(pieces, 1, rows), 0, cols)
    x = np.clip(pieces[:, [0, 2]], 0, cols).mean(1)
    y = np.clip(pieces[:, [1, 3]], 0, rows)
    rise = y[:, 1] - y[:, 0]
    kept = rise != 0
    x, rise, row = x[kept], rise[kept], np.minimum(y[kept].mean(1).astype(int), rows - 1)
    col = np.minimum(x.astype(int), cols)
    right = rise * (x - col)
    places = row * (cols + 2) + col
    count = rows * (cols + 2)
    sums = np.bincount(places, rise - right, count) + np.bincount(places + 1, right, count)
    covered: FloatArray = np.abs(sums.reshape(rows, cols + 2).cumsum(1)[:, :cols])
    return np.minimum(covered, 1.0)


def _cut(pieces: FloatArray, axis: int, size: int) -> FloatArray:
    """Cut edges where they cross the lines 0 to ``size`` of the raster along an axis (0: x, 1: y)."""
    start, end = pieces[:, axis], pieces[:, axis + 2]
    first = np.maximum(np.floor(np.minimum(start, end)) + 1, 0)
    last = np.minimum(np.ceil(np.maximum(start, end)) - 1, size)
    crossings = np.maximum(last - first + 1, 0).astype(int)
    edge = np.repeat(np.arange(len(pieces)), crossings + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(crossings + 1) - crossings - 1, crossings + 1)
    falling = (end < start)[edge]
    span = np.where(end == start, 1.0, end - start)[edge]

    def share(step: npt.NDArray[np.int_]) -> FloatArray:
        """Where on its edge the ``step``-th crossing lies, 0 to 1, counted from the edge's start."""
        line = np.where(falling, last[edge] + 1 - step, first[edge] + step - 1)
        inner = np.clip((line - start[edge]) / span, 0, 1)
        return np.where(step == 0, 0.0, np.where(step > crossings[edge], 1.0, inner))[:, None]

    begin, way = pieces[edge, :2], pieces[edge, 2:] - pieces[edge, :2]
    cut = np.concatenate([begin + share(step) * way, begin + share(step + 1) * way], axis=1)
    # Points on a line lie on it to the last digit, else a sliver would land in the next square.
    near = np.rint(cut[:, [axis, axis + 2]])
    snapped = np.where(np.abs(cut[:, [axis, axis + 2]] - near) < 1e-9, near, cut[:, [axis, axis + 2]])
    cut[:, [axis, axis + 2]] = snapped
    return cut
