"""Which cells of a slide are kept: those with enough tissue, but what is left out for its flaws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.grid import TileGrid
from histonic.core.settings import Flaw
from histonic.data.maps.facts import StoredQuality
from histonic.data.maps.quality import CellQuality
from histonic.slides.tissue.cells import cell_coverage, cell_means, enough_tissue
from histonic.slides.tissue.finder import Found
from histonic.slides.tissue.quality import find_folds
from histonic.stages.compress.settings import CompressSettings


@dataclass(frozen=True)
class JudgedCells:
    """The cells of a slide, judged by its coarse picture.

    Attributes:
        tissue: ``(R, K)`` bool, those that hold enough tissue.
        kept: Those of them that are to be encoded.
        pen: Share of each cell under pen, borders and shadows, float32 ``(R, K)``.
        folds: Share in folds and dark spots, alike.
        pen_of_area: Area of pen, borders and shadows over that of the slide.
        left_out: Cells of tissue that are not kept, by flaw.
    """

    tissue: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    pen: npt.NDArray[np.float32]
    folds: npt.NDArray[np.float32]
    pen_of_area: float
    left_out: Mapping[Flaw, int]

    def quality(self, focus: npt.NDArray[np.float32] | None = None) -> CellQuality:
        """What spoils each cell of tissue, as it is stored; ``focus`` is that of tiles, ``(R, K)``."""
        nothing = np.full(self.tissue.shape, np.nan, np.float32)
        planes = [np.where(self.tissue, plane, np.nan) for plane in (self.pen, self.folds)]
        rounded = [plane.astype(np.float16).astype(np.float32) for plane in (*planes, nothing)]
        if focus is not None:
            rounded[2] = focus.astype(np.float16).astype(np.float32)
        return CellQuality(*rounded)


def judge_cells(found: Found, grid: TileGrid, settings: CompressSettings) -> JudgedCells:
    """Judge the cells of a grid before any tile is read; of blur nothing is known yet."""
    tissue = enough_tissue(cell_coverage(found.tissue, grid), settings.tissue.min_cell_share)
    folded = find_folds(found.density, found.ink, found.mpp)
    pen = cell_means(found.ink, found.mpp, grid)
    judged = JudgedCells(
        tissue,
        tissue,
        pen,
        cell_means(folded.mask, folded.mpp, grid),
        float(found.ink.mean()),
        {},
    )
    quality = judged.quality()
    kept = tissue.copy()
    left_out: dict[Flaw, int] = {}
    for flaw in settings.leave_out:
        spoilt = kept & quality.is_spoilt(flaw)
        left_out[flaw] = int(spoilt.sum())
        kept &= ~spoilt
    return JudgedCells(tissue, kept, judged.pen, judged.folds, judged.pen_of_area, left_out)


def stored_quality(judged: JudgedCells, quality: CellQuality, blurred_out: int = 0) -> StoredQuality:
    """A slide's shares of what spoils it, and what was left out for it.

    Args:
        judged: Its cells.
        quality: With their focus, as far as it is known.
        blurred_out: Cells that were left out for their blur.
    """
    folds = quality.folds[judged.tissue]
    known = int(np.isfinite(quality.focus).sum())
    left_out = {flaw: count or blurred_out * (flaw == "blur") for flaw, count in judged.left_out.items()}
    return StoredQuality(
        pen_of_area=round(judged.pen_of_area, 6),
        folds_of_cells=round(float(folds.mean()), 6) if folds.size else 0.0,
        blurred_of_cells=round(int(quality.is_spoilt("blur").sum()) / known, 6) if known else None,
        left_out=left_out,
    )
