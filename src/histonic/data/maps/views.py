"""Where crops of a map are taken: at random where tissue is deep in training, spread over tissue in tests.

Windows are laid over the box around the tissue, so that it makes no difference how much glass the scanner
took in around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from histonic.core.compressed import ORIENTATIONS
from histonic.core.tissue_box import TissueBox
from histonic.core.units import RC

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """One look at a map: a square window, which may reach over the border, turned by one of 8 orientations.

    Attributes:
        slide_id: Name of the map.
        corner: Cell of the window's top-left corner in the unturned map; may be negative.
        orientation: 0 to 7, see :func:`histonic.core.compressed.orient`.
    """

    slide_id: str
    corner: RC
    orientation: int


class TissueDensity:
    """The density of crop centres of Tellez et al. (TPAMI 2019), made for drawing.

    It is the Euclidean distance to the background (the border of the map counts as such), scaled to a maximum
    of 1, squared, and normalised to the sum 1.

    Args:
        mask: ``(R, K)`` with at least one True.

    Example:
        >>> mask = np.ones((3, 3), bool)
        >>> TissueDensity(mask).values.round(3).tolist()  # (1/2)^2 around 1, over their sum of 3
        [[0.083, 0.083, 0.083], [0.083, 0.333, 0.083], [0.083, 0.083, 0.083]]
    """

    def __init__(self, mask: BoolArray) -> None:
        distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        self._shape = mask.shape
        self._cells = np.flatnonzero(mask)
        density = (distance.ravel()[self._cells] / distance.max()) ** 2
        self._cumulative = np.cumsum(density / density.sum())

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """``(R, K)``, sum 1, zero outside the mask."""
        flat = np.zeros(self._shape[0] * self._shape[1])
        flat[self._cells] = np.diff(self._cumulative, prepend=0)
        return flat.reshape(self._shape)

    def draw(self, rng: np.random.Generator) -> RC:
        """One cell of tissue."""
        place = np.searchsorted(self._cumulative, rng.random() * self._cumulative[-1], side="right")
        flat = self._cells[min(int(place), len(self._cells) - 1)]
        return RC(*(int(index) for index in np.unravel_index(flat, self._shape)))


def training_corner(box: TissueBox, density: TissueDensity | None, side: int, rng: np.random.Generator) -> RC:
    """Corner of a random window.

    Along an axis on which the tissue fits, it lies anywhere in the window; on a longer one the window is
    centred on the drawn cell, but not pushed over the border of the tissue's box.

    Args:
        box: Around the tissue.
        density: To draw the centre from; not needed if the tissue fits.
        side: Of the window, in cells.
        rng: Source of chance.
    """
    centred = box.window_around(density.draw(rng) if density is not None else box.corner, side)
    corner = []
    for start, extent, middle in zip(box.corner, box.shape, centred, strict=True):
        free = int(rng.integers(0, abs(side - extent) + 1))
        corner.append(start - free if extent <= side else middle)
    return RC(*corner)


def spread_corners(mask: BoolArray, side: int, crops: int) -> list[RC]:
    """Corners of the windows for a prediction, spread over the tissue.

    The k-th of T is centred on the k-th quantile of the flattened list of tissue cells; tissue that fits
    into one window is centred in it.

    Args:
        mask: ``(R, K)`` with at least one True.
        side: Of the windows, in cells.
        crops: T.

    Returns:
        At most ``crops`` different corners.

    Example:
        >>> spread_corners(np.ones((4, 6), bool), 8, 10)
        [RC(row=-2, col=-1)]
    """
    box = TissueBox.of(mask)
    if box.fits(side):
        return [box.window_around(box.corner, side)]
    cells = np.flatnonzero(mask)
    corners: dict[RC, None] = {}
    for k in range(crops):
        middle = RC(*divmod(int(cells[int((k + 0.5) / crops * len(cells))]), mask.shape[1]))
        corners[box.window_around(middle, side)] = None
    return list(corners)


def spread_views(slide_id: str, mask: BoolArray, side: int, crops: int, orientations: int) -> list[View]:
    """All windows of a prediction in all orientations."""
    corners = spread_corners(mask, side, crops)
    return [View(slide_id, corner, turn) for corner in corners for turn in range(orientations)]


def draw_view(
    slide_id: str,
    box: TissueBox,
    density: TissueDensity | None,
    side: int,
    rng: np.random.Generator,
) -> View:
    """A random window in a random orientation."""
    corner = training_corner(box, density, side, rng)
    return View(slide_id, corner, int(rng.integers(ORIENTATIONS)))


def cut(array: Any, corner: RC, side: int, *first: int) -> npt.NDArray[Any]:
    """The part ``(..., side, side)`` of ``(..., R, K)`` at ``corner``, zero outside.

    Args:
        array: Anything that slices like a NumPy array; only the part needed is read.
        corner: Top-left cell, may be negative.
        side: In cells.
        *first: Indices on the first axes, such as the orientation.

    Example:
        >>> cut(np.array([[1, 2], [3, 4]]), RC(-1, 0), 2).tolist()
        [[0, 0], [1, 2]]
    """
    window = np.zeros((*array.shape[len(first) : -2], side, side), array.dtype)
    place_cut(window, array, corner, *first)
    return window


def place_cut(window: npt.NDArray[Any], array: Any, corner: RC, *first: int) -> None:
    """Write the part of ``array`` at ``corner`` into a window of zeros.

    Args:
        window: ``(..., side, side)``, a view if need be.
        array: ``(..., R, K)``, anything that slices like a NumPy array; only the part needed is read.
        corner: Top-left cell, may be negative.
        *first: Indices on the first axes of ``array``, such as the orientation.

    Example:
        >>> window = np.zeros((2, 2))
        >>> place_cut(window, np.array([[1, 2], [3, 4]]), RC(-1, 0)); window.tolist()
        [[0.0, 0.0], [1.0, 2.0]]
    """
    side = window.shape[-1]
    top, left = max(corner.row, 0), max(corner.col, 0)
    rows, cols = slice(top, max(corner.row + side, 0)), slice(left, max(corner.col + side, 0))
    part = np.asarray(array[(*first, ..., rows, cols)])
    down, right = top - corner.row, left - corner.col
    window[..., down : down + part.shape[-2], right : right + part.shape[-1]] = part
