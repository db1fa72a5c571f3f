"""What decoders raise where a file is damaged, and how much a compressed picture can hold at most."""

from __future__ import annotations

import struct

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


def can_come_from(pixel_bytes: int, stored_bytes: int) -> bool:
    """Whether pixels may be stored in so few bytes, so that memory follows what is stored and no header.

    Deflate makes even one colour smaller by a factor of 1,030 only. What is small needs no question.

    Example:
        >>> can_come_from(1_000_000_000, 2_000_000), can_come_from(1_000_000_000, 50_000)
        (True, False)
    """
    return pixel_bytes <= max(SMALL_BYTES, MOST_COMPRESSION * stored_bytes)
