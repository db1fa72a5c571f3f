"""A slide looked at as a compression would look at it, up to its tiles; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import SlideStain
from histonic.core.grid import TileGrid
from histonic.data.maps.shares import TissueShare
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import EncoderSpec
from histonic.slides.base import Slide, open_slide
from histonic.slides.thumbnail import thumbnail
from histonic.slides.tissue.rule import TissueMask
from histonic.stages.compress.judging import JudgedCells, judge_cells, stored_quality
from histonic.stages.compress.reading import (
    lay_grid,
    look_for_tissue_of,
    require_usable_id,
    share_of_area,
)
from histonic.stages.compress.settings import CompressSettings


@dataclass(frozen=True)
class Inspected:
    """What a compression would know of a slide before its tiles.

    Attributes:
        row: The slide.
        facts: Size, resolution and where it comes from, reader; what is to be known of how it was read.
        grid: The cells.
        tissue: As it was found or given.
        judged: All cells, by the coarse picture; nothing is known of their focus.
        mask: ``(R, K)`` the cells that are kept; there may be none.
        picture: Thumbnail uint8 ``(h, w, 3)``.
        share: How much of the slide is tissue.
    """

    row: SlideRow
    facts: str
    grid: TileGrid
    tissue: TissueMask
    judged: JudgedCells
    mask: npt.NDArray[np.bool_]
    picture: npt.NDArray[np.uint8]
    share: TissueShare


def inspect_slide(row: SlideRow, settings: CompressSettings, spec: EncoderSpec) -> Inspected:
    """Do all that a compression does with a slide before its tiles.

    Args:
        row: The slide.
        settings: Of the compression; its ``out`` is not used.
        spec: What the encoder expects.

    Raises:
        SlideError: The compression would list the slide as failed, for the same reason; but where no cell is
            kept, the slide is handed back.
    """
    require_usable_id(row)
    with open_slide(row.path, mpp=row.mpp, default_mpp=settings.mpp, reader=settings.reader) as slide:
        grid = lay_grid(slide, spec, settings)
        found, mask_hash = look_for_tissue_of(slide, row, settings)
        picture = thumbnail(slide)
        judged = judge_cells(found, grid, settings)
        tissue, mask = found.tissue, judged.kept
        stain, wanted = None, settings.stain.normalisation
        if wanted is not None and mask.any():
            from histonic.stages.compress.stains import look_at_stains  # torch, and only here

            stain = look_at_stains(slide, str(row.path), grid, mask, judged.pen, wanted)
        quality = stored_quality(judged, judged.quality())
        source = "mask" if mask_hash else "all" if settings.tissue.source == "all" else "found"
        share = TissueShare.of(row.slide_id, grid, int(mask.sum()), share_of_area(tissue), source, quality)
        return Inspected(
            row, _facts(slide, grid, tissue.note, stain), grid, tissue, judged, mask, picture, share
        )


def _facts(slide: Slide, grid: TileGrid, mask_note: str, stain: SlideStain | None) -> str:
    size = f"{slide.size_wh.w}x{slide.size_wh.h} px"
    facts = f"{size}, {slide.mpp:.4g} µm/px ({slide.mpp_source}), reader {slide.reader}"
    notes = [f"enlarged {grid.enlarged:.3g} times"] if grid.enlarged > 1 else []
    notes += filter(None, (slide.note, mask_note))
    if stain is not None:
        notes.append(f"stains left as they are: {stain.left}" if stain.left else "stains can be normalised")
    return f"{facts} ({'; '.join(notes)})" if notes else facts
