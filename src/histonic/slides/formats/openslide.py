"""Every format that OpenSlide reads: NDPI, MRXS, SCN, BIF, DICOM and the rest."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import openslide
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.core.processes.cores import usable_cores
from histonic.slides.base import LevelSlide, NotMine, UInt8Image
from histonic.slides.damage import BROKEN, TIFF_STARTS, can_come_from
from histonic.slides.resample import whole
from histonic.slides.resolution import HeaderMpp, assess_mpp
from histonic.slides.scanner import openslide_scanner

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
DICOM_PIXELS, JPEG_START, JFIF, JFIF_WITHIN = b"\xe0\x7f\x10\x00OB", b"\xff\xd8\xff", b"JFIF\0", 32
BOUNDS = ("x", "y", "width", "height")
MOST_RUN_PIXELS = 500_000
"""Stored pixels of a region that is read for several neighbours; more regions keep more threads busy."""
CACHE_BYTES = 128_000_000
"""Of decoded tiles, as OpenSlide keeps them: a row of tiles of a wide slide is more than its usual 32 MB."""


class OpenSlideSlide(LevelSlide):
    """A slide read through OpenSlide.

    Where a file states the bounds of what was scanned on a larger canvas (MRXS, SCN, BIF), the slide is what
    lies within: level 0 begins at their corner, as it does in QuPath.

    OpenSlide takes positions in whole pixels of level 0 only. Where a coarser level is not an exact fraction
    of it, regions of that level are shifted by up to half a level-0 pixel, which OpenSlide interpolates.
    """

    reader = "openslide"
    reader_version = f"{openslide.__version__} with OpenSlide {openslide.__library_version__}"
    extensions = (".ndpi", ".mrxs", ".scn", ".bif", ".dcm", ".vms", ".vmu", ".svslide", ".czi")

    def __init__(self, path: Path, handle: Any, mpp: float | None, default_mpp: float | None) -> None:
        self._corner, level_whs = _scanned(handle)
        super().__init__(
            path,
            level_whs,
            header=_header_mpp(handle.properties),
            mpp=mpp,
            default_mpp=default_mpp,
        )
        self._handle = handle
        self._pool: ThreadPoolExecutor | None = None
        self.scanner, self.storage = openslide_scanner(handle.properties)

    @classmethod
    def open(cls, path: Path, *, mpp: float | None = None, default_mpp: float | None = None) -> Self:
        """Open a file.

        Raises:
            NotMine: OpenSlide refuses it.
            UnreadableSlideError: Tiles are said to be larger than what is stored can hold, or a DICOM header
                says RGB of other colours.
        """
        _require_small_tiles(path)
        try:
            handle = openslide.OpenSlide(path)
            with suppress(openslide.OpenSlideVersionError):  # libraries before 4.0 have a cache of one size
                handle.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
            _require_true_colours(path, handle.properties)
            return cls(path, handle, mpp, default_mpp)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise NotMine("not a format that OpenSlide knows") from error
        except openslide.OpenSlideError as error:
            raise NotMine(str(error)) from error

    def read_many(self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float) -> UInt8Image:
        """Read regions of one size; equal to :meth:`read` of each.

        Neighbours in a row are read as one region, several such regions at a time.
        """
        out = np.empty((len(xys), wh[1], wh[0], 3), np.uint8)

        def read(run: tuple[int, int]) -> None:
            first, stop = run
            offsets = [whole((xys[at][0] - xys[first][0]) * self.mpp / mpp) or 0 for at in range(first, stop)]
            strip = self.read(xys[first], (offsets[-1] + wh[0], wh[1]), mpp)
            for at, left in enumerate(offsets, start=first):
                out[at] = strip[:, left : left + wh[0]]

        runs = self._runs(xys, wh, mpp)
        if len(runs) == 1:
            read(runs[0])
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(usable_cores(), "histonic-openslide")
            for _ in self._pool.map(read, runs):
                pass
        return out

    def _runs(
        self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float
    ) -> list[tuple[int, int]]:
        """First and past-the-last of regions side by side that give the same pixels if read as one."""
        runs: list[tuple[int, int]] = []
        for at, xy in enumerate(xys):
            if runs and self._goes_on(xys[runs[-1][0]], xys[at - 1], xy, wh, mpp):
                runs[-1] = (runs[-1][0], at + 1)
            else:
                runs.append((at, at + 1))
        return runs

    def _goes_on(
        self,
        first: tuple[float, float],
        last: tuple[float, float],
        xy: tuple[float, float],
        wh: tuple[int, int],
        mpp: float,
    ) -> bool:
        """Whether a region can be read with those from the first to the last."""
        level, corner, scale = self._place(first, mpp)
        exact = [scale, *corner, self._downsample(level), float(self._handle.level_downsamples[level])]
        if xy[1] != first[1] or any(whole(each) is None for each in exact):
            return False
        step, reach = ((xy[0] - before[0]) * self.mpp / mpp for before in (last, first))
        wide = reach + wh[0]
        return 0 <= step <= wh[0] and whole(reach) is not None and wide * wh[1] * scale**2 <= MOST_RUN_PIXELS

    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Image:
        down = self._handle.level_downsamples[level]
        try:
            corner = (self._corner[0] + round(x * down), self._corner[1] + round(y * down))
            region = self._handle.read_region(corner, level, (width, height))
        except openslide.OpenSlideError as error:
            raise UnreadableSlideError(
                f"Read {width}x{height} pixels at ({x}, {y}) of {self.path}.",
                f"OpenSlide says: {error}.",
                "The file is damaged: copy or scan it again.",
            ) from error
        pixels = np.asarray(region)
        colour, alpha = pixels[..., :3], pixels[..., 3:].astype(np.uint16)
        if (alpha == 255).all():
            return np.ascontiguousarray(colour)
        return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

    def close(self) -> None:
        """Release the file."""
        if self._pool is not None:
            self._pool.shutdown()
        self._handle.close()


def _require_small_tiles(path: Path) -> None:
    """Of a TIFF, compare tiles with their bytes: OpenSlide ends the process where memory is short."""
    with path.open("rb") as file:
        if not file.read(4).startswith(TIFF_STARTS):
            return
    try:
        with tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                _require_small_tile(path, page)
    except BROKEN:
        return  # OpenSlide finds its own words


def _require_small_tile(path: Path, page: Any) -> None:
    stored = max(page.databytecounts, default=0) if page.is_tiled else 0
    wide, high = int(page.tilewidth), int(page.tilelength)
    if page.is_tiled and not can_come_from(wide * high * 4, stored):
        raise UnreadableSlideError(
            f"Open the slide {path}.",
            f"It is damaged: tiles of {wide} x {high} px cannot come from {stored:,} bytes.",
            "Copy it again from where it came; if that does not help, scan or export it again.",
        )


def _require_true_colours(path: Path, properties: Any) -> None:
    """Refuse DICOM that says RGB where its JPEG pictures hold luma and chroma: OpenSlide would believe it."""
    told = [properties.get(f"dicom.{name}") for name in ("PhotometricInterpretation", "TransferSyntaxUID")]
    if told != ["RGB", JPEG_BASELINE]:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        first = data.find(JPEG_START, max(0, data.find(DICOM_PIXELS)))
        is_luma = first >= 0 and JFIF in data[first : first + JFIF_WITHIN]
    if is_luma:
        raise UnreadableSlideError(
            f"Open the slide {path} with OpenSlide.",
            "Its DICOM header says RGB, but its JPEG holds luma and chroma: the colours would be false.",
            "Install what reads them as they are: pip install 'histonic[dicom]'",
        )


def _scanned(handle: Any) -> tuple[tuple[int, int], Sequence[tuple[int, int]]]:
    """Corner of the scanned part in level-0 pixels, and its size on each level; all where none is stated."""
    whole = (0, 0), handle.level_dimensions
    try:
        x, y, wide, high = (int(handle.properties[f"openslide.bounds-{name}"]) for name in BOUNDS)
    except (KeyError, ValueError):
        return whole
    (canvas_wide, canvas_high), *_ = handle.level_dimensions
    if min(x, y) < 0 or min(wide, high) < 1 or x + wide > canvas_wide or y + high > canvas_high:
        return whole
    sizes = [(max(1, int(wide / down)), max(1, int(high / down))) for down in handle.level_downsamples]
    return (x, y), sizes


def _header_mpp(properties: Any) -> HeaderMpp:
    try:
        across = float(properties[openslide.PROPERTY_NAME_MPP_X])
        down = float(properties[openslide.PROPERTY_NAME_MPP_Y])
    except (KeyError, ValueError):
        return HeaderMpp()
    return assess_mpp(across, down, "openslide.mpp-x")
