"""Tiles of another tool on a grid: resolution, lattice and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from histonic.core.errors import MissingMppError, NoTissueError, SlideError
from histonic.core.grid import TileGrid
from histonic.core.units import WH, XY, Shape
from histonic.data.exchange.carried import carried_cells
from histonic.data.exchange.lattice import (
    MOST_CELLS,
    MOST_COLLISIONS,
    TOLERANCE,
    Lattice,
    exact_lattice,
    lattice_shape,
    nearest_lattice,
)
from histonic.data.exchange.tile_features import TileFeatures, unreadable

LatticeRule = Literal["auto", "one", "nearest"]
_STANDARD_MPP = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Placed:
    """The tiles of a slide on a grid.

    Attributes:
        grid: Its cells are those of the tiles.
        cells: ``(N, 2)`` rows and columns, one a tile.
        kept: ``(N,)``: False for tiles whose cell another tile overlaps more.
        shifted: Tiles that were moved to their nearest cell by more than rounding.
        largest_shift: Largest distance along an axis that one was moved by, in steps.
    """

    grid: TileGrid
    cells: npt.NDArray[np.int64]
    kept: npt.NDArray[np.bool_]
    shifted: int = 0
    largest_shift: float = 0.0

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """``(R, K)``, True where a tile is."""
        found = np.zeros(self.grid.shape, bool)
        found[tuple(self.cells[self.kept].T)] = True
        return found

    def words(self) -> str:
        """What was moved and dropped, in a few words; empty if nothing was."""
        if not self.shifted:
            return ""
        dropped = int((~self.kept).sum())
        lost = f", {dropped} dropped whose cell another one overlaps more" if dropped else ""
        share = self.shifted / len(self.cells)
        return (
            f"{self.shifted} of {len(self.cells)} tiles ({share:.1%}) moved to the nearest cell, by at most "
            f"{self.largest_shift:.2f} of a step{lost}"
        )


def place_tiles(
    features: TileFeatures, mpp: float | None, slide_wh: WH | None, rule: LatticeRule = "auto"
) -> Placed:
    """Lay a grid on which every tile is a cell.

    Args:
        features: The tiles.
        mpp: Microns per pixel of level 0. Positions in microns can do without: pixels of level 0 are then
            taken to be those of the tiles.
        slide_wh: Size of level 0; None: the grid reaches over the tiles alone.
        rule: ``one``: all tiles lie on one lattice or the slide is refused; ``nearest``: each comes to its
            nearest cell; ``auto``: that of the tool.

    Raises:
        NoTissueError: There is no tile.
        MissingMppError: Nobody says the resolution.
        SlideError: Nobody says how large a tile is; tiles overlap, lie beside the slide, on no lattice, or
            too many come to one cell.
    """
    slide_id, path, xy = features.slide_id, features.path, features.xy
    if not len(xy):
        raise NoTissueError(
            f"Import the slide {slide_id!r} from {path}.",
            "It has no tile.",
            "Look at its tissue in the tool.",
        )
    if features.carried is not None:
        cells = carried_cells(features.carried, len(xy), xy, features.unit)
        if cells is None:
            raise unreadable(slide_id, path, "Its positions are not those that histonic exported.")
        return Placed(features.carried.facts.grid, cells, np.ones(len(xy), bool))
    side, step, tile_px = features.side, features.step or features.side, features.tile_px
    if side is None or step is None or tile_px is None:
        what = "how many pixels of a tile the encoder saw" if side else "how large its tiles are"
        raise unreadable(slide_id, path, f"Nobody says {what}.", "Say it, if you know it: --tile-px NUMBER.")
    if features.unit == "px" and mpp is None:
        raise MissingMppError(
            f"Import the slide {slide_id!r} from {path}.",
            "Neither the file nor a slide table says microns per pixel of level 0.",
            "Give a table with slide_id and mpp (--slides TABLE), or --mpp for all slides; if the file knows "
            "a magnification and a guess will do: --mpp-from-magnification.",
        )
    if step < side * (1 - TOLERANCE):
        raise unreadable(
            slide_id, path, f"Its tiles overlap: they are {side:g} {features.unit} wide and {step:g} apart.",
            "A map has one code a place: extract without overlap.",
        )  # fmt: skip
    unit_mpp = 1.0 if features.unit == "um" else float(mpp or 0)
    level0_mpp = mpp if mpp is not None else side / tile_px
    _require_on_slide(features, slide_wh, level0_mpp / unit_mpp)
    lattice = _lattice(features, step, rule)
    extent = None if slide_wh is None else tuple(each * level0_mpp / unit_mpp for each in slide_wh)
    rows, cols = lattice_shape(lattice, extent, side)  # type: ignore[arg-type]
    if rows * cols > MOST_CELLS:
        raise unreadable(slide_id, path, f"Its positions span {rows} x {cols} tiles.", "Check their unit.")
    stride_px = max(1, round(tile_px * step / side))
    scale = unit_mpp / level0_mpp
    origin = XY(*(each * scale for each in lattice.origin))
    # Of the last column, so that all tiles lie on the slide.
    wide, high = (
        math.ceil(first + count * lattice.step * scale - 1e-6)
        for first, count in zip(origin, (cols, rows), strict=True)
    )
    grid = TileGrid(
        origin,
        tile_px,
        stride_px,
        lattice.step * unit_mpp / stride_px,
        level0_mpp,
        slide_wh or WH(wide, high),
        Shape(rows, cols),
    )
    return Placed(grid, lattice.cells, lattice.kept, lattice.shifted, lattice.largest_shift)


def _require_on_slide(features: TileFeatures, slide_wh: WH | None, scale: float) -> None:
    """Refuse tiles that begin beside the slide: they are those of another one, or in another unit."""
    least, most = features.xy.min(axis=0), features.xy.max(axis=0)
    outside = (least < 0).any() or (
        slide_wh is not None and bool((most >= np.array(slide_wh) * scale + 1e-6).any())
    )
    if outside:
        corners = f"{least[0]:g}, {least[1]:g} to {most[0]:g}, {most[1]:g} {features.unit}"
        size = "" if slide_wh is None else f", a slide of {slide_wh.w} x {slide_wh.h} px"
        raise unreadable(
            features.slide_id,
            features.path,
            f"Tiles lie beside the slide: {corners}{size}.",
            "Check that the file is this slide's, and the resolution.",
        )


def _lattice(features: TileFeatures, step: float, rule: LatticeRule) -> Lattice:
    slide_id, path = features.slide_id, features.path
    found = exact_lattice(features.xy, step)
    nearest = rule == "nearest" or (rule == "auto" and features.in_pieces)
    if found is not None:
        cells, counts = np.unique(found.cells, axis=0, return_counts=True)
        if len(cells) == len(found.cells):
            return found
        if not nearest:
            row, col = cells[int(np.argmax(counts > 1))]
            raise unreadable(slide_id, path, f"Several tiles lie in one place (row {row}, column {col}).")
    if not nearest:
        raise unreadable(
            slide_id, path, f"Its positions lie on no one lattice of step {step:g} {features.unit}.",
            "If the tool begins anew at every piece of tissue, --lattice nearest moves each tile to its "
            "nearest cell, by at most half a step.",
        )  # fmt: skip
    lattice = nearest_lattice(features.xy, step)
    share = lattice.dropped / len(features.xy)
    if share > MOST_COLLISIONS:
        raise unreadable(
            slide_id, path, f"{lattice.dropped} of {len(features.xy)} tiles ({share:.1%}) come to a cell "
            f"that another one overlaps more; at most {MOST_COLLISIONS:.0%} are dropped. Tiles overlap, or "
            "pieces of tissue lie side by side.",
            "Extract the slide on one lattice, as 'histonic compress' does.",
        )  # fmt: skip
    return lattice


def nominal_mpp(mpp: float) -> float:
    """The resolution by which maps of about the same are called, where the tool was not asked for one.

    A standard one within 15 %, else two digits; scanners sold as 0.25 µm/px report 0.2460 to 0.2528.

    Example:
        >>> nominal_mpp(0.2461), nominal_mpp(0.5034), nominal_mpp(0.347)
        (0.25, 0.5, 0.35)
    """
    for each in _STANDARD_MPP:
        if abs(mpp / each - 1) <= 0.15:
            return each
    digits = 1 - math.floor(math.log10(mpp))
    return round(mpp, digits)


def require_same_code(features: TileFeatures, code_size: int, tile_px: int) -> None:
    """Refuse features of another kind than those of the store.

    Raises:
        SlideError: They have more or fewer numbers, or are of larger or smaller tiles.
    """
    if features.shape[1] != code_size:
        raise SlideError(
            f"Import the slide {features.slide_id!r} from {features.path}.",
            f"Its features have {features.shape[1]} numbers, those of the other slides {code_size}.",
            "Extract it by the same encoder as the others.",
        )
    if features.tile_px != tile_px:
        raise SlideError(
            f"Import the slide {features.slide_id!r} from {features.path}.",
            f"Its tiles have {features.tile_px} px, those of the other slides {tile_px}.",
            "Extract it with the same tiles as the others.",
        )
