"""How much of every tile each label covers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.grid import TileGrid
from histonic.data.annotation_shapes import Annotations, CodeMask, Region
from histonic.data.polygon_area import polygon_area
from histonic.slides.tissue import cell_means

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

    Regions become a raster of squares, an eighth of a tile wide, each holding its covered share exactly.
    So the share of a tile is exact if its stride is a multiple of that width and no two regions of a label
    (or a label and what is excluded) have borders that cross the same square; each such square errs by 1/128
    of the tile at most. With other strides the squares are a sixteenth wide and those that a tile's side cuts
    count with their part: that errs by 1/64 of the tile at most, for a border that runs along that side
    within the cut squares. Masks are exact for their own pixels; those finer than 1/32 of a tile are averaged
    first, several at a time, which errs by 1/128 at most for one border.

    Args:
        annotations: With labels, see :func:`~histonic.data.annotation_shapes.apply_rule`.
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
    excluded = _raster(None, regions, shape, square)
    everything = excluded.copy()
    shares = {}
    for label in sorted({region.label for region in regions if region.label is not None}):
        raster = _raster(label, regions, shape, square)
        np.minimum(everything + raster, 1, out=everything)
        shares[label] = cell_means(np.maximum(raster - excluded, 0), mpp, grid)
    return shares, cell_means(everything, mpp, grid)


def _raster(
    label: str | None, regions: tuple[Region, ...], shape: tuple[int, int], square: float
) -> FloatImage:
    """Covered share of every square by the regions of one label."""
    raster = np.zeros(shape, np.float32)
    for region in regions:
        if region.label == label:
            rows, cols, area = polygon_area(tuple(ring / square for ring in region.rings), shape)
            raster[rows, cols] = np.minimum(raster[rows, cols] + area, 1)
    return raster


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
