"""The rectangle of cells around the tissue of a map, beyond which there is only glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.units import RC, Shape

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TissueBox:
    """The smallest rectangle of cells that holds all tissue of a map.

    Attributes:
        corner: Its top-left cell.
        shape: Its rows and columns.

    Example:
        >>> mask = np.zeros((5, 6), bool); mask[1:3, 2] = True
        >>> TissueBox.of(mask)
        TissueBox(corner=RC(row=1, col=2), shape=Shape(rows=2, cols=1))
    """

    corner: RC
    shape: Shape

    @classmethod
    def of(cls, mask: BoolArray) -> TissueBox:
        """The box of a mask ``(R, K)``; all of it where there is no tissue."""
        if not mask.any():
            return cls(RC(0, 0), Shape(*mask.shape))
        first, extents = [], []
        for axis in (1, 0):
            filled = np.flatnonzero(mask.any(axis=axis))
            first.append(int(filled[0]))
            extents.append(int(filled[-1] - filled[0]) + 1)
        return cls(RC(*first), Shape(*extents))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns within the map."""
        rows, cols = (
            slice(start, start + extent) for start, extent in zip(self.corner, self.shape, strict=True)
        )
        return rows, cols

    def fits(self, side: int) -> bool:
        """Whether a window of ``side`` cells holds it."""
        return max(self.shape) <= side

    def window_around(self, middle: RC, side: int) -> RC:
        """Corner of the window centred on a cell, but not pushed over the border of the box.

        Along an axis on which the box fits into the window, it is centred in it.
        """
        return RC(
            *(
                _place(at - start, extent, side) + start
                for at, start, extent in zip(middle, self.corner, self.shape, strict=True)
            )
        )


def _place(middle: int, extent: int, side: int) -> int:
    """Start of a window centred on a cell of a stretch: within the stretch, or around it if it is shorter."""
    if extent <= side:
        return -((side - extent) // 2)
    return min(max(middle - side // 2, 0), extent - side)
