"""How much of every tile each label covers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from histonic.core.grid import TileGrid
from histonic.data.annotations.shapes import Annotations, CodeMask, Region
from histonic.slides.areas import rings_of
from histonic.slides.tissue.cells import cell_means

SQUARES_PER_TILE = 8
FINEST_PIXELS_PER_TILE = 32
FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LabelShares:
    """Shares of the tiles' area.

    Attributes:
        labels: Share of each label, float32 ``(R, K)``; labels may overlap.
        drawn: Share of everything that is drawn, what is excluded among it, float32 ``(R, K)``.
    """

    labels: dict[str, FloatImage]
    drawn: FloatImage


def squares_per_tile(grid: TileGrid) -> int:
    """Raster squares along a tile's side: 8, or 16 where tiles do not begin at a border between squares."""
    fits = (grid.stride_px * SQUARES_PER_TILE) % grid.tile_px == 0
    return SQUARES_PER_TILE if fits else 2 * SQUARES_PER_TILE


def label_shares(annotations: Annotations, grid: TileGrid) -> LabelShares:
    """The share of every label in every tile.

    The regions of a label are joined and what is excluded is taken out of them, as polygons. They become a
    raster of squares, an eighth of a tile wide, each holding its covered share exactly. So the share of a
    tile is exact if its stride is a multiple of that width. With other strides the squares are a sixteenth
    wide and those that a tile's side cuts count with their part: that errs by 1/64 of the tile at most, for a
    border that runs along that side within the cut squares. Masks are exact for their own pixels; those finer
    than 1/32 of a tile are averaged first, several at a time, which errs by 1/128 at most for one border.

    Args:
        annotations: With labels, see :func:`~histonic.data.annotations.shapes.apply_rule`.
        grid: The tiles.

    Example:
        >>> grid = TileGrid.over((256, 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
        >>> half = np.array([[64.0, 0.0], [256.0, 0.0], [256.0, 128.0], [64.0, 128.0]])
        >>> label_shares(Annotations((Region("tumour", (half,)),)), grid).labels["tumour"].tolist()
        [[0.5, 1.0]]
    """
    drawn = np.zeros(grid.shape, np.float32)
    labels: dict[str, FloatImage] = {}
    if annotations.regions:
        labels, drawn = _of_regions(annotations.regions, grid)
    if annotations.mask is not None:
        coded, other = _of_mask(annotations.mask, grid)
        labels.update({name: np.maximum(share, labels.get(name, 0)) for name, share in coded.items()})
        drawn = np.maximum(drawn, other)
    return LabelShares(labels, drawn)


def _of_regions(regions: tuple[Region, ...], grid: TileGrid) -> tuple[dict[str, FloatImage], FloatImage]:
    square = grid.tile_side_level0 / squares_per_tile(grid)
    shape = (math.ceil(grid.slide_wh.h / square), math.ceil(grid.slide_wh.w / square))
    mpp = square * grid.slide_mpp

    def share(area: shapely.Geometry) -> FloatImage:
        return cell_means(covered_squares(area, square, shape), mpp, grid)

    drawn = _joined(regions)
    excluded = drawn.pop(None, None)
    if excluded is None and len(drawn) == 1:
        ((label, area),) = drawn.items()
        covered = share(area)
        return {label: covered}, covered
    shares = {label: share(_without(area, excluded)) for label, area in drawn.items()}
    everything = shapely.disjoint_subset_union_all([*drawn.values(), *([excluded] if excluded else ())])
    return shares, share(everything)


def area_of(regions: Iterable[Region], label: str) -> shapely.Geometry:
    """The area of all regions of one label, what several share counted once, without what is excluded.

    Example:
        >>> square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
        >>> area_of([Region("a", (square,)), Region("a", (square + 1,)), Region("b", (square,))], "a").area
        7.0
        >>> area_of([Region("a", (square,)), Region(None, (square + 1,))], "a").area
        3.0
    """
    drawn = _joined([region for region in regions if region.label in (label, None)])
    return _without(drawn.get(label, shapely.Polygon()), drawn.get(None))


def _joined(regions: Iterable[Region]) -> dict[Any, shapely.Geometry]:
    """The area of each label, sorted by its name."""
    held: dict[str | None, list[shapely.Polygon]] = {}
    for region in regions:
        held.setdefault(region.label, []).append(region.polygon)
    return {label: shapely.disjoint_subset_union_all(held[label]) for label in sorted(held, key=str)}


def _without(area: shapely.Geometry, excluded: shapely.Geometry | None) -> shapely.Geometry:
    if excluded is None:
        return area
    shapely.prepare(excluded)
    parts = shapely.get_parts(area)
    cut = shapely.intersects(parts, excluded)
    parts[cut] = shapely.difference(parts[cut], excluded)
    return shapely.geometrycollections(shapely.get_parts(parts))


def covered_squares(area: shapely.Geometry, side: float, shape: tuple[int, int]) -> FloatImage:
    """The covered share of every square of a raster.

    Args:
        area: Valid polygons, in level-0 pixels.
        side: Of a square, in level-0 pixels.
        shape: Rows and columns of the raster.

    Returns:
        float32 ``(rows, cols)``, 0 to 1.
    """
    raster = np.zeros(shape, np.float32)
    for polygon in shapely.get_parts(shapely.orient_polygons(area)):
        if isinstance(polygon, shapely.Polygon):  # a difference may leave lines and points
            rings = rings_of(polygon)
            rows, cols, shares = polygon_area(tuple(ring / side for ring in rings), shape)
            raster[rows, cols] += shares
    return np.minimum(raster, 1, out=raster)


def _of_mask(mask: CodeMask, grid: TileGrid) -> tuple[dict[str, FloatImage], FloatImage]:
    mpp = grid.slide_wh.w * grid.slide_mpp / mask.codes.shape[1]
    # Finer pixels are averaged first: the sums of a whole slide at full resolution would fill the memory.
    factor = max(1, int(grid.tile_px * grid.mpp / mpp / FINEST_PIXELS_PER_TILE))

    def share(codes: list[int]) -> FloatImage:
        return cell_means(_blocks(np.isin(mask.codes, codes), factor), mpp * factor, grid)

    shares = {}
    for label in sorted({name for name in mask.labels.values() if name is not None}):
        shares[label] = share([code for code, name in mask.labels.items() if name == label])
    return shares, share(list(mask.labels))


def _blocks(present: npt.NDArray[np.bool_], factor: int) -> npt.NDArray[Any]:
    """Means of squares of ``factor`` pixels; what lies beyond the border is zero."""
    if factor == 1:
        return present
    missing = [(0, -length % factor) for length in present.shape]
    rows, cols = (math.ceil(length / factor) for length in present.shape)
    squares = np.pad(present, missing).reshape(rows, factor, cols, factor)
    return squares.mean((1, 3), dtype=np.float32)  # type: ignore[no-any-return]


FloatArray = npt.NDArray[np.float64]


def polygon_area(rings: tuple[FloatArray, ...], shape: tuple[int, int]) -> tuple[slice, slice, FloatArray]:
    """The covered share of every unit square of a raster.

    The signed area left of each edge is added up in the squares it crosses, and carried on to the right
    (the exact-area scan conversion of font rasterisers, such as Levien's font-rs). For a valid polygon the
    shares are exact.

    Args:
        rings: Corners ``(n, 2)`` as x, y in squares from the raster's corner; the outline, then holes, which
            run the other way round.
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
    edges = [np.concatenate([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in rings]
    return rows, cols, _covered(np.concatenate(edges) - np.tile(low, 2), window)


def _covered(pieces: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Covered shares of squares, from the edges ``(n, 4)`` of a polygon: x, y of start and end."""
    if 0 in shape:
        return np.zeros(shape)
    rows, cols = shape
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
    return np.minimum(covered, 1.0)  # rounding


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
