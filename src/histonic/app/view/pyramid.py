"""Deep Zoom: which pixels of a slide a tile of a level shows. Levels double in size, the last is level 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from histonic.core.units import WH

TILE_PX, OVERLAP_PX = 254, 1
"""A tile inside the slide is 256 pixels wide: its own, and one of each neighbour, so that no seam shows."""


@dataclass(frozen=True)
class TileBox:
    """Where a tile lies.

    Attributes:
        xy: Top-left corner, level-0 pixels.
        wh: Size of the tile in pixels of its level.
        factor: Level-0 pixels per pixel of the level, a power of 2.
    """

    xy: tuple[int, int]
    wh: tuple[int, int]
    factor: int


@dataclass(frozen=True)
class Pyramid:
    """The levels of a slide as Deep Zoom counts them: level 0 is a single pixel, the last is full size.

    Attributes:
        size_wh: Size of the slide's level 0 in pixels.
        skipped: Finest levels that are left out, of an export at a coarser resolution.

    Example:
        >>> pyramid = Pyramid(WH(1000, 600))
        >>> pyramid.last, pyramid.level_wh(10), pyramid.level_wh(9), pyramid.tiles(10)
        (10, WH(w=1000, h=600), WH(w=500, h=300), (4, 3))
        >>> pyramid.box(9, 1, 0)
        TileBox(xy=(506, 0), wh=(247, 255), factor=2)
    """

    size_wh: WH
    skipped: int = 0

    @property
    def last(self) -> int:
        """The finest level."""
        return self._full - self.skipped

    @property
    def _full(self) -> int:
        return math.ceil(math.log2(max(self.size_wh)))

    def factor(self, level: int) -> int:
        """Level-0 pixels per pixel of a level."""
        return int(2 ** (self._full - level))

    def level_wh(self, level: int) -> WH:
        """Size of a level in its pixels; the last ones may reach over the border of the slide."""
        factor = self.factor(level)
        return WH(*(math.ceil(side / factor) for side in self.size_wh))

    def tiles(self, level: int) -> tuple[int, int]:
        """Columns and rows of tiles."""
        wide, high = self.level_wh(level)
        return math.ceil(wide / TILE_PX), math.ceil(high / TILE_PX)

    def box(self, level: int, col: int, row: int) -> TileBox | None:
        """Where a tile lies; None if there is no such tile."""
        if not 0 <= level <= self.last:
            return None
        cols, rows = self.tiles(level)
        if not (0 <= col < cols and 0 <= row < rows):
            return None
        wide, high = self.level_wh(level)
        left, top = max(0, col * TILE_PX - OVERLAP_PX), max(0, row * TILE_PX - OVERLAP_PX)
        right = min(wide, (col + 1) * TILE_PX + OVERLAP_PX)
        bottom = min(high, (row + 1) * TILE_PX + OVERLAP_PX)
        factor = self.factor(level)
        return TileBox((left * factor, top * factor), (right - left, bottom - top), factor)

    def descriptor(self, ending: str) -> str:
        """The .dzi file."""
        wide, high = self.level_wh(self.last)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="{ending}" '
            f'Overlap="{OVERLAP_PX}" TileSize="{TILE_PX}"><Size Height="{high}" Width="{wide}"/></Image>\n'
        )
