"""DICOM whole-slide images: the files of one series are one slide, an image of the series a level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from histonic.slides.base import NotMine
from histonic.slides.formats.tiled import TiledSlide
from histonic.slides.sources.series import MAGIC, is_dicom

if TYPE_CHECKING:
    from histonic.slides.formats.dicom.opening import OpenedSeries


class DicomSlide(TiledSlide):
    """A slide in DICOM files.

    Labels, overviews and thumbnails of the series are no levels. Of several focal planes the middle one is
    read, of several scanned areas the largest; the note says so. ICC profiles are not applied.

    Args:
        path: The file by which the slide is named.
        opened: Its series.
        mpp: Microns per pixel; overrules the header.
        default_mpp: Microns per pixel where the header does not say.
        cache_bytes: Most bytes of decoded stored tiles that are kept; None for what is sensible.
    """

    reader = "dicom"
    reader_version = "wsidicom"
    extensions = (".dcm",)
    starts = (MAGIC,)

    def __init__(
        self,
        path: Path,
        opened: OpenedSeries,
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self._opened = opened
        super().__init__(
            path,
            opened.levels,
            cache_bytes=cache_bytes,
            header=opened.header,
            mpp=mpp,
            default_mpp=default_mpp,
        )
        self.scanner, self.storage, self.note = opened.scanner, opened.storage, opened.note

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int | None = None,
    ) -> Self:
        """Open the slide that a file belongs to; the other files of its series lie beside it.

        Raises:
            NotMine: It is no DICOM file, or wsidicom does not take it or is too old.
            UnreadableSlideError: It is no whole-slide image, damaged, not all there, or of a kind of pixels
                that cannot be shown.
        """
        if not is_dicom(path):
            raise NotMine("not a DICOM file")
        # Imported here, as readers are asked about every slide.
        try:
            from histonic.slides.formats.dicom.opening import VERSION, open_series
        except ImportError as error:
            raise NotMine(
                f"{error}; mend it: pip install --upgrade 'histonic[dicom]'",
            ) from error
        opened = open_series(path)
        try:
            slide = cls(path, opened, mpp=mpp, default_mpp=default_mpp, cache_bytes=cache_bytes)
        except BaseException:
            opened.close()
            raise
        slide.reader_version = VERSION
        return slide

    def close(self) -> None:
        """Release the files and the decoded tiles."""
        super().close()
        self._opened.close()
