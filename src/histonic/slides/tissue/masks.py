"""Tissue masks made elsewhere: PNG, TIFF and QuPath GeoJSON."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from histonic.core.errors import MaskError
from histonic.core.settings import MaskSettings
from histonic.slides.areas import words_of
from histonic.slides.base import Slide
from histonic.slides.damage import BROKEN, can_come_from, require_whole_png
from histonic.slides.tissue.polygons import rasterise, read_polygons
from histonic.slides.tissue.rule import TissueMask
from histonic.slides.tissue.values import tissue_by_index, tissue_by_value

MOST_ASPECT_ERROR = 0.02
MOST_MASK_BYTES = 4_000_000_000
Palette = npt.NDArray[Any] | None
"""Colours ``(n, 3)`` of a picture whose pixels are places in it."""
TIFF_PALETTE = 3


def read_tissue_mask(path: str | Path, slide: Slide, choice: MaskSettings | None = None) -> TissueMask:
    """Read a tissue mask for a slide.

    Images may have any size but the slide's aspect; tissue are the values chosen, or what is not zero where
    all else has one value, see :func:`histonic.slides.tissue.values.tissue_by_value`. In GeoJSON the polygons
    of the classes chosen are tissue, or all of them if they are of one class; their holes are not;
    coordinates are level-0 pixels, as QuPath writes them.

    Args:
        path: ``.png``, ``.tif``, ``.tiff``, ``.geojson`` or ``.json``.
        slide: The opened slide that the mask belongs to.
        choice: Which values and classes are tissue.

    Raises:
        MaskError: The file is absent, damaged, of another kind or aspect, or holds no polygon; which values
            or classes are tissue cannot be told, or it holds none of those that were chosen.
        MissingMppError: The slide has no mpp.
    """
    file, choice = Path(path), choice or MaskSettings()
    asked = f"Read the mask {file} of {slide.name}."
    if not file.is_file():
        raise MaskError(asked, "There is no such file.", "Check the mask column or --masks.")
    suffix, note = file.suffix.lower(), ""
    if suffix in (".geojson", ".json"):
        drawn = read_polygons(file, choice.classes, asked)
        mask = rasterise(drawn.polygons, slide.size_wh)
        told = {"repaired": drawn.repaired, "passed over": drawn.lost}
        note = "; ".join(f"{word} {words_of(counts)}" for word, counts in told.items() if counts)
    elif suffix in (".png", ".tif", ".tiff"):
        mask = _read_image(file, choice.values, asked)
    else:
        raise MaskError(asked, f"It is a {suffix or 'nameless'} file.", "Give PNG, TIFF or GeoJSON.")
    width, height = slide.size_wh
    if not same_aspect(mask.shape, (width, height)):
        raise MaskError(
            asked,
            f"It is {mask.shape[1]} x {mask.shape[0]}, the slide {width} x {height}: another shape.",
            "Export the mask of the whole slide, from its top-left corner.",
        )
    return TissueMask(mask, width * slide.mpp / mask.shape[1], note and f"mask {file.name}: {note}")


def same_aspect(shape: tuple[int, ...], size_wh: tuple[int, int]) -> bool:
    """Whether a picture of ``(h, w)`` pixels may show a whole slide.

    Example:
        >>> same_aspect((100, 200), (4000, 2010)), same_aspect((100, 200), (4000, 3000))
        (True, False)
    """
    aspect = (shape[1] / shape[0]) / (size_wh[0] / size_wh[1])
    # One pixel more or less is rounding.
    return abs(aspect - 1) <= MOST_ASPECT_ERROR + 1.0 / min(shape[:2])


def _read_image(file: Path, chosen: tuple[str, ...], asked: str) -> npt.NDArray[np.bool_]:
    try:
        pixels, palette = _read_png(file) if file.suffix.lower() == ".png" else _read_tiff(file)
    except _TooLargeError as error:
        raise MaskError(asked, f"{error}.", "Save it smaller: 8 µm/px are enough.") from error
    # What the decoders raise on damaged files is of many kinds.
    except (*BROKEN, SyntaxError) as error:
        found = " ".join(str(error).split()) or type(error).__name__
        raise MaskError(asked, f"It cannot be read: {found}.", "Export it again.") from error
    if pixels.ndim == 3:
        pixels = _without_opacity(pixels, asked)
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise MaskError(asked, f"It has the shape {pixels.shape}.", "Give an image with one plane.")
    if pixels.dtype.kind not in "bui" and not np.isfinite(pixels).all():
        raise MaskError(
            asked, "Some of its pixels are no numbers.", "Export it as 8 bits, tissue above zero."
        )
    if palette is not None:
        return tissue_by_index(pixels, palette, chosen, asked)
    return tissue_by_value(pixels, chosen, asked)


def _without_opacity(pixels: npt.NDArray[Any], asked: str) -> npt.NDArray[Any]:
    """Colours or greys of a picture; how opaque they are says nothing of tissue, unless nothing else does."""
    colours = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
    rest = pixels[..., colours.shape[2] :]
    if rest.size and (rest != rest[:1, :1]).any() and not (colours != colours[:1, :1]).any():
        raise MaskError(
            asked, "It is of one colour, and only its opacity differs.", "Export it in black and white."
        )
    return colours if colours.shape[2] == 3 else colours[..., 0]


class _TooLargeError(Exception):
    """A picture needs more memory than a mask ever should."""


def _read_png(file: Path) -> tuple[npt.NDArray[Any], Palette]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at here
        require_whole_png(file)
        try:
            with Image.open(file) as image:
                bits = 1 if image.mode == "1" else 8 * len(image.getbands())
                _require_small(image.width, image.height, bits, file)
                colours = image.getpalette("RGB") if image.mode == "P" else None
                palette = None if colours is None else np.array(colours, np.uint8).reshape(-1, 3)
                return np.asarray(image), palette
        except Image.DecompressionBombError as error:
            raise _TooLargeError(str(error).rstrip(".")) from error


def _read_tiff(file: Path) -> tuple[npt.NDArray[Any], Palette]:
    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[0]
        bits = int(page.bitspersample) * int(page.samplesperpixel) * int(page.imagedepth)
        _require_small(page.imagewidth, page.imagelength, bits, file)
        pixels: npt.NDArray[Any] = np.asarray(page.asarray())
        palette = np.asarray(page.colormap).T if page.photometric == TIFF_PALETTE else None
    return (np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 and pixels.ndim == 3 else pixels), palette


def _require_small(width: int, height: int, bits: int, file: Path) -> None:
    """Refuse a picture that its header alone makes large."""
    if width * height > MOST_MASK_BYTES:
        raise _TooLargeError(f"It has {width} x {height} px")
    if not can_come_from(width * height * bits // 8, file.stat().st_size):
        raise ValueError(f"{width} x {height} px cannot come from {file.stat().st_size:,} bytes")
