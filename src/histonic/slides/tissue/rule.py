"""What counts as tissue, and a mask of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.settings import TissueSettings

BoolImage = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TissueRule:
    """What counts as tissue.

    Attributes:
        mpp: Microns per pixel at which tissue is looked for; small pictures are looked at more closely.
        min_speck_um2: Smaller pieces are dropped, as far as they are less than 1 % of the picture.
        max_hole_um2: Smaller holes are filled, as far as they are less than 0.2 % of the picture: in a field
            a lumen is a large part of what there is, on a slide a small one.
        everything: All of the slide is tissue, and nothing is looked for.
        finder: Name of what finds it, see :data:`histonic.slides.tissue.registry.FINDERS`.
    """

    mpp: float = 8.0
    min_speck_um2: float = 20_000.0
    max_hole_um2: float = 40_000.0
    everything: bool = False
    finder: str = "rules"

    @classmethod
    def of(cls, settings: TissueSettings) -> TissueRule:
        """The rule that settings ask for."""
        return cls(
            settings.mpp,
            settings.min_speck_um2,
            settings.max_hole_um2,
            settings.source == "all",
            settings.finder,
        )


@dataclass(frozen=True)
class TissueMask:
    """Tissue over a whole slide.

    Attributes:
        mask: bool ``(h, w)``, True on tissue; its corner is the slide's top-left corner.
        mpp: Microns per pixel of the mask.
        note: What the file that it was read from needs said, such as outlines that were repaired.
    """

    mask: BoolImage
    mpp: float
    note: str = ""
