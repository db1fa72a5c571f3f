"""Walking the kept cells of a slide, tile by tile, ahead of who needs them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from histonic.core.grid import TileGrid
from histonic.core.units import WH, XY
from histonic.slides.base import Slide

T = TypeVar("T")


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


@dataclass(frozen=True)
class _Raised:
    error: BaseException


def prefetched(items: Iterator[T], ahead: int) -> Iterator[T]:
    """Run an iterator in a thread of its own, at most ``ahead`` items in front of the reader.

    Closing the returned generator, or an error in the reader's loop, ends the thread.

    Example:
        >>> list(prefetched(iter("abc"), ahead=2))
        ['a', 'b', 'c']
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()
    end = object()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(end)
        except BaseException as error:  # noqa: BLE001 - handed over and raised by the reader
            put(_Raised(error))

    thread = threading.Thread(target=run, daemon=True, name="histonic-prefetch")
    thread.start()
    try:
        while (item := waiting.get()) is not end:
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        thread.join()
