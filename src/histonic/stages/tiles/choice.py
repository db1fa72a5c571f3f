"""Which tiles of a slide are cut, and what label each gets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from histonic.core.grid import TileGrid
from histonic.core.units import XY
from histonic.data.annotations.shapes import Annotations, Point
from histonic.data.annotations.shares import label_shares
from histonic.slides.tissue.cells import enough_tissue
from histonic.stages.tiles.settings import ExtractSettings

BoolImage = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[np.float32]
TOUCHED = 1e-4
"""Shares below are rounding, not something drawn."""


@dataclass(frozen=True)
class Cut:
    """A tile to be cut.

    Attributes:
        label: Its label; empty for a set without labels.
        xy: Its top-left corner, level-0 pixels.
        share: Share of its area with that label; None for a tile around a point or without a label.
    """

    label: str
    xy: XY
    share: float | None = None


@dataclass
class Choice:
    """The tiles of one slide.

    Attributes:
        cuts: Sorted by label, then from top to bottom.
        largest: For each label of a region or mask the largest share that a tile of the slide has.
        left_out: Why tiles were not cut, and how many.
    """

    cuts: list[Cut] = field(default_factory=list)
    largest: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, why: str, count: int) -> None:
        """Count tiles that are not cut."""
        if count:
            self.left_out[why] = self.left_out.get(why, 0) + count


def choose_tiles(
    grid: TileGrid,
    annotations: Annotations | None,
    tissue: FloatImage | None,
    settings: ExtractSettings,
    slide_id: str,
) -> Choice:
    """Choose the tiles of one slide.

    Only tiles that lie wholly on the slide are cut. A tile gets the label with the largest share; where two
    labels overlap and tie it is left out. Tiles around points are centred on them.

    Args:
        grid: All possible tiles.
        annotations: With labels; None: nothing is drawn, tissue gives tiles of the background label, or
            without a label.
        tissue: Share of tissue in every tile, float32 ``(R, K)``; None where nobody needs it.
        settings: Of the extraction.
        slide_id: Name of the slide; with the seed it fixes the sample.
    """
    choice = Choice()
    whole = inside_slide(grid)
    on_tissue = whole if tissue is None else whole & enough_tissue(tissue, settings.tissue.min_cell_share)
    if not settings.is_labelled:
        choice.cuts = _cuts(grid, on_tissue, "")
    else:
        drawn = annotations or Annotations()
        shares = label_shares(drawn, grid)
        allowed = on_tissue if settings.on_tissue else whole
        choice.cuts += _regions(grid, shares.labels, allowed, settings.min_share, choice)
        choice.cuts += _around_points(grid, drawn.points, choice)
        if settings.background_label is not None:
            free = on_tissue & (shares.drawn < TOUCHED)
            free &= ~near_points(grid, drawn.points, settings.point_distance_um)
            choice.cuts += _cuts(grid, free, settings.background_label, 1 - shares.drawn)
    choice.cuts = _sample(_unique(choice.cuts), settings, slide_id, choice)
    return choice


def inside_slide(grid: TileGrid) -> BoolImage:
    """The cells of a grid whose tiles lie wholly on the slide, to half a level-0 pixel."""
    rows, cols = np.arange(grid.shape.rows), np.arange(grid.shape.cols)
    below = grid.origin_xy.y + rows * grid.stride_level0 + grid.tile_side_level0 <= grid.slide_wh.h + 0.5
    right = grid.origin_xy.x + cols * grid.stride_level0 + grid.tile_side_level0 <= grid.slide_wh.w + 0.5
    return below[:, None] & right[None, :]


def near_points(grid: TileGrid, points: Sequence[Point], distance_um: float) -> BoolImage:
    """The cells whose tiles hold a point, or have one nearer to their border than a distance.

    Example:
        >>> grid = TileGrid.over((512, 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
        >>> near_points(grid, [Point("mitosis", XY(200, 60))], 40.0).tolist()
        [[True, True, True, False]]
    """
    near = np.zeros(grid.shape, bool)
    left = grid.origin_xy.x + np.arange(grid.shape.cols) * grid.stride_level0
    top = grid.origin_xy.y + np.arange(grid.shape.rows) * grid.stride_level0
    side, reach = grid.tile_side_level0, distance_um / grid.slide_mpp
    for point in points:
        across = np.maximum(np.maximum(left - point.xy.x, point.xy.x - left - side), 0)
        down = np.maximum(np.maximum(top - point.xy.y, point.xy.y - top - side), 0)
        cols, rows = np.flatnonzero(across <= reach), np.flatnonzero(down <= reach)
        distance = np.hypot(down[rows][:, None], across[cols][None, :])
        near[np.ix_(rows, cols)] |= (distance < reach) | (distance == 0)
    return near


def _regions(
    grid: TileGrid, shares: Mapping[str, FloatImage], allowed: BoolImage, least: float, choice: Choice
) -> list[Cut]:
    if not shares:
        return []
    names = list(shares)
    stacked = np.stack([np.where(allowed, shares[name], 0) for name in names])
    choice.largest = {name: float(share.max()) for name, share in zip(names, stacked, strict=True)}
    best, largest = stacked.argmax(0), stacked.max(0)
    # Shares are sums of float32 squares: a tile of exactly the least share must not depend on their order.
    enough = largest >= least - 1e-6
    tied = enough & ((stacked >= largest - 1e-6).sum(0) > 1)
    choice.leave_out("two labels cover it alike", int(tied.sum()))
    cuts = []
    for index, name in enumerate(names):
        cuts += _cuts(grid, enough & ~tied & (best == index), name, stacked[index])
    return cuts


def _cuts(grid: TileGrid, cells: BoolImage, label: str, shares: FloatImage | None = None) -> list[Cut]:
    found = []
    for row, col in np.argwhere(cells).tolist():
        share = None if shares is None else round(float(shares[row, col]), 4)
        found.append(Cut(label, grid.cell_xy((row, col)), share))
    return found


def _around_points(grid: TileGrid, points: Sequence[Point], choice: Choice) -> list[Cut]:
    """Tiles centred on points, to a whole level-0 pixel."""
    side, found = grid.tile_side_level0, []
    for point in points:
        corner = XY(float(round(point.xy.x - side / 2)), float(round(point.xy.y - side / 2)))
        fits = all(a >= 0 and a + side <= most + 0.5 for a, most in zip(corner, grid.slide_wh, strict=True))
        if fits:
            found.append(Cut(point.label, corner))
    choice.leave_out("a point too near to the border of the slide", len(points) - len(found))
    return found


def _unique(cuts: Sequence[Cut]) -> list[Cut]:
    """One tile for each label and place, sorted."""
    places = {(cut.label, round(cut.xy.y), round(cut.xy.x)): cut for cut in reversed(cuts)}
    return [places[key] for key in sorted(places)]


def _sample(cuts: Sequence[Cut], settings: ExtractSettings, slide_id: str, choice: Choice) -> list[Cut]:
    most = settings.max_per_class_per_slide
    kept: list[Cut] = []
    for label in sorted({cut.label for cut in cuts}):
        own = [cut for cut in cuts if cut.label == label]
        if most is not None and len(own) > most:
            choice.leave_out("more than max_per_class_per_slide", len(own) - most)
            drawn = seeded_by_words(settings.seed, slide_id, label).choice(len(own), most, replace=False)
            own = [own[index] for index in np.sort(drawn)]
        kept += own
    return kept


def seeded_by_words(seed: int, *words: str) -> np.random.Generator:
    """A generator that a seed and some words fix, whatever else is drawn."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
