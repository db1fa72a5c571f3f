"""Image files as RGB bytes; what is damaged or deeper than 8 bits is refused."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.slides.damage import require_whole_png

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_DAMAGED = (
    # Pillow's readers let the errors of their parsers through.
    Image.DecompressionBombError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
HASH_LETTERS = 24
"""96 bits: no two images of a billion would share them."""
UInt8Array = npt.NDArray[np.uint8]


def read_image(path: Path) -> UInt8Array:
    """An image as RGB bytes ``(H, W, 3)``.

    Grey, palette, CMYK and transparent images (over white) are converted; pixels stay as they are stored.

    Raises:
        ValueError: It cannot be read, or has more than 8 bits a channel.
    """
    if not path.is_file():
        raise ValueError("There is no such file.")
    try:
        require_whole_png(path)
        with Image.open(path) as image:
            if deep := _depth(image):
                raise ValueError(f"It has more than 8 bits a channel ({deep}).")
            return np.asarray(_coloured(image), dtype=np.uint8)
    except _DAMAGED as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _depth(image: Image.Image) -> str:
    """How an image of more than 8 bits is coded, else nothing.

    Pillow reads RGB of 16 bits as if it had 8; only the decoder's arguments tell.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return image.mode
    for tile in getattr(image, "tile", ()):
        coding = tile[3] if isinstance(tile[3], str) else tile[3][0] if tile[3] else ""
        if isinstance(coding, str) and ";16" in coding:
            return coding
    return ""


def _coloured(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        above = image.convert("RGBA")
        under = Image.new("RGBA", above.size, (255, 255, 255, 255))
        return Image.alpha_composite(under, above).convert("RGB")
    return image.convert("RGB")


def pixel_hash(tile: UInt8Array) -> str:
    """Hash that two images share if every pixel is the same."""
    return hashlib.sha256(f"{tile.shape}".encode() + tile.tobytes()).hexdigest()[:HASH_LETTERS]


def turned_hash(tile: UInt8Array) -> str:
    """Hash that an image shares with its turned and mirrored copies, and with no other image.

    Example:
        >>> tile = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        >>> turned_hash(tile) == turned_hash(np.rot90(tile)), pixel_hash(tile) == pixel_hash(np.rot90(tile))
        (True, False)
    """
    # How often each colour occurs would be found faster, but tells few pictures of two colours apart.
    turned = list(_orientations(_as_items(tile)))
    shape = min(each.shape for each in turned)
    left = [each for each in turned if each.shape == shape]
    # Nearly always one of the eight alone begins with the least row; behind a margin further ones decide.
    start, rows = 0, 1
    while len(left) > 1 and start < shape[0]:
        parts = [each[start : start + rows].tobytes() for each in left]
        least = min(parts)
        left = [each for each, part in zip(left, parts, strict=True) if part == least]
        if start == 0 and len(left) == len(turned) and (tile == tile[0, 0]).all():
            break  # of one colour
        start, rows = start + rows, 2 * rows
    whole = left[0].tobytes()
    return hashlib.sha256(f"{(*shape, tile.shape[2])}".encode() + whole).hexdigest()[:HASH_LETTERS]


def _as_items(tile: UInt8Array) -> npt.NDArray[np.void]:
    """Its pixels ``(H, W)`` as items of bytes, which are copied faster than single bytes."""
    items: npt.NDArray[np.void] = np.ascontiguousarray(tile).view(f"V{tile.shape[2]}")[..., 0]
    return items


def _orientations(tile: npt.NDArray[np.void]) -> Iterator[npt.NDArray[np.void]]:
    """The image in its eight orientations."""
    for upright in (tile, tile.T):
        for rows in (upright, upright[::-1]):
            yield from (rows, rows[:, ::-1])
