"""The one place where grid cells, level-0 pixels and microns are converted into each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

from histonic.core.errors import SettingsError
from histonic.core.units import RC, WH, XY, Number, Shape


@dataclass(frozen=True)
class TileGrid:
    """A lattice of square tiles over a slide; numbers only, no pixels.

    Attributes:
        origin_xy: Level-0 pixel of the top-left corner of cell (0, 0).
        tile_px: Side of a tile, in pixels at ``mpp``.
        stride_px: Step from tile to tile, in pixels at ``mpp``.
        mpp: Microns per pixel at which tiles are read.
        slide_mpp: Microns per pixel of level 0.
        slide_wh: Size of level 0 in pixels.
        shape: Rows and columns of the lattice.

    Example:
        >>> grid = TileGrid.over((1024, 512), slide_mpp=0.25, tile_px=128, mpp=0.5)
        >>> grid.shape, grid.cell_xy((1, 2)), grid.tile_side_level0
        (Shape(rows=2, cols=4), XY(x=512.0, y=256.0), 256.0)
    """

    origin_xy: XY
    tile_px: int
    stride_px: int
    mpp: Number
    slide_mpp: Number
    slide_wh: WH
    shape: Shape

    def __post_init__(self) -> None:
        for name in ("tile_px", "stride_px", "mpp", "slide_mpp", "slide_wh", "shape"):
            value = getattr(self, name)
            least, most = (min(value), max(value)) if isinstance(value, tuple) else (value, value)
            if not 0 < least <= most < math.inf:
                raise SettingsError("Lay a tile grid.", f"{name} is {value!r}.", f"Give a positive {name}.")

    @classmethod
    def over(
        cls,
        slide_wh: tuple[int, int],
        *,
        slide_mpp: float,
        tile_px: int,
        mpp: float,
        stride_px: int | None = None,
    ) -> TileGrid:
        """The grid that covers a whole slide from its top-left corner.

        The last row and column may reach over the border, where pixels are white.

        Args:
            slide_wh: Level-0 size in pixels.
            slide_mpp: Level-0 microns per pixel.
            tile_px: Tile side in pixels at ``mpp``.
            mpp: Microns per pixel at which tiles are read.
            stride_px: Step in pixels at ``mpp``; None means tiles that touch.
        """
        stride = tile_px if stride_px is None else stride_px
        step = stride * mpp / slide_mpp
        side = tile_px * mpp / slide_mpp
        # Enough to reach the border; where tiles stand apart, none that begins beyond it.
        reach = max(side, step)
        cols, rows = (max(1, math.ceil((extent - reach) / step - 1e-9) + 1) for extent in slide_wh)
        return cls(XY(0, 0), tile_px, stride, mpp, slide_mpp, WH(*slide_wh), Shape(rows, cols))

    @property
    def scale(self) -> float:
        """Level-0 pixels per tile pixel."""
        return self.mpp / self.slide_mpp

    @property
    def enlarged(self) -> float:
        """How many times level-0 pixels are enlarged for a tile; 1 if they are averaged or taken as is.

        Example:
            >>> TileGrid.over((512, 512), slide_mpp=0.62, tile_px=128, mpp=0.5).enlarged
            1.24
        """
        return max(1.0, self.slide_mpp / self.mpp)

    @property
    def tile_side_level0(self) -> float:
        """Side of a tile in level-0 pixels."""
        return self.tile_px * self.scale

    @property
    def stride_level0(self) -> float:
        """Step between tiles in level-0 pixels."""
        return self.stride_px * self.scale

    @property
    def cell_um(self) -> float:
        """Step between cells in microns."""
        return self.stride_px * self.mpp

    def cell_xy(self, rc: tuple[int, int]) -> XY:
        """Level-0 pixel of the top-left corner of a cell."""
        row, col = rc
        return XY(self.origin_xy.x + col * self.stride_level0, self.origin_xy.y + row * self.stride_level0)

    @property
    def square_origin_xy(self) -> XY:
        """Level-0 pixel of the top-left corner of the square of cell (0, 0), see :meth:`square_xy`."""
        inwards = (self.tile_side_level0 - self.stride_level0) / 2
        return XY(self.origin_xy.x + inwards, self.origin_xy.y + inwards)

    def square_xy(self, rc: tuple[int, int]) -> XY:
        """Level-0 pixel of the top-left corner of the square that a cell stands for.

        It is one stride wide and lies around the middle of the cell's tile, so that squares touch whether
        tiles overlap, touch or stand apart; where they touch, it is the tile.

        Example:
            >>> grid = TileGrid.over((512, 512), slide_mpp=0.5, tile_px=128, mpp=0.5, stride_px=64)
            >>> grid.cell_xy((0, 1)), grid.square_xy((0, 1))
            (XY(x=64.0, y=0.0), XY(x=96.0, y=32.0))
        """
        row, col = rc
        origin = self.square_origin_xy
        return XY(origin.x + col * self.stride_level0, origin.y + row * self.stride_level0)

    def cell_at(self, xy: tuple[float, float]) -> RC:
        """The cell whose square holds a level-0 pixel: the middle of its tile is the nearest.

        It may lie outside ``shape``.
        """
        (x, y), origin = xy, self.square_origin_xy
        return RC(
            math.floor((y - origin.y) / self.stride_level0),
            math.floor((x - origin.x) / self.stride_level0),
        )
