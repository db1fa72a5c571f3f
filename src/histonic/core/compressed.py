"""A slide as a spatial map of codes, always with its mask, grid and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from histonic.core.grid import TileGrid

ORIENTATIONS = 8
"""Four quarter turns, each plain and mirrored."""


class ArrayLike3(Protocol):
    """Features as NumPy holds them, or as Zarr reads them piece by piece."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""

    def __getitem__(self, key: Any) -> Any:
        """Read a part."""


def orient(array: npt.NDArray[Any], orientation: int, axes: tuple[int, int] = (-2, -1)) -> npt.NDArray[Any]:
    """Turn an array by one of the eight orientations.

    Orientation ``o`` mirrors left-right if ``o >= 4``, then turns ``o % 4`` quarter turns
    counter-clockwise. Tiles and grids turn by the same rule, so that the map of orientation ``o`` is
    ``orient(codes of oriented tiles, o)``.

    Args:
        array: Any array.
        orientation: 0 to 7; 0 leaves it as it is.
        axes: The row and column axes.

    Example:
        >>> orient(np.array([[1, 2], [3, 4]]), 1).tolist()
        [[2, 4], [1, 3]]
    """
    turned = np.flip(array, axes[1]) if orientation >= 4 else array
    return np.rot90(turned, orientation % 4, axes)


def turn_back(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The inverse of :func:`orient` on the last two axes: a view, to write a turned array through.

    Example:
        >>> grid = np.arange(6.0).reshape(2, 3)
        >>> all((turn_back(orient(grid, turn), turn) == grid).all() for turn in range(8))
        True
    """
    upright = np.rot90(array, -(orientation % 4), (-2, -1))
    return np.flip(upright, -1) if orientation >= 4 else upright


@dataclass(frozen=True)
class CompressedSlide:
    """A whole slide as codes on a grid.

    Attributes:
        slide_id: Name of the slide in store and tables.
        features: ``(D, R, K)`` float16, zero where the mask is False. Empty is not zero: ask the mask.
        mask: ``(R, K)`` bool, True where the cell holds tissue and a code.
        grid: Geometry of the cells.
        encoder: Name, fingerprint and spec of the encoder.
        slide: File name, fingerprint, size, mpp and where the mpp came from.
        reader: Name and version of the reader.
        settings: What else the map depends on.
        orientations: ``(8, D, R, K)`` float16 codes of turned tiles, *in the unturned grid*; None if
            only the upright one was encoded.
    """

    slide_id: str
    features: ArrayLike3
    mask: npt.NDArray[np.bool_]
    grid: TileGrid
    encoder: Mapping[str, Any]
    slide: Mapping[str, Any]
    reader: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    orientations: ArrayLike3 | None = None

    @property
    def code_size(self) -> int:
        """D, the numbers per cell."""
        return int(self.features.shape[0])

    def oriented(self, orientation: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
        """Features and mask turned by one of the eight orientations.

        The grid turns in any case; the tiles turn with it if the eight orientations were encoded.

        Args:
            orientation: 0 to 7, see :func:`orient`.

        Returns:
            ``(D, R, K)`` float16 and ``(R, K)`` bool, R and K exchanged for odd quarter turns.
        """
        codes = self.features[:] if self.orientations is None else self.orientations[orientation]
        return orient(np.asarray(codes), orientation), orient(self.mask, orientation)


@dataclass(frozen=True)
class CellMap:
    """One number per cell of a compressed slide, such as what an explanation gives.

    Attributes:
        slide_id: Name of the slide.
        values: ``(R, K)`` float32, NaN outside the mask.
        grid: Geometry of the cells, the same as of the map it was computed from.
        meaning: What the number says, with its direction and unit.
    """

    slide_id: str
    values: npt.NDArray[np.float32]
    grid: TileGrid
    meaning: str
