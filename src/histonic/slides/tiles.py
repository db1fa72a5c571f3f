"""Walking the kept cells of a slide, tile by tile, in the order in which the file stores them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from histonic.core.grid import TileGrid
from histonic.core.units import WH, XY
from histonic.slides.base import Slide


def walk_tiles(
    slide: Slide, grid: TileGrid, mask: npt.NDArray[np.bool_], batch: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """Tiles of the kept cells in row-major order, which is the storage order of tiled files.

    Args:
        slide: The opened slide.
        grid: Geometry of the cells.
        mask: ``(R, K)`` bool, the cells to read.
        batch: Tiles at a time.

    Yields:
        Cells ``(N, 2)`` as rows and columns, and tiles uint8 ``(N, tile_px, tile_px, 3)`` at ``grid.mpp``.
    """
    cells = np.argwhere(mask)
    wh = WH(grid.tile_px, grid.tile_px)
    for start in range(0, len(cells), batch):
        part = cells[start : start + batch]
        corners: list[XY] = [grid.cell_xy((int(row), int(col))) for row, col in part]
        yield part, slide.read_many(corners, wh, grid.mpp)
