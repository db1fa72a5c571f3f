"""DICOM whole-slide images: the files of one series are one slide, an image of the series a level."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

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
from histonic.slides.formats.tiled import CACHE_BYTES, TiledSlide
from histonic.slides.scanner import openslide_scanner
from histonic.slides.sources.series import MAGIC, is_dicom

MOST_BLOCK_BYTES = 1_500_000_000
SETTINGS = Settings(decoded_frame_cache_size=0, encoded_frame_cache_size=0, strict_tile_size_check=False)
"""Decoded tiles are kept here already; levels may have tiles of their own size."""
SCANNER = ("ManufacturerModelName", "DeviceSerialNumber")


class DicomSlide(TiledSlide):
    """A slide in DICOM files.

    Labels, overviews and thumbnails of the series are no levels. Of several focal planes the middle one is
    read, of several scanned areas the largest; the note says so. ICC profiles are not applied.

    Args:
        path: The file by which the slide is named.
        opened: The levels as opened by wsidicom.
        files: The files of its levels.
        mpp: Microns per pixel; overrules the header.
        default_mpp: Microns per pixel where the header does not say.
        cache_bytes: Most bytes of decoded stored tiles that are kept.
    """

    reader = "dicom"
    reader_version = f"wsidicom {wsidicom.__version__}"
    extensions = (".dcm",)
    starts = (MAGIC,)

    def __init__(
        self,
        path: Path,
        opened: Any,
        files: Sequence[DicomFile],
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._opened = opened
        chosen = choose_levels(list(opened.level_instances), files)
        finest = chosen.files[0]
        pairs = zip(chosen.images, chosen.files, strict=True)
        self._levels = [DicomLevel(image, file, path) for image, file in pairs]
        super().__init__(
            path,
            self._levels,
            cache_bytes=cache_bytes,
            header=header_mpp(finest),
            mpp=mpp,
            default_mpp=default_mpp,
        )
        self.scanner = _scanner(finest)
        self.storage = f"dicom {NAMES[finest.syntax]}"
        self.note = "; ".join(_notes(self._levels[0], finest, chosen))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> Self:
        """Open the slide that a file belongs to; the other files of its series lie beside it.

        Raises:
            NotMine: It is no DICOM file, or a whole one that wsidicom does not take.
            UnreadableSlideError: It is no whole-slide image, damaged, not all there, or of a kind of pixels
                that cannot be shown.
        """
        if not is_dicom(path):
            raise NotMine("not a DICOM file")
        with _quietly():
            files = read_level_files(path)
            _require_known(path, files)
            opened = _open(files)
            return cls._checked(path, opened, files, mpp, default_mpp, cache_bytes)

    @classmethod
    def _checked(cls, path: Path, opened: Any, files: Sequence[DicomFile], *how: Any) -> Self:
        mpp, default_mpp, cache_bytes = how
        try:
            slide = cls(path, opened, files, mpp=mpp, default_mpp=default_mpp, cache_bytes=cache_bytes)
            slide._require_finest(files)
            slide._require_pixels()
        except UnreadableSlideError:
            opened.close()
            raise
        except REFUSED as error:
            opened.close()
            raise NotMine(f"wsidicom says: {said(error)}") from error
        except BaseException:
            opened.close()
            raise
        return slide

    def _require_finest(self, files: Sequence[DicomFile]) -> None:
        """Refuse a series of which the finest level was not taken in: a coarser one would stand for it."""
        finest = max(file.wh for file in files)
        if finest != tuple(self.size_wh):
            raise damaged(self.path, f"its level of {finest[0]} x {finest[1]} px does not fit the others")
        for level in self._levels:
            level.require_all_files(files)
        largest = max(level.block_bytes for level in self._levels)
        if largest > MOST_BLOCK_BYTES:
            raise unreadable(
                self.path,
                f"Its pixels are stored in pieces of {largest / 1e9:.1f} GB, which must be decoded at once.",
                "Export it in tiles, of 256 or 512 px say.",
            )

    def _require_pixels(self) -> None:
        """Try the first and the last tile of each level, so that damage is known at once."""
        for number, level in enumerate(self._levels):
            stored = level.stored()
            if not len(stored) and number == 0:
                raise damaged(self.path, "no pixel is stored in it")
            in_file_order = stored[np.argsort([level.offset(int(index)) for index in stored])]
            for index in in_file_order[[0, -1]] if len(stored) else ():
                try:
                    level.decode(int(index))
                except UnreadableSlideError as error:
                    raise damaged(
                        self.path, f"its tiles cannot be decoded ({error.found.rstrip('.')})"
                    ) from error

    def close(self) -> None:
        """Release the files and the decoded tiles."""
        super().close()
        self._opened.close()


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
