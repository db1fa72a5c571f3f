"""What finds tissue, by name: the rules that histonic brings, and what other packages register."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from histonic.core.registry import Entry, Registry


class TissueFinder(Protocol):
    """A function that finds tissue; other packages register theirs in the group ``histonic.tissue``."""

    def __call__(self, pixels: npt.NDArray[np.uint8], mpp: float) -> npt.NDArray[np.bool_]:
        """Tissue in a picture of a whole slide, before small pieces and holes are dealt with.

        Args:
            pixels: uint8 ``(h, w, 3)`` RGB.
            mpp: Its microns per pixel.

        Returns:
            bool ``(h, w)``.
        """


FINDERS: Registry[TissueFinder] = Registry(
    "tissue finder",
    "histonic.tissue",
    (
        Entry(
            "rules", "histonic.slides.tissue.finder:tissue_of", "Density, colour and detail over the glass."
        ),
    ),
)
