"""Which images of a TIFF file make up the slide, which files are left to others, and which end too early."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import NotMine

LEFT_TO_OTHERS = {
    "is_ndpi": "Hamamatsu NDPI",
    "is_scn": "Leica SCN",
    "is_bif": "Ventana BIF",
    "is_philips": "Philips TIFF",
    "is_lsm": "Zeiss LSM",
    "is_stk": "MetaMorph STK",
}
JPEG_FAMILY = (7, 33003, 33005)
MACRO = 9
# What tifffile and arithmetic on its numbers raise where the structure of a file is damaged.
BROKEN = (
    tifffile.TiffFileError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    struct.error,
)


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a file as TIFF.

    Raises:
        NotMine: It is no TIFF file.
        UnreadableSlideError: It is one, but ends before its first directory.
    """
    try:
        if first := _first_directory(path):
            require_size(path, first + 2)
        tiff = tifffile.TiffFile(path)
    except (*BROKEN, OSError) as error:
        reason = " ".join(str(error).split()).removeprefix("not a TIFF file").strip(": ")
        raise NotMine(f"not a TIFF file ({reason})" if reason else "not a TIFF file") from error
    # Where positioned reads do not exist, threads take turns.
    tiff.filehandle.set_lock(not hasattr(os, "pread"))
    return tiff


def find_levels(tiff: tifffile.TiffFile, path: Path) -> list[Any]:
    """The pages that are the slide, finest first; labels, macros and thumbnails are left out.

    Raises:
        NotMine: The kind of file or of pixels is left to other readers.
        UnreadableSlideError: The file ends within its directories.
    """
    for flag, name in LEFT_TO_OTHERS.items():
        if getattr(tiff, flag, False):
            raise NotMine(f"{name} is left to OpenSlide")
    _require_whole_directories(tiff, path)
    try:
        first = tiff.pages[0]
        _require_picture(tiff, first)
        pages = [first]
        for page in _candidates(tiff):
            if _is_level(page, first, pages[-1]):
                pages.append(page)
    except BROKEN as error:
        raise damaged(error) from error
    return pages


def damaged(error: BaseException) -> NotMine:
    """The refusal of a file whose structure makes no sense."""
    return NotMine(f"damaged TIFF structure ({' '.join(str(error).split()) or type(error).__name__})")


def require_size(path: Path, end: int) -> None:
    """Refuse a file of fewer than ``end`` bytes.

    Raises:
        UnreadableSlideError: It was cut off.
    """
    size = path.stat().st_size
    if end > size:
        raise UnreadableSlideError(
            f"Open the slide {path}.",
            f"It is truncated: it should have at least {end:,} bytes, but has {size:,}.",
            "Copy it again.",
        )


def _first_directory(path: Path) -> int:
    """Where a TIFF header says that the first directory lies; 0 if the file has no such header."""
    with path.open("rb") as file:
        head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    if not order or len(head) < 8:
        return 0
    (version,) = struct.unpack(order + "H", head[2:4])
    if version == 42:
        return int(struct.unpack(order + "I", head[4:8])[0])
    return int(struct.unpack(order + "Q", head[8:16])[0]) if version == 43 and len(head) == 16 else 0


def _require_whole_directories(tiff: tifffile.TiffFile, path: Path) -> None:
    """Follow the chain of directories: a file cut off between them would only look like a smaller one."""
    form, handle = tiff.tiff, tiff.filehandle
    offset, seen = _first_directory(path), set[int]()
    while offset and offset not in seen:
        seen.add(offset)
        require_size(path, offset + form.tagnosize)
        handle.seek(offset)
        (count,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
        end = offset + form.tagnosize + count * form.tagsize
        require_size(path, end + form.offsetsize)
        handle.seek(end)
        (offset,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))


def _require_picture(tiff: tifffile.TiffFile, page: Any) -> None:
    if page.dtype != np.uint8 or int(page.bitspersample) != 8:
        raise NotMine(f"samples are {page.dtype}, not 8 bits")
    if int(page.photometric) not in (0, 1, 2, 6):
        raise NotMine(f"colours are stored as {page.photometric!s}")
    if int(page.photometric) == 6 and int(page.compression) not in JPEG_FAMILY:
        raise NotMine("YCbCr without JPEG")
    if int(page.imagedepth) > 1:
        raise NotMine("a stack of planes")
    if str(page.software or "").startswith("MedScan"):
        raise NotMine("Trestle, whose tiles overlap, is left to OpenSlide")
    if tiff.is_ome and not set(tiff.series[0].axes) <= set("YXS"):
        raise NotMine(f"OME-TIFF with axes {tiff.series[0].axes}; only one RGB plane can be read")


def _candidates(tiff: tifffile.TiffFile) -> Iterator[Any]:
    """Pages that may be coarser copies of the first: its sub-images, and later ones that claim to be."""
    yield from tiff.pages[0].pages or ()
    for index in range(1, len(tiff.pages)):
        page = tiff.pages[index]
        # Aperio does not mark its levels; elsewhere an unmarked page may be a mask or another picture.
        if page.is_reduced or (tiff.is_svs and page.is_tiled):
            yield page


def _is_level(page: Any, first: Any, finest_so_far: Any) -> bool:
    """Whether a page has the storage and shape of the first, and is smaller than all before."""
    if page.is_tiled != first.is_tiled or page.dtype != first.dtype or page.subfiletype == MACRO:
        return False
    if int(page.samplesperpixel) != int(first.samplesperpixel):
        return False
    if page.imagewidth >= finest_so_far.imagewidth:
        return False
    across = first.imagewidth / page.imagewidth
    down = first.imagelength / page.imagelength
    # Sizes are rounded to whole pixels, which shows on small levels.
    slack = 0.02 + 1.0 / min(page.imagewidth, page.imagelength)
    return bool(abs(across - down) <= slack * across)
