"""Names for pairs and resolutions, so that no bare tuple crosses a room.

Three frames exist: grid cell ``(row, col)``, level-0 pixel ``(x, y)`` and microns. Only
:class:`histonic.core.grid.TileGrid` converts between them.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

MPP_TOLERANCE = 0.02
"""Relative difference in microns per pixel below which two resolutions count as the same.

Scanners sold as 0.25 µm/px report 0.2460 to 0.2528; resampling by 1 % would blur every pixel
to correct a scale error that no encoder notices. The true mpp is kept in the grid.
"""

MOST_ENLARGEMENT = 1.1
"""A slide coarser than its reader wants by up to this factor is enlarged without being asked about."""
MOST_OVER_SCALE = 1.3
"""What learned from objects shown larger than so many times their size on a slide does not hold there."""
LARGEST_ENLARGEMENT = 2.0
"""No setting allows more: beyond it a cell's nucleus is a smear to whoever learned on sharp ones."""


def _whole_stays_whole(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return value if type(value) is int else check(value)


Number = Annotated[float, WrapValidator(_whole_stays_whole), PlainSerializer(lambda value: value)]
"""A float of a file; a whole number stays one, so that it is written and hashed as it was read."""


class XY(NamedTuple):
    """A point in pixels: x to the right, y down, level-0 frame unless the name says otherwise."""

    x: Number
    y: Number


class WH(NamedTuple):
    """A size in pixels: width, height."""

    w: int
    h: int


class RC(NamedTuple):
    """A grid cell: row (down), column (right)."""

    row: int
    col: int


class Shape(NamedTuple):
    """The number of rows and columns of a grid."""

    rows: int
    cols: int
