"""Which images of a TIFF file make up the slide, which files are left to others, and which are damaged."""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Sequence
from typing import Any

import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import NotMine
from histonic.slides.damage import BROKEN
from histonic.slides.formats.tiff_colours import UnshownError
from histonic.slides.formats.tiff_ome import ome_pixels, require_one_plane
from histonic.slides.sources.places import Source, open_source, size_of
from histonic.slides.sources.remote import RemoteFile

LEFT_TO_OTHERS = {
    "is_ndpi": "Hamamatsu NDPI",
    "is_scn": "Leica SCN",
    "is_bif": "Ventana BIF",
    "is_philips": "Philips TIFF",
    "is_lsm": "Zeiss LSM",
    "is_stk": "MetaMorph STK",
}
MACRO, MASK = 9, 4
# Offsets and byte counts of strips, of tiles.
TABLES = ((273, 279), (324, 325))
RATIO_SLACK = 0.01
MOST_PAGES = 10_000
MOST_SIDE_PX = 2**24
# "46000x32914 [42673,5576 2220x2967] (240x240)", and without brackets where nothing was cut out.
APERIO_SIZE = re.compile(
    r"^(?:\d+x\d+ \[\d+,\d+[ ,])?(\d{1,9})x(\d{1,9})\]? \(\d+x\d+\)(?! *->)", re.MULTILINE
)
IMAGEJ_IMAGES = re.compile(r"^images=(\d{1,9})\s*$", re.MULTILINE)


def open_tiff(path: Source) -> tifffile.TiffFile:
    """Open a file as TIFF.

    Raises:
        NotMine: It is no TIFF file.
        UnreadableSlideError: It is one, but damaged, or it ends before its first directory.
    """
    first = _first_directory(path)
    if first:
        require_size(path, first + 2)
    try:
        tiff = tifffile.TiffFile(path.stream() if isinstance(path, RemoteFile) else path)
    except BROKEN as error:
        reason = " ".join(str(error).split()).removeprefix("not a TIFF file").strip(": ")
        if first:
            raise damaged(path, f"its structure makes no sense ({reason or type(error).__name__})") from error
        raise NotMine(f"not a TIFF file ({reason})" if reason else "not a TIFF file") from error
    # Where positioned reads do not exist, threads take turns.
    tiff.filehandle.set_lock(not hasattr(os, "pread"))
    return tiff


def find_levels(tiff: tifffile.TiffFile, path: Source) -> list[Any]:
    """The pages that are the slide, finest first; labels, macros and thumbnails are left out.

    The slide is the largest picture of the file, wherever it stands; of several of the same size the first.

    Raises:
        NotMine: The kind of file is left to other readers.
        UnreadableSlideError: The file is damaged, or its pixels are of a kind that cannot be read.
    """
    for flag, name in LEFT_TO_OTHERS.items():
        if getattr(tiff, flag, False):
            raise NotMine(f"{name} is left to OpenSlide")
    if str(tiff.pages[0].software or "").startswith("MedScan"):
        raise NotMine("Trestle, whose tiles overlap, is left to OpenSlide")
    require_whole_directories(tiff, path)
    try:
        pages = _pictures(tiff)
        first = max(pages, key=_pixels)  # of equal ones the first
        _require_said_size(first)
        pixels = ome_pixels(tiff, first)
    except BROKEN as error:
        raise damaged(path, said(error)) from error
    try:
        if pixels is not None:
            require_one_plane(pixels, int(first.samplesperpixel))
        _require_one_picture(first, pages)
    except ValueError as error:
        raise unshown(path, UnshownError(str(error))) from error
    levels = [first]
    others = sorted(_candidates(first, pages), key=_pixels, reverse=True)
    for page in others:
        if _is_stored_alike(page, first) and _is_smaller(page, first, levels[-1]):
            levels.append(page)
    _require_same_samples(path, first, others)
    if len(levels) == 1:
        _require_no_cut_side(path, first, others)
    return levels


def twins(tiff: tifffile.TiffFile, first: Any) -> int:
    """How many other pictures of the file are as large as the slide."""
    return sum(_same_size(page, first) for page in _pictures(tiff)) - 1


def damaged(path: object, found: str) -> UnreadableSlideError:
    """The refusal of a TIFF file that contradicts itself; no other reader is asked."""
    return UnreadableSlideError(
        f"Open the slide {path}.",
        f"It is damaged: {found}.",
        "Copy it again from where it came; if that does not help, scan or export it again.",
    )


def unshown(path: object, error: UnshownError) -> UnreadableSlideError:
    """The refusal of pixels that would be shown wrong; no other reader is asked, as it may show others."""
    return UnreadableSlideError(
        f"Open the slide {path}.",
        f"Its pixels cannot be read: {error}.",
        error.todo
        or "Export it as RGB with 8 bits a channel, for instance: vips tiffsave IN OUT.tif --tile --pyramid "
        "--compression jpeg --bigtiff. Or see what OpenSlide makes of it: --reader openslide.",
    )


def said(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def require_size(path: Source, end: int) -> None:
    """Refuse a file of fewer than ``end`` bytes.

    Raises:
        UnreadableSlideError: It was cut off.
    """
    size = size_of(path)
    if end > size:
        raise UnreadableSlideError(
            f"Open the slide {path}.",
            f"It is truncated: it should have at least {end:,} bytes, but has {size:,}.",
            "Copy it again.",
        )


def _first_directory(path: Source) -> int:
    """Where a TIFF header says that the first directory lies; 0 if the file has no such header."""
    with open_source(path) as file:
        head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    if not order or len(head) < 8:
        return 0
    (version,) = struct.unpack(order + "H", head[2:4])
    if version == 42:
        return int(struct.unpack(order + "I", head[4:8])[0])
    return int(struct.unpack(order + "Q", head[8:16])[0]) if version == 43 and len(head) == 16 else 0


def require_whole_directories(tiff: tifffile.TiffFile, path: Source) -> None:
    """Follow the chain of directories: a file cut off between them would only look like a smaller one.

    Raises:
        UnreadableSlideError: It was cut off, or the chain leads in a circle or to no end.
    """
    form, handle = tiff.tiff, tiff.filehandle
    offset, seen = _first_directory(path), set[int]()
    while offset:
        if offset in seen:
            raise damaged(path, "its directories lead in a circle")
        seen.add(offset)
        if len(seen) > MOST_PAGES:
            raise damaged(path, f"it has more than {MOST_PAGES:,} directories")
        require_size(path, offset + form.tagnosize)
        handle.seek(offset)
        (count,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
        end = offset + form.tagnosize + count * form.tagsize
        require_size(path, end + form.offsetsize)
        handle.seek(end)
        (offset,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))


def _pictures(tiff: tifffile.TiffFile) -> list[Any]:
    """All pages and their sub-images, but for masks and macro pictures."""
    found: list[Any] = []
    for index in range(len(tiff.pages)):
        page: Any = tiff.pages[index]
        found += [page, *(page.pages or ())]
    pictures = [page for page in found if not _is_beside(page)]
    for page in pictures:
        sides = int(page.imagewidth), int(page.imagelength)
        if not 0 < min(sides) <= max(sides) <= MOST_SIDE_PX:
            raise ValueError(f"a picture in it is said to have {sides[0]} x {sides[1]} px")
        # The tables of tiles are compared on all pages: a damaged size could make another one the largest.
        _require_as_many_tiles(page)
    if not pictures:
        raise ValueError("it holds no picture")
    return pictures


def _is_beside(page: Any) -> bool:
    """Whether a page is a mask or a macro picture, by what it holds too: one damaged tag hides no slide."""
    return (page.is_mask and int(page.photometric) == MASK) or (page.is_svs and page.subfiletype == MACRO)


def _require_as_many_tiles(page: Any) -> None:
    wide, high = int(page.imagewidth), int(page.imagelength)
    block = (
        (int(page.tilewidth), int(page.tilelength))
        if page.is_tiled
        else (wide, min(high, int(page.rowsperstrip)))
    )
    needed = -(-wide // block[0]) * -(-high // block[1]) * max(1, int(page.imagedepth))
    needed *= int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1
    # As written: tifffile drops what is too much.
    written = [page.tags[tag].count for tag in TABLES[bool(page.is_tiled)] if tag in page.tags]
    for listed in (len(page.dataoffsets), len(page.databytecounts), *written):
        if listed != needed:
            raise ValueError(
                f"its directory lists {listed} stored pieces, but {wide} x {high} px in pieces of "
                f"{block[0]} x {block[1]} px are {needed}"
            )


def _pixels(page: Any) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _same_size(page: Any, other: Any) -> bool:
    return bool(page.imagewidth == other.imagewidth and page.imagelength == other.imagelength)


def _require_said_size(page: Any) -> None:
    """Compare with Aperio's description; a picture cut out or made smaller later differs in both sides."""
    found = APERIO_SIZE.search(str(page.description or "")) if page.is_svs else None
    if found is None:
        return
    wide, high = int(found.group(1)), int(found.group(2))
    if (wide == page.imagewidth) != (high == page.imagelength):
        raise ValueError(
            f"its directory says {page.imagewidth} x {page.imagelength} px, "
            f"its description {wide} x {high} px"
        )


def _require_one_picture(first: Any, pages: Sequence[Any]) -> None:
    """Refuse channels or planes that are stored as pictures of their own."""
    if int(first.samplesperpixel) > 1 or int(first.photometric) == 3:
        return
    count = sum(_same_size(page, first) for page in pages)
    # ImageJ may store a whole stack behind one directory.
    stack = IMAGEJ_IMAGES.search(str(first.description or "")) if first.is_imagej else None
    count = max(count, int(stack.group(1)) if stack else 1)
    if count > 1:
        raise ValueError(f"it holds {count} grey pictures of one size: channels or planes stored apart")


def _candidates(first: Any, pages: Sequence[Any]) -> list[Any]:
    """Pages that may be coarser copies of the slide: its sub-images, and those that claim to be."""
    own = {id(page) for page in first.pages or ()}
    # Aperio does not mark its levels; elsewhere an unmarked page may be a mask or another picture.
    return [
        page
        for page in pages
        if page is not first
        and (id(page) in own or page.is_reduced or (first.is_svs and page.is_svs and page.is_tiled))
    ]


def _is_stored_alike(page: Any, first: Any) -> bool:
    same_kind = page.is_tiled == first.is_tiled and page.dtype == first.dtype
    return bool(same_kind and int(page.samplesperpixel) == int(first.samplesperpixel))


def _is_smaller(page: Any, first: Any, finest_so_far: Any) -> bool:
    """Whether a page has the shape of the first, and is smaller than all before."""
    if page.imagewidth >= finest_so_far.imagewidth:
        return False
    across, down = _ratios(page, first)
    # Sizes are rounded to whole pixels, which shows on small levels.
    slack = 0.02 + 1.0 / min(page.imagewidth, page.imagelength)
    return bool(abs(across - down) <= slack * across)


def _ratios(page: Any, first: Any) -> tuple[float, float]:
    return first.imagewidth / page.imagewidth, first.imagelength / page.imagelength


def _require_no_cut_side(path: Source, first: Any, others: Sequence[Any]) -> None:
    """Refuse a pyramid of which no level has the shape of the slide: a side of one of them is damaged."""
    for page in others:
        if not (page.is_tiled and _is_stored_alike(page, first)):
            continue
        wide, high = (_is_power_of_two(ratio) for ratio in _ratios(page, first))
        if wide != high:
            raise damaged(
                path,
                f"a coarser copy of it has {page.imagewidth} x {page.imagelength} px, which is not the shape "
                f"of {first.imagewidth} x {first.imagelength} px",
            )


def _require_same_samples(path: Source, first: Any, others: Sequence[Any]) -> None:
    """Refuse a pyramid of which a tiled level has other samples than the slide."""
    for page in others:
        tiled = page.is_tiled and first.is_tiled and not page.is_mask
        if tiled and not _is_stored_alike(page, first) and _is_smaller(page, first, first):
            raise damaged(
                path,
                f"a coarser copy of it has {page.samplesperpixel} channel(s) of {page.bitspersample} bits, "
                f"it itself {first.samplesperpixel} of {first.bitspersample}",
            )


def _is_power_of_two(ratio: float) -> bool:
    return ratio > 1.5 and abs(math.log2(ratio) - round(math.log2(ratio))) < RATIO_SLACK
