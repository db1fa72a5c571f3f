"""Every format that OpenSlide reads: NDPI, MRXS, SCN, BIF, DICOM and the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import openslide

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import LevelSlide, NotMine, UInt8Image
from histonic.slides.resolution import HeaderMpp, judge_mpp
from histonic.slides.scanner import openslide_scanner


class OpenSlideSlide(LevelSlide):
    """A slide read through OpenSlide.

    OpenSlide takes positions in whole pixels of level 0 only. Where a coarser level is not an exact fraction
    of it, regions of that level are shifted by up to half a level-0 pixel, which OpenSlide interpolates.
    """

    reader = "openslide"
    reader_version = f"{openslide.__version__} with OpenSlide {openslide.__library_version__}"
    extensions = (".ndpi", ".mrxs", ".scn", ".bif", ".dcm", ".vms", ".vmu", ".svslide", ".czi")

    def __init__(self, path: Path, handle: Any, mpp: float | None, default_mpp: float | None) -> None:
        super().__init__(
            path,
            handle.level_dimensions,
            header=_header_mpp(handle.properties),
            mpp=mpp,
            default_mpp=default_mpp,
        )
        self._handle = handle
        self.scanner, self.storage = openslide_scanner(handle.properties)

    @classmethod
    def open(cls, path: Path, *, mpp: float | None = None, default_mpp: float | None = None) -> Self:
        """Open a file.

        Raises:
            NotMine: OpenSlide refuses it.
        """
        try:
            return cls(path, openslide.OpenSlide(path), mpp, default_mpp)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise NotMine("not a format that OpenSlide knows") from error
        except openslide.OpenSlideError as error:
            raise NotMine(str(error)) from error

    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Image:
        down = self._handle.level_downsamples[level]
        try:
            region = self._handle.read_region((round(x * down), round(y * down)), level, (width, height))
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
        self._handle.close()


def _header_mpp(properties: Any) -> HeaderMpp:
    try:
        across = float(properties[openslide.PROPERTY_NAME_MPP_X])
        down = float(properties[openslide.PROPERTY_NAME_MPP_Y])
    except (KeyError, ValueError):
        return HeaderMpp()
    return judge_mpp(across, down, "openslide.mpp-x")
