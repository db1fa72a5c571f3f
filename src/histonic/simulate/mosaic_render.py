"""Painting a slide from real tiles: seams, stain of the site, and glass around the tissue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.simulate.mosaic_layout import BoolGrid, Outline

UInt8Image = npt.NDArray[np.uint8]
ORIENTATIONS = 8
SITE_DEVIATION = 0.12
"""Spread of the logarithm of each stain's strength from site to site."""
SLIDE_DEVIATION = 0.04
SHADE_DEVIATION = 0.01
"""Spread of the optical density that a site adds everywhere."""


@dataclass(frozen=True)
class Shade:
    """How a slide was stained: factors on the three stains, densities added, and the colour of glass."""

    factor: tuple[float, ...]
    addend: tuple[float, ...]
    glass: tuple[float, ...]


def draw_shade(site: np.random.Generator, slide: np.random.Generator, amount: float) -> Shade:
    """The shade of one slide: that of its site, a little stronger or weaker.

    Args:
        site: Source of randomness, in the same state for all slides of a site.
        slide: Source of the slide's own deviation.
        amount: 0 leaves the colours of the tiles as they are; 1 is a usual variation.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> draw_shade(rng, rng, 0.0).factor
        (1.0, 1.0, 1.0)
    """
    usual, added = site.normal(0, SITE_DEVIATION, 3), site.normal(0, SHADE_DEVIATION, 3)
    factor = np.exp(amount * (usual + slide.normal(0, SLIDE_DEVIATION, 3)))
    glass = 244 - amount * site.uniform(0, 5, 3)
    return Shade(*(tuple(float(each) for each in values) for values in (factor, amount * added, glass)))


def fill_cells(
    lesion: BoolGrid,
    outline: Outline,
    lesion_rows: npt.NDArray[np.int64],
    rest_rows: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A tile and an orientation for each cell; all tiles of a kind are shown about equally often.

    Returns:
        Row of the tile ``(side, side)``, -1 on glass, and its orientation, 0 to 7.
    """
    chosen = np.full(lesion.shape, -1, dtype=np.int64)
    for where, rows in ((lesion & outline.cells, lesion_rows), (outline.cells & ~lesion, rest_rows)):
        count = int(where.sum())
        times = -(-count // max(len(rows), 1))
        chosen[where] = np.concatenate([rows[:0], *(rng.permutation(rows) for _ in range(times))])[:count]
    return chosen, rng.integers(ORIENTATIONS, size=lesion.shape)


def paint(
    tiles: UInt8Image,
    chosen: npt.NDArray[np.int64],
    turned: npt.NDArray[np.int64],
    outline: Outline,
    shade: Shade,
    rng: np.random.Generator,
    seam_px: int = 8,
    stain: Callable[[UInt8Image], UInt8Image] | None = None,
) -> UInt8Image:
    """A slide of tiles.

    Each tile keeps its place and size; near a seam it fades into the mirror image of its neighbour, so
    that colours meet without an edge and nothing of a tile reaches further than ``seam_px``.

    Args:
        tiles: uint8 ``(N, tile_px, tile_px, 3)``.
        chosen: Row of the tile in each cell, ``(side, side)``, -1 on glass.
        turned: Its orientation.
        outline: Of the tissue.
        shade: Of the slide; only its glass is painted here.
        rng: Source of the noise on the glass.
        seam_px: Width of the fade on either side of a seam.
        stain: Gives the tissue ``(H, W, 3)`` the shade's stains; None leaves the colours of the tiles.

    Returns:
        uint8 ``(side * tile_px, side * tile_px, 3)``.
    """
    side, tile_px = len(chosen), tiles.shape[1]
    canvas = np.full((side, tile_px, side, tile_px, 3), 255, np.uint8)
    for row, col in np.argwhere(chosen >= 0):
        canvas[row, :, col] = turn_tile(tiles[chosen[row, col]], int(turned[row, col]))
    shown = chosen >= 0
    _fade(canvas.transpose(0, 2, 1, 3, 4), shown, seam_px)
    _fade(canvas.transpose(2, 0, 3, 1, 4), shown.T, seam_px)
    picture = canvas.reshape(side * tile_px, side * tile_px, 3)
    return _on_glass(stain(picture) if stain else picture, outline, shown, shade, tile_px, rng)


def turn_tile(tile: UInt8Image, orientation: int) -> UInt8Image:
    """A tile turned by quarters (``orientation % 4``) and mirrored (from 4 on)."""
    turned = np.rot90(tile, orientation % 4)
    return np.ascontiguousarray(turned[:, ::-1] if orientation >= 4 else turned)


def _fade(canvas: UInt8Image, shown: BoolGrid, seam_px: int) -> None:
    """Fade tiles ``(rows, cols, tile_px, tile_px, 3)`` into those right of them, in place."""
    width = min(seam_px, canvas.shape[3] // 2)
    if width < 1:
        return
    # The neighbour's weight: nearly a half at the seam, falling to nearly nothing.
    weight = ((np.arange(width, 0, -1) - 0.5) / (2 * width)).astype(np.float32)[:, None]
    for row, col in np.argwhere(shown[:, :-1] & shown[:, 1:]):
        # Both strips are read outwards from the seam, so that each is the other's mirror image.
        left = canvas[row, col, :, -width:][:, ::-1].astype(np.float32)
        right = canvas[row, col + 1, :, :width].astype(np.float32)
        change = (right - left) * weight
        canvas[row, col, :, -width:] = (left + change + 0.5).astype(np.uint8)[:, ::-1]
        canvas[row, col + 1, :, :width] = (right - change + 0.5).astype(np.uint8)


def _on_glass(
    picture: UInt8Image,
    outline: Outline,
    shown: BoolGrid,
    shade: Shade,
    tile_px: int,
    rng: np.random.Generator,
) -> UInt8Image:
    """The picture where there is tissue, glass elsewhere."""
    fine = outline.inside.shape[0] // len(shown)
    inside = outline.inside & np.kron(shown, np.ones((fine, fine), bool))
    # Nearest outline point of every pixel; the outline is fine enough for steps of a few pixels.
    place = (np.arange(len(picture)) * fine) // tile_px
    glass = np.asarray(shade.glass) + rng.normal(0, 1.0, (len(picture), 1, 1))
    for top in range(0, len(picture), 512):
        band = slice(top, top + 512)
        empty = ~inside[np.ix_(place[band], place)]
        picture[band][empty] = np.broadcast_to(np.clip(glass[band], 0, 255), picture[band].shape)[empty]
    return picture
