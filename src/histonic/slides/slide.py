"""What an opened slide is to all that read its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from histonic.core.places.urls import Place
from histonic.core.units import WH

UInt8Image = npt.NDArray[np.uint8]


@runtime_checkable
class Slide(Protocol):
    """An opened whole-slide image.

    Attributes:
        name: Name of the slide, the file's stem.
        path: The file, or its URL; for an array its name.
        size_wh: Size of level 0 in pixels.
        reader: Name of the reader.
        reader_version: Version of the library behind it.
        mpp_source: Where the resolution comes from: ``header: ...``, ``given`` or ``missing``.
        scanner: Vendor, model and device as the file tells them, empty if it does not.
        storage: Format and compression of the stored pixels, empty if not known.
        note: What a user should know of how it was read, empty if nothing.
    """

    name: str
    path: Place
    size_wh: WH
    reader: str
    reader_version: str
    mpp_source: str
    scanner: str
    storage: str
    note: str

    @property
    def mpp(self) -> float:
        """Microns per pixel of level 0; MissingMppError if it is not known."""

    @property
    def has_mpp(self) -> bool:
        """Whether the resolution is known."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content."""

    def native_mpps(self) -> tuple[float, ...]:
        """Stored resolutions in microns per pixel, finest first."""

    def read(self, xy: tuple[float, float], wh: tuple[int, int], mpp: float) -> UInt8Image:
        """Read a region.

        Args:
            xy: Top-left corner, level-0 pixels.
            wh: Size of the result in pixels at ``mpp``.
            mpp: Microns per pixel of the result.

        Returns:
            uint8 ``(h, w, 3)`` RGB; white outside the slide.
        """

    def read_many(self, xys: Sequence[tuple[float, float]], wh: tuple[int, int], mpp: float) -> UInt8Image:
        """Read regions of one size, ``(N, h, w, 3)``; equal to :meth:`read` of each, but faster."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
