"""Tiles of any side and resolution brought to the encoder's: cropped and averaged, never stretched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.slides.resample import HALF_SLACK, area_weights

MOST_ENLARGED = 4.0
ROUNDING = 0.02
"""Share by which a tile may be too small for the wanted area, as 0.5 and 0.49 µm/px make it."""
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Fit:
    """How a tile is brought to the encoder's.

    Attributes:
        side_px: Side of the centre square that is taken, in pixels of the tile; may be a fraction.
        tile_px: Side of the result.
    """

    side_px: float
    tile_px: int

    @property
    def enlarged(self) -> float:
        """By how much the square is enlarged; below 1 it is averaged down."""
        return self.tile_px / self.side_px


def fit_by_mpp(shape: tuple[int, ...], tile_mpp: float, tile_px: int, mpp: float) -> Fit | None:
    """The centre square of ``tile_px * mpp`` microns, or None where the tile is smaller than that.

    Args:
        shape: Of the tile, height and width first.
        tile_mpp: Its microns per pixel.
        tile_px: Side of the encoder's tiles.
        mpp: Their microns per pixel.

    Example:
        >>> fit_by_mpp((96, 96), 1.0, 128, 0.5)
        Fit(side_px=64.0, tile_px=128)
    """
    wanted, there = tile_px * mpp / tile_mpp, min(shape[:2])
    if wanted > there * (1 + ROUNDING):
        return None
    return Fit(min(wanted, there), tile_px)


def fit_whole(shape: tuple[int, ...], tile_px: int) -> Fit:
    """The largest centre square, whatever its microns."""
    return Fit(float(min(shape[:2])), tile_px)


def fit_wide(shape: tuple[int, ...], tile_mpp: float, tile_px: int, mpp: float, room: float) -> Fit:
    """The largest centre square at the encoder's resolution, of up to ``room`` times its side.

    Args:
        shape: Of the tile, height and width first.
        tile_mpp: Its microns per pixel.
        tile_px: Side of the encoder's tiles.
        mpp: Their microns per pixel.
        room: 1 or more.

    Example:
        >>> fit_wide((206, 206), 0.62, 128, 0.5, 1.5), fit_wide((206, 206), 0.62, 128, 0.5, 4).tile_px
        (Fit(side_px=154.83870967741936, tile_px=192), 255)
    """
    there = min(shape[:2])
    side = max(tile_px, min(round(room * tile_px), int(there * tile_mpp / mpp)))
    return Fit(min(side * mpp / tile_mpp, float(there)), side)


@dataclass(frozen=True)
class WideTiles:
    """Tiles with more of their surroundings than the encoder sees, from which squares are drawn.

    Attributes:
        tiles: uint8 ``(M, S, S, 3)`` at the encoder's resolution, mapped from the disk; each fills the
            top left corner.
        sides: ``(M,)`` side of what each fills.
        rows: ``(N,)`` which of them are meant.
        tile_px: Side of the encoder's tiles.
    """

    tiles: UInt8Array
    sides: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    tile_px: int

    def square(self, row: int, rng: np.random.Generator) -> UInt8Array:
        """A random square ``(tile_px, tile_px, 3)`` of a tile."""
        at = int(self.rows[row])
        top, left = rng.integers(0, int(self.sides[at]) - self.tile_px + 1, size=2)
        return self.tiles[at, top : top + self.tile_px, left : left + self.tile_px]


def bring(tile: UInt8Array, fit: Fit) -> UInt8Array:
    """The centre square of a tile at the encoder's side.

    Averages over areas (with fractional weights at the border of each) where the square is larger, and
    interpolates linearly where it is smaller.

    Args:
        tile: uint8 ``(H, W, 3)``.
        fit: From :func:`fit_by_mpp` or :func:`fit_whole`.

    Returns:
        uint8 ``(tile_px, tile_px, 3)``.
    """
    height, width = tile.shape[:2]
    left, top = (width - fit.side_px) / 2, (height - fit.side_px) / 2
    size = (fit.tile_px, fit.tile_px)
    if fit.enlarged <= 1:
        across, down = _weights(left, fit, width), _weights(top, fit, height)
        rows = (down @ tile.reshape(height, width * 3).astype(np.float32)).reshape(fit.tile_px, width, 3)
        averaged = np.floor(np.matmul(across, rows) + np.float32(0.5 + HALF_SLACK))
        return np.asarray(averaged, dtype=np.uint8)
    box = (left, top, left + fit.side_px, top + fit.side_px)
    return np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.BILINEAR, box=box))


@lru_cache(maxsize=64)
def _weights(start: float, fit: Fit, length: int) -> npt.NDArray[np.float32]:
    """Share of each pixel of the tile in each pixel of the result, along one axis."""
    return area_weights(start, fit.side_px / fit.tile_px, fit.tile_px, length)
