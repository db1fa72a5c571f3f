"""What a slide shows of itself at a prompt and in a notebook: facts, and a small picture."""

from __future__ import annotations

import copy
import io
from typing import Any

from histonic.core.errors import HistonicError
from histonic.core.notebooks.cards import Card
from histonic.slides.slide import UInt8Image

SHOWN_PX = 256
QUICK_PIXELS = 30_000_000
"""Of the coarsest stored size; a notebook waits for no larger one to show a picture."""


class Shown:
    """What :class:`histonic.slides.base.LevelSlide` shows of itself."""

    def thumbnail(self, side_px: int = 1024) -> UInt8Image:
        """The whole slide as a small picture, also where its resolution is not known.

        Args:
            side_px: About the longer side of the picture; it is never larger than the slide.

        Returns:
            uint8 ``(h, w, 3)`` RGB, the longer side between two thirds and one and a half of ``side_px``.

        Raises:
            UnreadableSlideError: The pixels are damaged.

        Example:
            >>> import numpy as np
            >>> from histonic.slides.formats.array import ArraySlide
            >>> ArraySlide(np.zeros((400, 600, 3), np.uint8)).thumbnail(300).shape
            (200, 300, 3)
        """
        from histonic.slides.thumbnail import thumbnail  # SciPy, and only here

        slide: Any = copy.copy(self)
        if not slide.has_mpp:
            slide.taken_at(1.0)  # any will do: all of the slide is read
        return thumbnail(slide, side_px)

    def __repr__(self) -> str:
        return _card(self).text()

    def _repr_html_(self) -> str:
        return _card(self).html(self._jpeg())

    def _jpeg(self) -> bytes | None:
        """A small picture; none where that would take long, or the slide is closed or damaged."""
        from PIL import Image

        slide: Any = self
        wide, high = slide.level_whs[-1]
        if wide * high > QUICK_PIXELS:
            return None
        try:
            buffer = io.BytesIO()
            Image.fromarray(self.thumbnail(SHOWN_PX)).save(buffer, "JPEG", quality=80)
            return buffer.getvalue()
        except (HistonicError, OSError, ValueError):
            return None


def _card(slide: Any) -> Card:
    wide, high = slide.size_wh
    mpp = f"{slide.mpp:.4g} ({slide.mpp_source})" if slide.has_mpp else "not known: open_slide(path, mpp=...)"
    rows = [("size", f"{wide} x {high} px"), ("mpp", mpp), ("reader", slide.reader)]
    if len(slide.level_whs) > 1:
        rows.insert(1, ("stored sizes", ", ".join(f"{w} x {h}" for w, h in slide.level_whs)))
    rows += [(word, getattr(slide, word)) for word in ("scanner", "storage", "note") if getattr(slide, word)]
    return Card(f"Slide {slide.name!r}", tuple(rows))
