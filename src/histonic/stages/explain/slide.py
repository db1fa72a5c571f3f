"""The picture of a slide behind its map: the slide file if it is at hand, else the stored thumbnail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import HistonicError
from histonic.core.places.urls import Place, Url, is_url
from histonic.slides.base import open_slide
from histonic.slides.thumbnail import thumbnail

UInt8Image = npt.NDArray[np.uint8]
THUMBNAIL_PX = 1000
TILE_PX = 128
"""Largest side of a shown tile."""


@dataclass(frozen=True)
class SlidePicture:
    """What can be shown of a slide.

    Attributes:
        whole: uint8 ``(h, w, 3)`` of the whole slide; white if there is no picture at all.
        file: The slide file or its URL; None if it is not at hand or another one lies in its place.
        note: Empty, or why pictures are coarser than they could be.
    """

    whole: UInt8Image
    file: Place | None
    note: str = ""


def slide_picture(slide: CompressedSlide, stored: Path | None, folder: Path | None = None) -> SlidePicture:
    """The whole slide as a small picture, and where its file lies.

    Args:
        slide: The map, which knows where its slide lay.
        stored: Thumbnail in the store or run, if there is one.
        folder: Where slide files lie now, if they were moved.
    """
    found: Place | str = find_slide_file(slide, folder)
    if not isinstance(found, str):
        try:
            with open_slide(found, mpp=slide.grid.slide_mpp) as opened:
                if opened.fingerprint == slide.slide.fingerprint:
                    return SlidePicture(thumbnail(opened, THUMBNAIL_PX), found)
            found = f"{found} is not the file that was compressed"
        except (HistonicError, OSError) as error:
            found = f"{found} cannot be read ({getattr(error, 'found', error)})"
    if stored is not None:
        try:
            with Image.open(stored) as image:
                return SlidePicture(
                    np.asarray(image.convert("RGB")), None, f"{found}: shown from the thumbnail"
                )
        except OSError:
            found += ", nor can its thumbnail"
    wide, high = slide.grid.slide_wh
    scale = THUMBNAIL_PX / max(wide, high)
    blank = np.full((max(1, round(high * scale)), max(1, round(wide * scale)), 3), 255, np.uint8)
    return SlidePicture(blank, None, f"{found}: there is no picture")


def find_slide_file(slide: CompressedSlide, folder: Path | None) -> Place | str:
    """The slide's file or URL, or why there is none."""
    name, path = slide.slide.file, slide.slide.path
    if not name or not path:
        return "the map does not name its slide file"
    # Of files of one name the one that lies in the same folders as before.
    steps = PurePath(path).parts
    places = [folder.joinpath(*steps[-depth:]) for depth in range(len(steps) - 1, 0, -1)] if folder else []
    places = [*places, *([folder / name] if folder else [])]
    if is_url(path) and not any(place.is_file() for place in places):
        return Url(path)
    for place in (*places, Path(path)):
        if place.is_file():
            return place
    return f"the slide file {path} is not there" + (f", nor {places[-1]}" if places else "")


def cell_pictures(
    picture: SlidePicture, slide: CompressedSlide, cells: Sequence[tuple[int, int]]
) -> list[UInt8Image]:
    """Pictures of single cells, uint8 ``(h, w, 3)``: as encoded, or cut from the whole picture."""
    if not cells:
        return []
    grid = slide.grid
    if picture.file is not None:
        side = min(TILE_PX, grid.tile_px)
        try:
            with open_slide(picture.file, mpp=grid.slide_mpp) as opened:
                xys = [grid.cell_xy(cell) for cell in cells]
                return list(opened.read_many(xys, (side, side), grid.mpp * grid.tile_px / side))
        except (HistonicError, OSError):
            pass  # The coarse picture is better than none.
    scale = picture.whole.shape[1] / grid.slide_wh.w
    found = []
    for cell in cells:
        x, y = (each * scale for each in grid.cell_xy(cell))
        size = grid.tile_side_level0 * scale
        high, wide = picture.whole.shape[:2]
        left, top = min(max(int(x), 0), wide - 1), min(max(int(y), 0), high - 1)
        part = picture.whole[top : max(top + 1, round(y + size)), left : max(left + 1, round(x + size))]
        found.append(np.asarray(Image.fromarray(part).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)))
    return found
