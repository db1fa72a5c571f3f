"""A DICOM series opened by wsidicom: its levels, tried, and what is to be known of them."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import wsidicom
from wsidicom.config import Settings, use_settings
from wsidicom.file import WsiDicomFileSource

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import NotMine
from histonic.slides.formats.dicom.headers import (
    JPEG_BASELINE,
    DicomFile,
    damaged,
    header_mpp,
    read_level_files,
    said,
    unreadable,
)
from histonic.slides.formats.dicom.levels import JFIF, NAMES, REFUSED, Chosen, DicomLevel, choose_levels
from histonic.slides.resolution import HeaderMpp
from histonic.slides.scanner import openslide_scanner

MOST_BLOCK_BYTES = 1_500_000_000
SETTINGS = Settings(decoded_frame_cache_size=0, encoded_frame_cache_size=0, strict_tile_size_check=False)
"""Decoded tiles are kept elsewhere already; levels may have tiles of their own size."""
SCANNER = ("ManufacturerModelName", "DeviceSerialNumber")
VERSION = f"wsidicom {wsidicom.__version__}"


@dataclass(frozen=True)
class OpenedSeries:
    """What a DICOM slide is made of.

    Attributes:
        levels: Finest first.
        header: Microns per pixel of the finest.
        scanner: Model and serial number.
        storage: Compression of the finest level.
        note: What a user should know.
        close: Releases the files.
    """

    levels: Sequence[DicomLevel]
    header: HeaderMpp
    scanner: str
    storage: str
    note: str
    close: Callable[[], None]


def open_series(path: Path) -> OpenedSeries:
    """Open the slide that a DICOM file belongs to; the other files of its series lie beside it.

    Raises:
        NotMine: Its headers are sound, but wsidicom does not take it.
        UnreadableSlideError: It is no whole-slide image, damaged, not all there, or of a kind of pixels that
            cannot be shown.
    """
    with _quietly():
        files = read_level_files(path)
        _require_known(path, files)
        source = _open(files)
        try:
            return _checked(path, source, files)
        except UnreadableSlideError:
            source.close()
            raise
        except REFUSED as error:
            source.close()
            raise NotMine(f"wsidicom says: {said(error)}") from error
        except BaseException:
            source.close()
            raise


def _checked(path: Path, source: Any, files: Sequence[DicomFile]) -> OpenedSeries:
    chosen = choose_levels(list(source.level_instances), files)
    finest = chosen.files[0]
    levels = [DicomLevel(image, file, path) for image, file in zip(chosen.images, chosen.files, strict=True)]
    _require_finest(path, levels, files)
    _require_pixels(path, levels)
    return OpenedSeries(
        levels,
        header_mpp(finest),
        _scanner(finest),
        f"dicom {NAMES[finest.syntax]}",
        "; ".join(_notes(levels[0], finest, chosen)),
        source.close,
    )


def _require_finest(path: Path, levels: Sequence[DicomLevel], files: Sequence[DicomFile]) -> None:
    """Refuse a series of which the finest level was not taken in: a coarser one would stand for it."""
    finest = max((file.wh for file in files), key=math.prod)
    if finest != tuple(levels[0].wh):
        raise damaged(path, f"its level of {finest[0]} x {finest[1]} px does not fit the others")
    for level in levels:
        level.require_all_files(files)
    largest = max(level.block_bytes for level in levels)
    if largest > MOST_BLOCK_BYTES:
        raise unreadable(
            path,
            f"Its pixels are stored in pieces of {largest / 1e9:.1f} GB, which must be decoded at once.",
            "Export it in tiles, of 256 or 512 px say.",
        )


def _require_pixels(path: Path, levels: Sequence[DicomLevel]) -> None:
    """Try the first and the last tile of each level, so that damage is known at once."""
    for number, level in enumerate(levels):
        stored = level.stored()
        if not len(stored) and number == 0:
            raise damaged(path, "no pixel is stored in it")
        in_file_order = stored[np.argsort([level.offset(int(index)) for index in stored])]
        for index in in_file_order[[0, -1]] if len(stored) else ():
            try:
                level.decode(int(index))
            except UnreadableSlideError as error:
                raise damaged(path, f"its tiles cannot be decoded ({error.found.rstrip('.')})") from error


def _open(files: Sequence[DicomFile]) -> Any:
    try:
        with use_settings(SETTINGS):
            return WsiDicomFileSource.open([file.path for file in files])
    except REFUSED as error:
        raise NotMine(f"wsidicom says: {said(error)}") from error


def _scanner(level: DicomFile) -> str:
    """In the words of OpenSlide, so that one device has one name whoever reads its slides."""
    told = {f"dicom.{name}": str(getattr(level.header, name, None) or "") for name in SCANNER}
    return openslide_scanner({"openslide.vendor": "dicom", **told}).scanner


def _require_known(path: Path, files: Sequence[DicomFile]) -> None:
    unknown = sorted({file.syntax for file in files} - set(NAMES))
    if unknown:
        name = getattr(files[0].header.file_meta.TransferSyntaxUID, "name", unknown[0])
        raise unreadable(
            path,
            f"Its pixels are stored as {name} ({unknown[0]}), which is not read.",
            "Export it with JPEG, JPEG 2000 or without compression.",
        )


def _notes(level: DicomLevel, finest: DicomFile, chosen: Chosen) -> Iterator[str]:
    if chosen.others:
        yield f"{chosen.others} picture(s) of other areas in the series are not read"
    if chosen.planes * level.planes > 1:
        yield f"of {chosen.planes * level.planes} focal planes the middle one is read"
    if "RESAMPLED" in (finest.header.ImageType or ()):
        yield "the finest level in the folder was made smaller from one that is not there"
    if finest.syntax == JPEG_BASELINE and finest.colours == "RGB":
        stored = level.stored()
        if len(stored) and JFIF in level.frame(int(stored[0]))[:32]:
            yield "its header says RGB, but its JPEG pictures hold luma and chroma, and are read as such"


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the words of wsidicom and pydicom: what matters of them becomes an error here."""
    log, silent = logging.getLogger("wsidicom"), logging.NullHandler()
    before = log.propagate
    log.addHandler(silent)
    log.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.propagate = before
        log.removeHandler(silent)
