"""Image files as RGB bytes; what is damaged or deeper than 8 bits is refused."""

from __future__ import annotations

import hashlib
import struct
import zlib
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


def colour_hash(tile: UInt8Array) -> str:
    """Hash that an image shares with its turned and mirrored copies: of how often each value occurs.

    Example:
        >>> tile = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        >>> colour_hash(tile) == colour_hash(np.rot90(tile)), pixel_hash(tile) == pixel_hash(np.rot90(tile))
        (True, False)
    """
    counts = [np.bincount(tile[..., channel].reshape(-1), minlength=256) for channel in range(3)]
    return hashlib.sha256(np.stack(counts).astype("<i8").tobytes()).hexdigest()[:HASH_LETTERS]
