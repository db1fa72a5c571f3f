"""Small pictures of cases, and their maps on one colour scale per target."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from histonic.core.compressed import CellMap
from histonic.core.errors import StoreError
from histonic.data.maps.cell_maps import read_cell_map
from histonic.slides.thumbnail import bar_length_um, length_words, read_small
from histonic.stages.explain.pictures import paint_overlay

CASE_PX = 150
"""Longer side of a case's picture."""
CASE_QUALITIES = (72, 55, 40)
CASES_BYTES = 4_500_000
"""All pictures of a page, as they stand in it; coarser ones are taken until they fit."""
PANEL_PX = 470
"""Longer side of each of the two pictures of an explanation."""
QUALITY = 76
GAP_PX = 12

UInt8Image = npt.NDArray[np.uint8]


def case_pictures(paths: Mapping[str, Path]) -> dict[str, str]:
    """Small pictures as data URIs, by slide_id; those that cannot be read are left out.

    Args:
        paths: Where the picture of each slide lies.
    """
    small = {
        slide: picture for slide, path in paths.items() if (picture := read_small(path, CASE_PX)) is not None
    }
    found: dict[str, str] = {}
    for quality in CASE_QUALITIES:
        found = {slide: data_uri(picture, quality) for slide, picture in small.items()}
        if sum(map(len, found.values())) <= CASES_BYTES:
            break
    return found


def pair_picture(folder: Path, thumbnail: Path | None, scale: float, *, signed: bool = True) -> str:
    """The slide beside its map on the scale of all maps of the target, as a data URI; empty if damaged.

    Args:
        folder: Of the explanation.
        thumbnail: Of the slide, if there is one.
        scale: Where the colours end.
        signed: Whether values speak for and against.
    """
    try:
        cells = read_cell_map(folder / "values.zarr")
    except StoreError:
        return ""
    picture = None if thumbnail is None else read_small(thumbnail, PANEL_PX)
    if picture is None:
        wide, high = cells.grid.slide_wh
        ratio = PANEL_PX / max(wide, high)
        picture = Image.new("RGB", (max(1, round(wide * ratio)), max(1, round(high * ratio))), "white")
    plain: UInt8Image = np.asarray(picture)
    limits = (-scale if signed else 0.0, scale)
    painted = paint_overlay(plain, cells, signed, limits)
    high, wide = plain.shape[:2]
    sheet = Image.new("RGB", (2 * wide + GAP_PX, high), "white")
    sheet.paste(picture, (0, 0))
    sheet.paste(Image.fromarray(painted), (wide + GAP_PX, 0))
    _scale_bar(sheet, cells, (wide, high))
    return data_uri(sheet, QUALITY)


def data_uri(picture: Image.Image, quality: int) -> str:
    """A picture as a JPEG that stands in the page."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _scale_bar(sheet: Image.Image, cells: CellMap, panel_wh: tuple[int, int]) -> None:
    """A line of a round length at the lower left of the slide."""
    wide, high = panel_wh
    grid = cells.grid
    length = bar_length_um(grid.slide_wh.w * grid.slide_mpp)
    pixels = length / grid.slide_mpp * wide / grid.slide_wh.w
    if not length or pixels < 8:
        return
    pen = ImageDraw.Draw(sheet)
    # Pillow's own font has no micro sign.
    font = ImageFont.truetype(findfont("DejaVu Sans"), 12)
    left, bottom = 8, high - 8
    words = length_words(length)
    box = pen.textbbox((left, bottom - 6), words, font=font, anchor="ls")
    pen.rectangle((left - 4, box[1] - 3, max(left + pixels, box[2]) + 4, bottom + 4), fill="white")
    pen.rectangle((left, bottom - 3, left + pixels, bottom), fill="black")
    pen.text((left, bottom - 6), words, fill="black", font=font, anchor="ls")
