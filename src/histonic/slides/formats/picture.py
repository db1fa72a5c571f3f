"""JPG and PNG fields and tissue-array cores as slides: one level, decoded as a whole."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL
from PIL import Image, ImageOps

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import LevelSlide, NotMine, UInt8Image
from histonic.slides.damage import BROKEN, can_come_from, require_whole_png
from histonic.slides.resample import cut_out
from histonic.slides.resolution import HeaderMpp

FORMATS = ("JPEG", "PNG")
MOST_PIXELS = 178_000_000
"""Decoded at once: 534 MB. Pillow itself refuses a little more."""
NO_MPP = HeaderMpp(
    refused="A picture does not say how many microns a pixel covers; its dots per inch are a screen's."
)
KINDS = {"CMYK": "print colours", "YCCK": "print colours", "LAB": "CIE L*a*b*"}
SHOWN_MODES = ("RGB", "L", "P", "RGBA", "LA", "PA", "1")
"""Kinds of pixels with one meaning on a screen."""
_WARNINGS = threading.Lock()


class PictureSlide(LevelSlide):
    """A picture in one piece, such as a field of view or a core.

    It is decoded whole when its first pixel is asked for, and kept until it is closed. The turn that a camera
    wrote beside the pixels is respected, what is transparent lies on white. Its resolution is never guessed.
    """

    reader = "picture"
    reader_version = PIL.__version__
    extensions = (".jpg", ".jpeg", ".jpe", ".png", ".mpo")
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")

    def __init__(
        self,
        path: Path,
        wh: tuple[int, int],
        storage: str,
        mpp: float | None,
        default_mpp: float | None,
        note: str = "",
    ) -> None:
        super().__init__(path, [wh], header=NO_MPP, mpp=mpp, default_mpp=default_mpp)
        self._file = path
        self.storage, self.note = storage, note
        self._pixels: UInt8Image | None = None

    @classmethod
    def open(cls, path: Path, *, mpp: float | None = None, default_mpp: float | None = None) -> Self:
        """Open a file.

        Raises:
            NotMine: It is neither JPG nor PNG.
            UnreadableSlideError: It is damaged, too large to be decoded at once, or its colours cannot be
                shown.
        """
        with path.open("rb") as file:
            if not file.read(16).startswith(cls.starts):
                raise NotMine("neither JPG nor PNG")
        try:
            with _opened(path) as image:
                _require_shown(path, image)
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                wh = image.size[::-1] if turned else image.size
                # Phones and cameras keep more pictures behind a JPG; the first is the one that they show.
                more = getattr(image, "n_frames", 1) - 1
                note = f"{more} more picture(s) in the file are not read" if more > 0 else ""
                storage = "JPEG" if image.format == "MPO" else str(image.format)
                return cls(path, wh, storage, mpp, default_mpp, note)
        except Image.DecompressionBombError as error:
            raise _too_large(path, "more") from error
        except BROKEN as error:
            raise _damaged(path, error) from error

    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Image:
        if self._pixels is None:
            self._pixels = self._decode()
        return cut_out(self._pixels, x, y, width, height)

    def _decode(self) -> UInt8Image:
        try:
            require_whole_png(self._file)
            with _opened(self._file) as image:
                pixels = np.asarray(_on_white(ImageOps.exif_transpose(image)))
        except BROKEN as error:
            raise _damaged(self._file, error) from error
        if pixels.shape != (self.size_wh.h, self.size_wh.w, 3):
            raise _damaged(self._file, f"it is decoded to {pixels.shape[1]} x {pixels.shape[0]} px")
        return pixels

    def close(self) -> None:
        """Let go of the pixels."""
        self._pixels = None


def _on_white(image: Image.Image) -> Image.Image:
    """RGB; what is transparent shows white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _require_shown(path: Path, image: Any) -> None:
    asked = f"Open the picture {path}."
    if image.mode not in SHOWN_MODES:
        kind = KINDS.get(image.mode, "more than 8 bits a colour")
        raise UnreadableSlideError(
            asked,
            f"Its pixels are of the kind {image.mode} ({kind}).",
            "Save it again as RGB with 8 bits a colour, as a microscope shows it"
            + (" (vips colourspace IN OUT.png srgb)." if image.mode in KINDS else "."),
        )
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(path, f"{width} x {height}")
    if not can_come_from(width * height * len(image.getbands()), path.stat().st_size):
        raise UnreadableSlideError(
            asked,
            f"Its {width} x {height} px cannot come from {path.stat().st_size:,} bytes.",
            "The file is damaged: copy or export it again.",
        )


def _too_large(path: Path, size: str) -> UnreadableSlideError:
    return UnreadableSlideError(
        f"Open the picture {path}.",
        f"It has {size} px; pictures are decoded as a whole, up to {MOST_PIXELS:,} px.",
        "Export it as a tiled pyramidal TIFF, which is read piece by piece.",
    )


def _damaged(path: Path, what: object) -> UnreadableSlideError:
    said = " ".join(str(what).split()) or type(what).__name__
    return UnreadableSlideError(
        f"Open the picture {path}.",
        f"It is damaged: {said}.",
        "Copy it again from where it came, or export it again.",
    )


def _opened(path: Path) -> Image.Image:
    """A picture, without Pillow's warnings of large ones (their size is checked here) and odd second ones."""
    # Warnings are the whole process's.
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", "Image appears to be a malformed MPO file")
        return Image.open(path, formats=FORMATS)
