"""The grid of tiles over a slide, and walking its kept cells in the order in which the file stores them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from histonic.core.errors import SlideError
from histonic.core.grid import TileGrid
from histonic.core.units import LARGEST_ENLARGEMENT, MOST_ENLARGEMENT, MPP_TOLERANCE, WH, XY
from histonic.slides.base import Slide

NEARLY = 1e-6
SMALL_PX = 8
"""Tiles of at most so many pixels are cut out of blocks, which are read at once."""
BLOCK_ROWS, BLOCK_COLS = 64, 1024
"""Cells of a block; maps are written in bands of as many rows."""


def lay_tiles(
    slide: Slide,
    *,
    tile_px: int,
    mpp: float,
    stride_px: int | None = None,
    most_enlargement: float = MOST_ENLARGEMENT,
    asked: str,
    otherwise: str,
) -> TileGrid:
    """The grid of tiles of one resolution over a whole slide.

    Tiles are read at the resolution nearest to the wanted one that needs no fractional resampling, if it
    lies within 2 %.

    Args:
        slide: The opened slide.
        tile_px: Side of a tile in pixels.
        mpp: Wanted microns per pixel.
        stride_px: Step in pixels of the tiles; None means tiles that touch.
        most_enlargement: How many times a coarser slide may be enlarged.
        asked: What is wanted, for the message.
        otherwise: What can be done about a slide that is too coarse, but for enlarging it.

    Raises:
        MissingMppError: The slide has no mpp.
        SlideError: It would have to be enlarged more than is allowed.
    """
    needed = slide.mpp / mpp
    if needed > most_enlargement * (1 + NEARLY):
        allow = math.ceil(round(needed * 100, 6)) / 100
        way = f", or allow it: --most-enlargement {allow:g}" if allow <= LARGEST_ENLARGEMENT else ""
        raise SlideError(
            asked,
            f"The slide has only {slide.mpp:.4g} µm/px ({slide.mpp_source}): it would be enlarged "
            f"{needed:.3g} times, allowed are {most_enlargement:g}.",
            f"{otherwise}{way}.",
        )
    return TileGrid.over(
        slide.size_wh, slide_mpp=slide.mpp, tile_px=tile_px, mpp=best_mpp(slide, mpp), stride_px=stride_px
    )


def walk_tiles(
    slide: Slide, grid: TileGrid, mask: npt.NDArray[np.bool_], batch: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """Tiles of the kept cells in row-major order, which is the storage order of tiled files.

    Small tiles that touch come block by block, the blocks in row-major order, however many they are.

    Args:
        slide: The opened slide.
        grid: Geometry of the cells.
        mask: ``(R, K)`` bool, the cells to read.
        batch: Tiles at a time.

    Yields:
        Cells ``(N, 2)`` as rows and columns, and tiles uint8 ``(N, tile_px, tile_px, 3)`` at ``grid.mpp``.
    """
    if grid.tile_px == grid.stride_px <= SMALL_PX:
        yield from _walk_blocks(slide, grid, mask)
        return
    cells = np.argwhere(mask)
    wh = WH(grid.tile_px, grid.tile_px)
    for start in range(0, len(cells), batch):
        part = cells[start : start + batch]
        corners: list[XY] = [grid.cell_xy((int(row), int(col))) for row, col in part]
        yield part, slide.read_many(corners, wh, grid.mpp)


def _walk_blocks(
    slide: Slide, grid: TileGrid, mask: npt.NDArray[np.bool_]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """Tiles cut out of blocks of cells; a block without a kept cell is not read."""
    side = grid.tile_px
    for top in range(0, grid.shape.rows, BLOCK_ROWS):
        for left in range(0, grid.shape.cols, BLOCK_COLS):
            kept = mask[top : top + BLOCK_ROWS, left : left + BLOCK_COLS]
            cells = np.argwhere(kept)
            if not len(cells):
                continue
            wh = WH(kept.shape[1] * side, kept.shape[0] * side)
            block = slide.read(grid.cell_xy((top, left)), wh, grid.mpp)
            tiles = block.reshape(kept.shape[0], side, kept.shape[1], side, 3).swapaxes(1, 2)
            cells += np.array([top, left])
            yield cells, np.ascontiguousarray(tiles[kept])


def best_mpp(slide: Slide, mpp: float) -> float:
    """The resolution at which to read tiles wanted at ``mpp``.

    A stored resolution times a whole number, if that lies within 2 % of ``mpp``: then pixels are averaged
    by whole numbers. Of several the coarsest, which needs the fewest pixels: a level of a quarter of the
    size is rarely stored at four times the resolution to the last digit. Else ``mpp`` itself.

    Args:
        slide: The opened slide.
        mpp: Wanted microns per pixel.

    Raises:
        MissingMppError: The slide has no mpp.

    Example:
        >>> from histonic.slides.formats.array import ArraySlide
        >>> best_mpp(ArraySlide(np.zeros((9, 9, 3), np.uint8), mpp=0.2525), 0.5)
        0.505
    """
    nearest = [(native, native * max(1, round(mpp / native))) for native in slide.native_mpps()]
    fitting = [pair for pair in nearest if abs(pair[1] - mpp) <= MPP_TOLERANCE * mpp]
    return max(fitting)[1] if fitting else mpp
