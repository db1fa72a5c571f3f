"""What the header of a compressed picture says of its size, before memory is spent on decoding it."""

from __future__ import annotations

import struct
from typing import NamedTuple

JPEG = (7,)
JPEG_2000 = (33003, 33004, 33005, 34712)
WEBP = (50001,)
PNG = (34933,)
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SIZ = b"\xff\x4f\xff\x51"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


class StoredSize(NamedTuple):
    """Size of a compressed picture as its own header states it; 0 where it does not say."""

    width: int
    height: int
    samples: int = 0
    bits: int = 0


def stored_size(data: bytes, compression: int) -> StoredSize | None:
    """Read the header of a compressed tile.

    Args:
        data: The bytes of the tile.
        compression: TIFF's number of the compression.

    Returns:
        What the header says; None for compressions that have no header with a size.

    Raises:
        ValueError: There is no such header: the data are damaged.

    Example:
        >>> frame = bytes.fromhex("ffd8 ffc0 0011 08 0010 0020 03 011100 021100 031100")
        >>> stored_size(frame, 7)
        StoredSize(width=32, height=16, samples=3, bits=8)
    """
    try:
        if compression in JPEG:
            return _jpeg(data)
        if compression in JPEG_2000:
            return _jpeg_2000(data)
        if compression in WEBP:
            return _webp(data)
        if compression in PNG:
            return _png(data)
    except (struct.error, IndexError) as error:
        raise ValueError("the header of its compressed picture is cut off") from error
    return None


def _jpeg(data: bytes) -> StoredSize:
    if data[:2] != b"\xff\xd8":
        raise ValueError("it is no JPEG picture")
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("the header of its JPEG picture is damaged")
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif marker in _FRAMES:
            bits, height, width, samples = struct.unpack(">BHHB", data[at + 4 : at + 10])
            return StoredSize(width, height, samples, bits)
        elif marker in (0xD9, 0xDA):
            raise ValueError("its JPEG picture does not say its size")
        else:
            (length,) = struct.unpack(">H", data[at + 2 : at + 4])
            at += 2 + max(2, length)


def _jpeg_2000(data: bytes) -> StoredSize:
    start = data.find(_SIZ, 0, 4096)
    if start < 0:
        raise ValueError("it is no JPEG 2000 picture")
    right, bottom, left, top = struct.unpack(">4I", data[start + 8 : start + 24])
    (samples,) = struct.unpack(">H", data[start + 40 : start + 42])
    bits = (data[start + 42] & 0x7F) + 1
    if right <= left or bottom <= top:
        raise ValueError("the header of its JPEG 2000 picture is damaged")
    return StoredSize(right - left, bottom - top, samples, bits)


def _webp(data: bytes) -> StoredSize:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("it is no WebP picture")
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<2H", data[26:30])
        return StoredSize(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (packed,) = struct.unpack("<I", data[21:25])
        return StoredSize((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        sides = [int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)]
        if len(data) < 30:
            raise ValueError("the header of its compressed picture is cut off")
        return StoredSize(*sides)
    raise ValueError("the header of its WebP picture is damaged")


def _png(data: bytes) -> StoredSize:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError("it is no PNG picture")
    width, height, bits, colour = struct.unpack(">2I2B", data[16:26])
    return StoredSize(width, height, _PNG_CHANNELS.get(colour, 0), bits)
