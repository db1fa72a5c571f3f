"""Where the tiles of a mosaic lie: the outline of the tissue, and which cells show the lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from histonic.simulate.textures import FloatImage, smooth_noise

BoolGrid = npt.NDArray[np.bool_]
Pattern = Literal["blob", "patches", "core", "rim"]
FINE = 32
"""Outline points along the side of a cell."""
TISSUE_SHARE = (0.50, 0.65)
LEAST_TISSUE = 0.5
"""Share of a cell that has to lie inside the outline for it to show a tile."""


@dataclass(frozen=True)
class Outline:
    """A piece of tissue on a square of cells.

    Attributes:
        inside: ``(side * FINE, side * FINE)`` where there is tissue.
        cells: ``(side, side)`` cells that show a tile.
    """

    inside: BoolGrid
    cells: BoolGrid


def draw_outline(side: int, rng: np.random.Generator) -> Outline:
    """One irregular piece of tissue that does not touch the border.

    Args:
        side: Cells along the side of the slide.
        rng: Source of randomness.

    Example:
        >>> outline = draw_outline(12, np.random.default_rng(0))
        >>> bool(outline.cells.any() and not outline.inside[0].any())
        True
    """
    n = side * FINE
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.2)
    along = (x * np.cos(angle) + y * np.sin(angle)) / stretch
    across = (-x * np.sin(angle) + y * np.cos(angle)) * stretch
    # The border falls off steeply, so that noise cannot push tissue over the edge of the slide.
    edge = np.clip(np.maximum(np.abs(x), np.abs(y)) - 0.85, 0, None)
    height = -np.hypot(along, across) - 40.0 * edge**2
    height = height + 0.10 * smooth_noise(rng, n, n / 4) + 0.03 * smooth_noise(rng, n, n / 14)
    height[[0, -1]] = height[:, [0, -1]] = -np.inf
    inside = height > np.quantile(height, 1 - rng.uniform(*TISSUE_SHARE))
    pieces, _ = ndimage.label(inside)
    inside = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
    shares = inside.reshape(side, FINE, side, FINE).mean(axis=(1, 3))
    return Outline(inside, shares >= LEAST_TISSUE)


def place_lesion(tissue: BoolGrid, pattern: Pattern, share: float, rng: np.random.Generator) -> BoolGrid:
    """Choose the cells that show the lesion, exactly ``share`` of the tissue, rounded.

    ``blob`` is one round focus, ``patches`` are several of a drawn size. ``core`` and ``rim`` differ in
    their arrangement alone: the lesion lies deep in the tissue, or around it. The outermost cells show both
    kinds at random in either case, and the same line parts lesion from the rest, so that no cell by itself,
    not even one that holds glass or two kinds, tells one from the other if ``share`` is a half.

    Args:
        tissue: ``(side, side)`` cells with tissue.
        pattern: How the lesion lies.
        share: Of the tissue, 0 to 1.
        rng: Source of randomness.

    Returns:
        ``(side, side)``, within ``tissue``.

    Example:
        >>> tissue = np.ones((10, 10), bool)
        >>> int(place_lesion(tissue, "blob", 0.05, np.random.default_rng(0)).sum())
        5
    """
    side = len(tissue)
    count = round(share * int(tissue.sum()))
    if pattern == "blob":
        rows, cols = np.nonzero(tissue)
        centre = int(rng.integers(len(rows)))
        away = np.hypot(np.arange(side)[:, None] - rows[centre], np.arange(side) - cols[centre])
        return _lowest(away + 0.4 * smooth_noise(rng, side, 2.0), tissue, count)
    if pattern == "patches":
        return _lowest(smooth_noise(rng, side, float(rng.uniform(1.5, side / 3))), tissue, count)
    inner = ndimage.binary_erosion(tissue, np.ones((3, 3)))
    outer = tissue & ~inner
    lesion = _lowest(rng.random((side, side)), outer, round(share * int(outer.sum())))
    depth = ndimage.distance_transform_edt(inner) + 0.5 * smooth_noise(rng, side, 3.0)
    left = count - int(lesion.sum())
    return lesion | _lowest(-depth if pattern == "core" else depth, inner, left)


def _lowest(field: FloatImage | npt.NDArray[np.float64], among: BoolGrid, count: int) -> BoolGrid:
    """The cells of the lowest values."""
    places = np.flatnonzero(among)
    chosen = places[np.argsort(field.ravel()[places], kind="stable")[:count]]
    found = np.zeros(among.size, bool)
    found[chosen] = True
    return found.reshape(among.shape)
