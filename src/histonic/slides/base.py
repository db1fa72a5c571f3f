"""What a slide is, and how a file becomes one: readers are asked by extension, then by trial."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from histonic.core.errors import MissingMppError, SettingsError, UnreadableSlideError
from histonic.core.places.images import HeldSlide
from histonic.core.places.urls import Place, Url, place_of
from histonic.core.registry import Entry, Registry
from histonic.core.units import WH
from histonic.slides.fingerprint import fingerprint_file as fingerprint_file
from histonic.slides.resample import average_area, average_blocks, whole
from histonic.slides.resolution import HeaderMpp, assess_extent, require_possible_size
from histonic.slides.shown import Shown
from histonic.slides.slide import Slide as Slide
from histonic.slides.slide import UInt8Image as UInt8Image
from histonic.slides.sources.places import file_stem as file_stem
from histonic.slides.sources.places import require_file
from histonic.slides.sources.remote import RemoteFile
from histonic.slides.sources.series import MAGIC_AT, file_of_folder, is_dicom

BAND_PIXELS = 4_000_000
HEAD_BYTES = MAGIC_AT + 16


class NotMine(Exception):
    """A reader refuses a file that another one may open; the message says why."""


class LevelSlide(Shown, ABC):
    """What all readers share: resolution, choice of the stored level, resampling.

    A reader subclasses it, sets ``level_whs`` (finest first) and reads pixels of one level.
    Its ``extensions`` and ``starts`` (first bytes, or those behind DICOM's preamble) say of which files it
    is asked first.

    Attributes:
        exact_averaging: Whether coarser pixels are exact means of stored ones. If not, a decoder that can do
            so makes them by itself, which is quicker and gives nearly the same.

    Args:
        path: The file.
        level_whs: Width and height of every stored level, finest first.
        header: What the file's header says of microns per pixel.
        mpp: Overrules the header.
        default_mpp: Used where neither ``mpp`` nor the header says.
    """

    reader = ""
    reader_version = ""
    scanner = ""
    storage = ""
    note = ""
    exact_averaging = True
    extensions: tuple[str, ...] = ()
    starts: tuple[bytes, ...] = ()

    def __init__(
        self,
        path: Place,
        level_whs: Sequence[tuple[int, int]],
        *,
        header: HeaderMpp | None = None,
        mpp: float | None = None,
        default_mpp: float | None = None,
    ) -> None:
        self.path = path
        self.name = file_stem(path)
        self.level_whs = tuple(WH(*wh) for wh in level_whs)
        self.size_wh = self.level_whs[0]
        require_possible_size(path, self.size_wh)
        header = assess_extent(header or HeaderMpp(), self.size_wh)
        for value in (mpp, default_mpp):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SettingsError(
                    f"Open {path} at {value} µm/px.", "That is no resolution.", "Give a positive mpp."
                )
        self._mpp = mpp if mpp is not None else header.mpp if header.mpp is not None else default_mpp
        self.mpp_source = _source(mpp, header, default_mpp)
        self._chosen: dict[float, tuple[int, float, float]] = {}
        self._no_mpp = header.refused or "Its header gives no microns per pixel."

    @property
    def mpp(self) -> float:
        """Microns per pixel of level 0.

        Raises:
            MissingMppError: It is in neither header nor settings.
        """
        if self._mpp is None:
            raise MissingMppError(
                f"Read {self.path} at a physical resolution.",
                self._no_mpp,
                "Say it: --mpp 0.5 (if 0.5 µm/px is right), an mpp column in a slide table, or "
                "open_slide(path, mpp=0.5).",
            )
        return self._mpp

    @property
    def has_mpp(self) -> bool:
        """Whether the resolution is known."""
        return self._mpp is not None

    def taken_at(self, mpp: float) -> None:
        """From now on level 0 has so many microns per pixel."""
        self._mpp, self.mpp_source, self._chosen = mpp, "given", {}

    @property
    def fingerprint(self) -> str:
        """Hash of the file, see :func:`fingerprint_file`."""
        return fingerprint_file(self.path)

    def native_mpps(self) -> tuple[float, ...]:
        """Stored resolutions in microns per pixel, finest first."""
        return tuple(self.mpp * self._downsample(level) for level in range(len(self.level_whs)))

    def _downsample(self, level: int) -> float:
        """Level-0 pixels per pixel of a level: the mean of both axes, as OpenSlide defines it."""
        if level == 0:
            return 1.0
        first, other = self.level_whs[0], self.level_whs[level]
        return (first.w / other.w + first.h / other.h) / 2

    def read(self, xy: tuple[float, float], wh: tuple[int, int], mpp: float) -> UInt8Image:
        """Read a region at any resolution, area-averaged from the nearest finer level.

        Args:
            xy: Top-left corner, level-0 pixels.
            wh: Size of the result in pixels at ``mpp``.
            mpp: Microns per pixel of the result; finer than the slide's own enlarges.

        Returns:
            uint8 ``(h, w, 3)`` RGB; white outside the slide.

        Raises:
            MissingMppError: The slide has no mpp.
            UnreadableSlideError: The pixels are damaged.
        """
        level, corner, scale = self._place(xy, mpp)
        width, height = wh
        out = np.empty((height, width, 3), np.uint8)
        band = max(1, int(BAND_PIXELS / max(1.0, width * scale * scale)))
        for top in range(0, height, band):
            rows = min(band, height - top)
            start = (corner[0], corner[1] + top * scale)
            out[top : top + rows] = self._resample(level, start, scale, (width, rows))
        return out

    def read_many(self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float) -> UInt8Image:
        """Read regions of one size, ``(N, h, w, 3)``; equal to :meth:`read` of each."""
        out = np.empty((len(xys), wh[1], wh[0], 3), np.uint8)
        for index, xy in enumerate(xys):
            out[index] = self.read(xy, wh, mpp)
        return out

    def _place(self, xy: tuple[float, float], mpp: float) -> tuple[int, tuple[float, float], float]:
        """The level to read, the corner in its pixels, and its pixels per pixel of the result."""
        if mpp not in self._chosen:  # asked for each tile, twice
            mpps = self.native_mpps()
            fine = [level for level, native in enumerate(mpps) if native <= mpp * (1 + 1e-6)]
            level = fine[-1] if fine else 0
            self._chosen[mpp] = level, self._downsample(level), mpp / mpps[level]
        level, down, scale = self._chosen[mpp]
        return level, (xy[0] / down, xy[1] / down), scale

    def _resample(
        self, level: int, corner: tuple[float, float], scale: float, wh: tuple[int, int]
    ) -> UInt8Image:
        factor, x, y = whole(scale), whole(corner[0]), whole(corner[1])
        if factor is not None and x is not None and y is not None:
            return self._read_averaged(level, x, y, wh, factor)
        left, top = math.floor(corner[0]), math.floor(corner[1])
        right = math.ceil(corner[0] + wh[0] * scale)
        bottom = math.ceil(corner[1] + wh[1] * scale)
        pixels = self._read_pixels(level, left, top, right - left, bottom - top)
        return average_area(pixels, (corner[0] - left, corner[1] - top), scale, wh)

    def _read_averaged(self, level: int, x: int, y: int, wh: tuple[int, int], factor: int) -> UInt8Image:
        """Means of whole squares of pixels of a level; without exact averaging a decoder may make them."""
        return average_blocks(self._read_pixels(level, x, y, wh[0] * factor, wh[1] * factor), factor)

    def rest(self) -> None:
        """Keep little memory until the slide is read again."""

    @classmethod
    def open(cls, path: Path, *, mpp: float | None = None, default_mpp: float | None = None) -> Self:
        """Open a file.

        Raises:
            NotMine: The file is of a kind that this reader does not read.
        """
        raise NotMine(f"{cls.__name__} opens no files")

    @classmethod
    def open_remote(
        cls, file: RemoteFile, *, mpp: float | None = None, default_mpp: float | None = None
    ) -> Self:
        """Open a file at a URL; a reader that can do so overrides this. It closes the file in the end.

        Raises:
            NotMine: The file is of a kind that this reader does not read, or not at a URL.
        """
        raise NotMine

    @abstractmethod
    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Image:
        """Pixels of one level, uint8 ``(height, width, 3)``; white outside."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


READERS: Registry[type[LevelSlide]] = Registry(
    "reader",
    "histonic.readers",
    (
        Entry(
            "tiff",
            "histonic.slides.formats.tiff:TiffSlide",
            "tiled TIFF: SVS, generic pyramids, OME-TIFF; decodes every stored tile once",
            ("tifffile", "imagecodecs", "simplejpeg"),
        ),
        Entry(
            "openslide",
            "histonic.slides.formats.openslide:OpenSlideSlide",
            "all that OpenSlide reads: NDPI, MRXS, SCN, BIF, DICOM ...",
            ("openslide",),
        ),
        Entry(
            "dicom",
            "histonic.slides.formats.dicom.reader:DicomSlide",
            "DICOM whole-slide images, all files of a series: split, sparse, every usual compression",
            ("wsidicom", "pydicom", "imagecodecs", "simplejpeg"),
            extra="dicom",
        ),
        Entry(
            "picture",
            "histonic.slides.formats.picture:PictureSlide",
            "JPG and PNG fields and cores, decoded as a whole; their mpp has to be given",
            ("PIL",),
        ),
    ),
)


def open_slide(
    path: str | os.PathLike[str] | Url | HeldSlide,
    *,
    mpp: float | None = None,
    default_mpp: float | None = None,
    reader: str | None = None,
    exact_averaging: bool = True,
) -> LevelSlide:
    """Open a whole-slide image.

    Readers that know the first bytes or the extension are asked first, then the others. Another reader is
    asked only where one says that the file is not of its kind; what is damaged is refused by the first.

    Args:
        path: The file or its URL; of DICOM any file of the series, or the folder that holds its files.
        mpp: Microns per pixel of level 0; overrules the header.
        default_mpp: Microns per pixel where the header does not say.
        reader: Ask this reader only.
        exact_averaging: Whether pixels read at 2, 4 or 8 times the stored microns are exact means. If not, a
            JPEG decoder makes stored tiles smaller by itself, see ``docs/concepts/coordinates.md``.

    Raises:
        UnreadableSlideError: No such file, it is empty or damaged, or every reader refuses it; the message
            lists each refusal.
        SettingsError: No such reader, or an mpp that is not positive.
    """
    place = place_of(path)
    if isinstance(place, HeldSlide):
        slide: LevelSlide = place.opened(mpp, default_mpp)
    elif isinstance(place, Url):
        slide = _open_remote(place, mpp, default_mpp, reader)
    else:
        slide = _open_file(Path(place), mpp, default_mpp, reader)
    slide.exact_averaging = exact_averaging
    return slide


def _open_file(file: Path, mpp: float | None, default_mpp: float | None, reader: str | None) -> LevelSlide:
    name = None
    if file.is_dir():
        file, name = file_of_folder(file), file.absolute().name
    require_file(file)
    refusals = []
    for asked in [reader] if reader is not None else _readers_for(file):
        try:
            slide = READERS.get(asked).open(file, mpp=mpp, default_mpp=default_mpp)
        except NotMine as refusal:
            refusals.append(f"{asked}: {refusal}")
        else:
            slide.note = "; ".join([*refusals, *([slide.note] if slide.note else [])])
            slide.name = name or slide.name
            return slide
    dicom = READERS.entries()["dicom"]
    if reader is None and dicom.missing() and is_dicom(file):
        raise UnreadableSlideError(
            f"Open the DICOM slide {file}.",
            f"It needs {' and '.join(dicom.missing())}; without, only OpenSlide was asked ("
            + "; ".join(refusals)
            + ").",
            f"Install what reads DICOM: {dicom.install()}",
        )
    raise UnreadableSlideError(
        f"Open the slide {file}.",
        "No reader can open it (" + "; ".join(refusals) + ").",
        "Check that the file is whole; convert a format not among these to a pyramidal TIFF.",
    )


def _open_remote(url: Url, mpp: float | None, default_mpp: float | None, reader: str | None) -> LevelSlide:
    refusals = []
    file = RemoteFile.open(url)
    try:
        for name in [reader] if reader is not None else _usable_readers():
            try:
                return READERS.get(name).open_remote(file, mpp=mpp, default_mpp=default_mpp)
            except NotMine as refusal:
                refusals += [f"{name}: {refusal}"] if str(refusal) else []
    except BaseException:
        file.close()
        if file.failure is not None:  # what libraries make of a cut connection looks like damage
            raise file.failure from None
        raise
    file.close()
    raise UnreadableSlideError(
        f"Open the slide {url}.",
        "Of a URL only tiled TIFF is read (SVS, generic pyramids, OME-TIFF); "
        + ("; ".join(refusals) or f"the reader {reader!r} reads files on a disk")
        + ".",
        "Download the file and give its path.",
    )


def _readers_for(file: Path) -> list[str]:
    """Readers by name: those whose first bytes fit, then those whose extension does, then the others."""
    lower = file.name.lower()
    with file.open("rb") as opened:
        head = opened.read(HEAD_BYTES)

    def strangeness(name: str) -> int:
        reader = READERS.get(name)
        if any(part.startswith(reader.starts) for part in (head, head[MAGIC_AT:])):
            return 0
        return 1 if lower.endswith(reader.extensions) else 2

    return sorted(_usable_readers(), key=strangeness)


def _usable_readers() -> list[str]:
    return [entry.name for entry in READERS.entries().values() if not entry.missing()]


def _source(mpp: float | None, header: HeaderMpp, default_mpp: float | None) -> str:
    if mpp is not None:
        return "given" if header.mpp is None else f"given; header says {header.mpp:.4g}"
    if header.mpp is not None:
        return f"header: {header.field}"
    return "missing" if default_mpp is None else "given"
