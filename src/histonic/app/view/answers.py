"""What the viewer answers, as plain values and bytes; the same for the server and for an export."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from histonic.app.view.content import Described
from histonic.app.view.pyramid import OVERLAP_PX, TILE_PX, Pyramid
from histonic.app.view.slides import SlidePool, jpeg_of
from histonic.slides.thumbnail import read_small

THUMBNAILS_PX = {"small": 220, "large": 1400}
"""Longer side of a small picture: in the list, and in place of a slide that is not at hand."""
CELL_PX = 192
QUALITY = 88


def slide_facts(described: Described, ending: str, skipped: int = 0) -> dict[str, Any]:
    """What the page has to know of a slide.

    Args:
        described: The slide.
        ending: Format of its tiles.
        skipped: Finest levels that are not there.
    """
    size = described.size_wh
    pyramid = Pyramid(size, skipped)
    return {
        "width": size.w,
        "height": size.h,
        "mpp": described.mpp,
        "tiles": None
        if described.source is None
        else {
            "size": TILE_PX,
            "overlap": OVERLAP_PX,
            "format": ending,
            "width": pyramid.level_wh(pyramid.last).w,
            "height": pyramid.level_wh(pyramid.last).h,
            "factor": pyramid.factor(pyramid.last),
        },
        "picture": described.thumbnail is not None,
        "notes": list(described.notes),
        "layers": [layer.facts() for layer in described.layers],
    }


def thumbnail(described: Described, pool: SlidePool, side_px: int) -> bytes | None:
    """A small picture of a slide as JPEG; None if there is none.

    Args:
        described: The slide.
        pool: Reads it where no picture is stored.
        side_px: Longer side.
    """
    if described.thumbnail is not None:
        return _shrunk(described.thumbnail, side_px)
    if described.source is None:
        return None
    pyramid = Pyramid(described.size_wh)
    level = next(level for level in range(pyramid.last, -1, -1) if max(pyramid.level_wh(level)) <= side_px)
    key = (described.source, "thumbnail", level)
    found = pool.cache.get(key)
    if found is None:
        wide, high = pyramid.level_wh(level)
        factor = pyramid.factor(level)
        found = jpeg_of(pool.whole(described.source, pyramid, (wide, high), factor), QUALITY)
        pool.cache.put(key, found)
    return found


def cell_picture(described: Described, pool: SlidePool, layer: int, row: int, col: int) -> bytes | None:
    """One cell of a layer as the encoder saw it, as JPEG; None if it cannot be shown.

    Args:
        described: The slide.
        pool: Reads it.
        layer: Number of the layer.
        row: Of the cell.
        col: Of the cell.
    """
    if not 0 <= layer < len(described.layers) or described.source is None:
        return None
    box = described.layers[layer].tile_box(row, col)
    if box is None:
        return None
    xy, side, mpp = box
    shown = min(side, CELL_PX)
    pixels = pool.region(described.source, xy, (shown, shown), mpp * side / shown)
    return jpeg_of(pixels, QUALITY)


def _shrunk(path: Path, side_px: int) -> bytes | None:
    small = read_small(path, side_px)
    if small is None:
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
