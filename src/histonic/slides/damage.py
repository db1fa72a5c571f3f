"""What decoders raise where a file is damaged, and how much a compressed picture can hold at most."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import tifffile

BROKEN = (
    tifffile.TiffFileError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RuntimeError,
    EOFError,
    OSError,
    struct.error,
)
"""What tifffile, imagecodecs, Pillow and arithmetic on their numbers raise."""
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF."""
SMALL_BYTES = 64_000_000
MOST_COMPRESSION = 1_100
_PNG = b"\x89PNG\r\n\x1a\n"


def can_come_from(pixel_bytes: int, stored_bytes: int) -> bool:
    """Whether pixels may be stored in so few bytes, so that memory follows what is stored and no header.

    Deflate makes even one colour smaller by a factor of 1,030 only. What is small needs no question.

    Example:
        >>> can_come_from(1_000_000_000, 2_000_000), can_come_from(1_000_000_000, 50_000)
        (True, False)
    """
    return pixel_bytes <= max(SMALL_BYTES, MOST_COMPRESSION * stored_bytes)


def require_whole_png(file: Path) -> None:
    """Compare the checksums of the parts of a PNG that hold its pixels, which decoders pass over.

    Args:
        file: An image; of other formats nothing is looked at.

    Raises:
        OSError: The file cannot be read.
        ValueError: A checksum differs, or the file is cut off.
    """
    data = file.read_bytes()
    at = len(_PNG)
    if not data.startswith(_PNG):
        return
    while True:
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if end > len(data):
            raise ValueError("the file is cut off")
        # A small first letter marks what is said about the picture; it is no part of it.
        if name[:1].isupper() and zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(
            data[end - 4 : end], "big"
        ):
            raise ValueError(f"the checksum of its part {name.decode('latin-1')} differs")
        if name == b"IEND":
            return
        at = end
