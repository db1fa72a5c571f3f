"""Previews: a slide with its tissue and kept cells, its resolution and share of tissue; many on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from histonic.core.files import replacing_file
from histonic.core.grid import TileGrid
from histonic.data.maps.shares import TissueOutlier
from histonic.slides.thumbnail import (
    OUTLINE,
    TISSUE_OUTLINE,
    bar_length_um,
    draw_cells,
    draw_tissue,
    length_words,
)
from histonic.stages.compress.inspection import Inspected

UInt8Image = npt.NDArray[np.uint8]
SIDE_PX = 1024
"""Longer side of a slide on its own preview, at most."""
PANEL_PX, COLUMNS = 360, 6
"""Of a sheet: longer side of a slide, and slides in a row."""
MOST_ON_SHEET = 120
GAP, LINE = 12, 22
LEAST_WIDTH = 640
INK, WARNING = (30, 30, 30), (170, 30, 30)


@dataclass(frozen=True)
class Panel:
    """A slide as it stands on a sheet: small, so that all of them can be kept until the sheet is drawn."""

    slide_id: str
    picture: UInt8Image
    words: str

    @classmethod
    def of(cls, looked: Inspected) -> Panel:
        """Of a slide that was looked at."""
        picture = _painted(looked, PANEL_PX)
        bar = _bar(looked.grid, picture.shape[1])
        mpp = f"{looked.grid.slide_mpp:.3g} µm/px"
        share = _share(looked)
        return cls(looked.row.slide_id, _with_bar(picture, bar), f"{mpp}, {share}")


def write_preview(path: Path, looked: Inspected) -> None:
    """Write the preview of one slide as PNG, all or nothing.

    Its tissue is outlined in orange and the kept cells in blue, the rest is paler; below stand a scale bar,
    size, resolution, reader, and the share of tissue.

    Raises:
        OutputError: It cannot be written.
    """
    picture = _painted(looked, SIDE_PX)
    height, width = picture.shape[:2]
    lines = [
        (looked.row.slide_id, INK),
        (looked.facts, INK),
        (_share(looked), INK if looked.mask.any() else WARNING),
        ("tissue", TISSUE_OUTLINE),
        ("cells that are kept", OUTLINE),
    ]
    full = max(width, LEAST_WIDTH) + 2 * GAP
    wrapped = [(part, colour) for text, colour in lines for part in _wrap(text, full - 2 * GAP)]
    sheet = Image.new("RGB", (full, height + 3 * GAP + LINE * (len(wrapped) + 1)), "white")
    sheet.paste(Image.fromarray(picture), (GAP, GAP))
    draw = ImageDraw.Draw(sheet)
    y = height + 2 * GAP
    bar_px, bar_words = _bar(looked.grid, width)
    if bar_px:
        draw.rectangle((GAP, y + LINE // 2 - 2, GAP + bar_px, y + LINE // 2 + 2), fill=INK)
        draw.text((2 * GAP + bar_px, y), bar_words, fill=INK, font=_font())
    for number, (text, colour) in enumerate(wrapped, start=1):
        draw.text((GAP, y + number * LINE), text, fill=colour, font=_font())
    _save(path, sheet)


def write_sheet(path: Path, panels: Sequence[Panel], outliers: Sequence[TissueOutlier]) -> None:
    """Write many slides on one sheet as PNG, all or nothing: those that stand out first, with why.

    Args:
        path: Where to.
        panels: At least one, at most :data:`MOST_ON_SHEET`.
        outliers: Whose share of tissue stands out.

    Raises:
        OutputError: It cannot be written.
    """
    why = {each.slide_id: each.words for each in outliers}
    places = {each.slide_id: place for place, each in enumerate(outliers)}
    ordered = sorted(panels, key=lambda each: places.get(each.slide_id, len(places)))
    columns = min(COLUMNS, len(ordered))
    rows = [ordered[first : first + columns] for first in range(0, len(ordered), columns)]
    captions = [[_caption(each, why) for each in row] for row in rows]
    heights = [PANEL_PX + LINE * max(len(lines) for lines in of_row) + 2 * GAP for of_row in captions]
    sheet = Image.new("RGB", (columns * (PANEL_PX + GAP) + GAP, sum(heights) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for row, of_row, height in zip(rows, captions, heights, strict=True):
        for number, (panel, lines) in enumerate(zip(row, of_row, strict=True)):
            left = GAP + number * (PANEL_PX + GAP)
            sheet.paste(Image.fromarray(panel.picture), (left, top))
            for place, (text, colour) in enumerate(lines):
                draw.text((left, top + PANEL_PX + 4 + place * LINE), text, fill=colour, font=_font())
        top += height
    _save(path, sheet)


def _caption(panel: Panel, why: Mapping[str, str]) -> list[tuple[str, tuple[int, int, int]]]:
    lines = [(panel.slide_id, INK), (panel.words, INK)]
    if panel.slide_id in why:
        lines.append((why[panel.slide_id], WARNING))
    return [(part, colour) for text, colour in lines for part in _wrap(text, PANEL_PX)]


def _share(looked: Inspected) -> str:
    return looked.share.words() + ("" if looked.mask.any() else ": no cell is kept")


def _painted(looked: Inspected, side_px: int) -> UInt8Image:
    """The slide with its cells and tissue drawn, its longer side at most so many pixels."""
    small = Image.fromarray(looked.picture)
    small.thumbnail((side_px, side_px), Image.Resampling.BOX)
    cells = draw_cells(np.asarray(small), looked.grid, looked.mask)
    return draw_tissue(cells, looked.tissue.mask)


def _bar(grid: TileGrid, width_px: int) -> tuple[int, str]:
    """Pixels and words of the scale bar of a picture so wide; 0 if it has none."""
    width_um = grid.slide_wh.w * grid.slide_mpp
    length = bar_length_um(width_um)
    return round(length / width_um * width_px), length_words(length)


def _with_bar(picture: UInt8Image, bar: tuple[int, str]) -> UInt8Image:
    """A panel with its scale bar drawn at the lower left."""
    length, words = bar
    image = Image.fromarray(picture)
    if length:
        draw = ImageDraw.Draw(image)
        bottom = image.height - 5
        draw.rectangle((5, bottom - 4, 5 + length, bottom), fill=INK)
        draw.text((5, bottom - LINE), words, fill=INK, font=_font(), stroke_width=2, stroke_fill="white")
    return np.asarray(image)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The font of the figures; that of Pillow has no µ."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 14)


def _wrap(text: str, width_px: int) -> list[str]:
    """Lines that are no wider, broken at blanks, and within a word where one is too long."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if _font().getlength(joined) <= width_px:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if _font().getlength(lines[-1] + letter) > width_px:
                lines.append("")
            lines[-1] += letter
    return lines


def _save(path: Path, sheet: Image.Image) -> None:
    with replacing_file(path) as partial:
        sheet.save(partial, "PNG")
