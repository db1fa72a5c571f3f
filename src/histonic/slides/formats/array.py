"""An array that is a slide: tests and tutorials need no scanner file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.errors import SettingsError
from histonic.slides.base import LevelSlide, UInt8Image
from histonic.slides.resample import cut_out


class ArraySlide(LevelSlide):
    """A slide in memory.

    Args:
        pixels: uint8 ``(H, W, 3)`` RGB.
        mpp: Microns per pixel.
        name: Name of the slide.

    Raises:
        SettingsError: The array has another type or shape, or masked pixels.

    Example:
        >>> slide = ArraySlide(np.zeros((4, 6, 3), np.uint8), mpp=0.5)
        >>> slide.read((0, 0), (3, 2), 1.0).shape
        (2, 3, 3)
    """

    reader = "array"
    reader_version = np.__version__

    def __init__(self, pixels: npt.NDArray[np.uint8], mpp: float | None = None, name: str = "array") -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise SettingsError(
                f"Make a slide of the array {name!r}.",
                f"It is {pixels.dtype} {pixels.shape}.",
                f"Give uint8 (H, W, 3) in RGB{_hint(pixels)}.",
            )
        if np.ma.is_masked(pixels):
            raise SettingsError(
                f"Make a slide of the array {name!r}.",
                "Some of its pixels are masked.",
                "Say which colour they have, such as white: pixels.filled(255).",
            )
        pixels = np.asarray(pixels)
        super().__init__(Path(name), [(pixels.shape[1], pixels.shape[0])], mpp=mpp)
        self._pixels = pixels

    @property
    def fingerprint(self) -> str:
        """Hash of size and pixels."""
        digest = hashlib.sha256(str(self._pixels.shape).encode())
        digest.update(np.ascontiguousarray(self._pixels).tobytes())
        return digest.hexdigest()

    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Image:
        return cut_out(self._pixels, x, y, width, height)


def _hint(pixels: npt.NDArray[Any]) -> str:
    """How it is made of an array of another kind, for the end of a message; empty where nobody can know."""
    kind, shape = pixels.dtype, pixels.shape
    if kind.kind == "f":
        return ", of numbers from 0 to 1 (image * 255).round().astype('uint8')"
    if kind == np.uint16:
        return ", of numbers up to 65535 (image / 257).round().astype('uint8')"
    if kind in (np.uint8, np.bool_) and 0 not in shape and (len(shape) == 2 or shape[2:] == (4,)):
        return ", of an image of Pillow image.convert('RGB')"
    return ""
