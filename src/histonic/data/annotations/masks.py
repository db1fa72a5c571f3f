"""Annotations as pictures: PNG or TIFF of the whole slide, at any scale, with a class code in each pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from histonic.core.errors import MaskError
from histonic.data.annotations.shapes import Annotations, CodeMask
from histonic.slides.damage import require_whole_png

CHANNELS = ("red", "green", "blue")
MOST_CLASSES = 64
MOST_PIXELS = 2**28


def read_code_mask(file: Path, asked: str, *, least_width_px: int = 4096) -> Annotations:
    """Read a mask of codes; each code is the class of that name (``"0"``, ``"1"``, ``"2"``).

    Of a pyramid the coarsest picture that is wide enough is taken, as its codes were not averaged. Colour
    pictures are read if red, green and blue agree, or if only one of them holds anything (PANDA's masks have
    their codes in red); palette pictures by the index into their palette.

    Args:
        file: The file.
        asked: What was asked, for messages.
        least_width_px: Width that is wide enough.

    Raises:
        MaskError: It is damaged, too large, in colour, or holds values that are no codes.
    """
    try:
        pixels = _read_png(file) if file.suffix.lower() == ".png" else _read_tiff(file, asked, least_width_px)
    except Image.DecompressionBombError as error:
        raise MaskError(asked, f"{error}.", "Save it smaller, or as TIFF.") from error
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, tifffile.TiffFileError) as error:
        raise MaskError(asked, f"It cannot be read: {error}.", "Export it again.") from error
    codes, channel = _plane(pixels, asked)
    present = [int(code) for code in np.unique(codes)]
    if len(present) > MOST_CLASSES:
        raise MaskError(
            asked,
            f"It holds {len(present)} different values from {present[0]} to {present[-1]}.",
            "Give whole numbers as class codes, saved without JPEG compression.",
        )
    return Annotations(mask=CodeMask(codes, {code: str(code) for code in present}, channel))


def _read_png(file: Path) -> npt.NDArray[Any]:
    require_whole_png(file)
    with Image.open(file) as image:
        return np.asarray(image)


def _read_tiff(file: Path, asked: str, least_width_px: int) -> npt.NDArray[Any]:
    with tifffile.TiffFile(file) as tiff:
        levels = [level for level in tiff.series[0].levels if _width(level) >= least_width_px]
        chosen = levels[-1] if levels else tiff.series[0].levels[0]
        if np.prod(chosen.shape) > MOST_PIXELS:
            raise MaskError(
                asked,
                f"Its pixels are {' x '.join(map(str, chosen.shape))}, with no smaller picture inside.",
                "Save it smaller (8 µm/px are enough for most tiles) or as a pyramid.",
            )
        pixels = np.asarray(chosen.asarray())
        return np.moveaxis(pixels, 0, -1) if chosen.axes == "SYX" else pixels  # planes of colours apart


def _width(level: Any) -> int:
    return int(level.shape[level.axes.index("X")])


def _plane(pixels: npt.NDArray[Any], asked: str) -> tuple[npt.NDArray[np.unsignedinteger[Any]], str]:
    """One plane of unsigned codes, and the channel that it was where the others hold nothing."""
    channel = ""
    if pixels.ndim == 3 and pixels.shape[2] <= 4:
        # A second or fourth channel is opacity, which says nothing of classes.
        colours = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
        plane = colours[..., 0]
        if (colours != colours[..., :1]).any():
            used = [at for at in range(colours.shape[2]) if colours[..., at].any()]
            if len(used) > 1:
                raise MaskError(
                    asked,
                    f"It is in colour: the channels {' and '.join(CHANNELS[at] for at in used)} differ, and "
                    "each holds something.",
                    "Give one channel with a whole number for each class, the others empty or the same.",
                )
            plane, channel = colours[..., used[0]], CHANNELS[used[0]]
        pixels = plane
    if pixels.ndim != 2 or pixels.size == 0:
        raise MaskError(asked, f"It has the shape {pixels.shape}.", "Give an image with one plane.")
    if pixels.dtype == bool:
        return pixels.astype(np.uint8), channel
    if not np.issubdtype(pixels.dtype, np.integer) or pixels.min() < 0 or pixels.max() > 65535:
        raise MaskError(
            asked,
            f"It holds {pixels.dtype} from {pixels.min()} to {pixels.max()}.",
            "Give whole numbers from 0 to 65535 as class codes.",
        )
    return pixels.astype(np.uint8 if pixels.max() < 256 else np.uint16), channel
