"""Tissue masks made elsewhere: PNG, TIFF and QuPath GeoJSON."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageDraw

from histonic.core.errors import MaskError
from histonic.slides.base import Slide
from histonic.slides.damage import BROKEN, can_come_from, require_whole_png
from histonic.slides.tissue.rule import TissueMask

MOST_ASPECT_ERROR = 0.02
RASTER_SIDE_PX = 4096
MOST_MASK_BYTES = 4_000_000_000
Ring = list[tuple[float, float]]


def read_tissue_mask(path: str | Path, slide: Slide) -> TissueMask:
    """Read a tissue mask for a slide.

    Images may have any size but the slide's aspect; what is not zero is tissue. In GeoJSON every polygon
    is tissue, its holes are not; coordinates are level-0 pixels, as QuPath writes them.

    Args:
        path: ``.png``, ``.tif``, ``.tiff``, ``.geojson`` or ``.json``.
        slide: The opened slide that the mask belongs to.

    Raises:
        MaskError: The file is absent, damaged, of another kind or aspect, or holds no polygon.
        MissingMppError: The slide has no mpp.
    """
    file = Path(path)
    asked = f"Read the mask {file} of {slide.name}."
    if not file.is_file():
        raise MaskError(asked, "There is no such file.", "Check the mask column or --masks.")
    suffix = file.suffix.lower()
    if suffix in (".geojson", ".json"):
        mask = _rasterise(_read_polygons(file, asked), slide)
    elif suffix in (".png", ".tif", ".tiff"):
        mask = _read_image(file, asked)
    else:
        raise MaskError(asked, f"It is a {suffix or 'nameless'} file.", "Give PNG, TIFF or GeoJSON.")
    width, height = slide.size_wh
    if not same_aspect(mask.shape, (width, height)):
        raise MaskError(
            asked,
            f"It is {mask.shape[1]} x {mask.shape[0]}, the slide {width} x {height}: another shape.",
            "Export the mask of the whole slide, from its top-left corner.",
        )
    return TissueMask(mask, width * slide.mpp / mask.shape[1])


def same_aspect(shape: tuple[int, ...], size_wh: tuple[int, int]) -> bool:
    """Whether a picture of ``(h, w)`` pixels may show a whole slide.

    Example:
        >>> same_aspect((100, 200), (4000, 2010)), same_aspect((100, 200), (4000, 3000))
        (True, False)
    """
    aspect = (shape[1] / shape[0]) / (size_wh[0] / size_wh[1])
    # One pixel more or less is rounding.
    return abs(aspect - 1) <= MOST_ASPECT_ERROR + 1.0 / min(shape[:2])


def _read_image(file: Path, asked: str) -> npt.NDArray[np.bool_]:
    try:
        pixels = _read_png(file) if file.suffix.lower() == ".png" else _read_tiff(file)
    except _TooLargeError as error:
        raise MaskError(asked, f"{error}.", "Save it smaller: 8 µm/px are enough.") from error
    # What the decoders raise on damaged files is of many kinds.
    except (*BROKEN, SyntaxError) as error:
        found = " ".join(str(error).split()) or type(error).__name__
        raise MaskError(asked, f"It cannot be read: {found}.", "Export it again.") from error
    if pixels.ndim == 3:
        # An alpha channel is opaque everywhere and says nothing of tissue.
        colours = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
        pixels = colours.max(2)
    if pixels.ndim != 2:
        raise MaskError(asked, f"It has the shape {pixels.shape}.", "Give an image with one plane.")
    if pixels.dtype.kind not in "bui" and not np.isfinite(pixels).all():
        raise MaskError(
            asked, "Some of its pixels are no numbers.", "Export it as 8 bits, tissue above zero."
        )
    return pixels > 0


class _TooLargeError(Exception):
    """A picture needs more memory than a mask ever should."""


def _read_png(file: Path) -> npt.NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at here
        require_whole_png(file)
        try:
            with Image.open(file) as image:
                bits = 1 if image.mode == "1" else 8 * len(image.getbands())
                _require_small(image.width, image.height, bits, file)
                return np.asarray(image)
        except Image.DecompressionBombError as error:
            raise _TooLargeError(str(error).rstrip(".")) from error


def _read_tiff(file: Path) -> npt.NDArray[Any]:
    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[0]
        bits = int(page.bitspersample) * int(page.samplesperpixel) * int(page.imagedepth)
        _require_small(page.imagewidth, page.imagelength, bits, file)
        pixels: npt.NDArray[Any] = np.asarray(page.asarray())
    return np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 and pixels.ndim == 3 else pixels


def _require_small(width: int, height: int, bits: int, file: Path) -> None:
    """Refuse a picture that its header alone makes large."""
    if width * height > MOST_MASK_BYTES:
        raise _TooLargeError(f"It has {width} x {height} px")
    if not can_come_from(width * height * bits // 8, file.stat().st_size):
        raise ValueError(f"{width} x {height} px cannot come from {file.stat().st_size:,} bytes")


def _read_polygons(file: Path, asked: str) -> list[list[Ring]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        polygons = list(polygons_of(content))
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise MaskError(
            asked, f"It is no GeoJSON: {error!r}.", "Export it from QuPath as GeoJSON."
        ) from error
    if not polygons:
        raise MaskError(asked, "It holds no polygon.", "Draw the tissue as areas and export it again.")
    return polygons


def polygons_of(content: Any) -> Iterator[list[Ring]]:
    """Polygons of parsed GeoJSON: a FeatureCollection, a list of features, a feature or a bare geometry.

    Yields:
        Rings of corners, the first the outline, the others holes.

    Raises:
        KeyError, TypeError, ValueError, IndexError: It is no GeoJSON.
    """
    if content is None:  # a feature may lack its geometry
        return
    if isinstance(content, list):
        for item in content:
            yield from polygons_of(item)
        return
    kind = content["type"]
    if kind == "FeatureCollection":
        yield from polygons_of(content["features"])
    elif kind == "Feature":
        yield from polygons_of(content["geometry"])
    elif kind == "GeometryCollection":
        yield from polygons_of(content["geometries"])
    elif kind == "MultiPolygon":
        for rings in content["coordinates"]:
            yield [_ring(ring) for ring in rings]
    elif kind == "Polygon":
        yield [_ring(ring) for ring in content["coordinates"]]


def _ring(points: Any) -> Ring:
    ring = [(float(point[0]), float(point[1])) for point in points]
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in ring):
        raise ValueError("a corner is no number")
    return ring


def _rasterise(polygons: list[list[Ring]], slide: Slide) -> npt.NDArray[np.bool_]:
    width, height = slide.size_wh
    scale = min(1.0, RASTER_SIDE_PX / max(width, height))
    size = (max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale)))
    mask = np.zeros(size[::-1], bool)
    for rings in polygons:
        # Pixel centres lie half a pixel from the corner that coordinates count from.
        points = [np.array(ring, float).reshape(-1, 2) * scale - 0.5 for ring in rings if len(ring) >= 3]
        if points:
            _draw(points, mask)
    return mask


def _draw(rings: list[npt.NDArray[np.float64]], mask: npt.NDArray[np.bool_]) -> None:
    """Add a polygon, its first ring the outline, the others holes; on a canvas no larger than itself."""
    low = np.clip(np.floor(rings[0].min(0)).astype(int) - 1, 0, mask.shape[::-1])
    high = np.clip(np.ceil(rings[0].max(0)).astype(int) + 2, 0, mask.shape[::-1])
    if (high <= low).any():
        return
    canvas = Image.new("1", (int(high[0] - low[0]), int(high[1] - low[1])))
    draw = ImageDraw.Draw(canvas)
    for index, ring in enumerate(rings):
        draw.polygon([(float(x), float(y)) for x, y in ring - low], fill=0 if index else 1)
    mask[low[1] : high[1], low[0] : high[0]] |= np.asarray(canvas)
