"""What spoils each cell of a slide, as it is kept beside the codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr

from histonic.core.errors import StoreError
from histonic.core.settings import Flaw
from histonic.data.maps.codes import AGAIN
from histonic.data.maps.facts import read_checked_facts
from histonic.data.maps.store import ZARR_ERRORS

MOST_PEN = 0.25
"""Share of a cell; with more of it the cell is spoilt."""
MOST_FOLDS = 0.25
BLURRED = 0.75
"""So far below the slide's median focus a cell is out of focus: at most three fifths as much fine detail."""


@dataclass(frozen=True)
class CellQuality:
    """What spoils each cell, of all cells that hold enough tissue, also of those that were left out for it.

    Attributes:
        pen: Share of the cell under pen, borders and shadows, float32 ``(R, K)``, 0 to 1, NaN elsewhere.
        folds: Share of the cell in folds and dark spots, alike.
        focus: Base-2 logarithm of fine over coarser detail; only differences within the slide mean something.
            NaN as well where a tile shows hardly anything.
    """

    pen: npt.NDArray[np.float32]
    folds: npt.NDArray[np.float32]
    focus: npt.NDArray[np.float32]

    def is_spoilt(self, flaw: Flaw) -> npt.NDArray[np.bool_]:
        """Which cells ``(R, K)`` are spoilt by a flaw; none of which nothing is known.

        Example:
            >>> one = np.full((1, 4), 0.3, np.float32)
            >>> focus = np.array([[0, 0.1, -0.1, -1.0]], np.float32)
            >>> quality = CellQuality(one, one * 0, focus)
            >>> [quality.is_spoilt(flaw).sum().item() for flaw in ("pen", "folds", "blur")]
            [4, 0, 1]
        """
        if flaw == "pen":
            return np.asarray(self.pen > MOST_PEN)
        if flaw == "folds":
            return np.asarray(self.folds > MOST_FOLDS)
        known = np.isfinite(self.focus)
        if not known.any():
            return known
        return known & (self.focus < np.median(self.focus[known]) - BLURRED)

    def stacked(self) -> npt.NDArray[np.float16]:
        """The three in one array ``(3, R, K)``, as it is stored."""
        return np.stack([self.pen, self.folds, self.focus]).astype(np.float16)


def read_quality(folder: Path) -> CellQuality | None:
    """What spoils the cells of a map; None for a map of an earlier version, or without a slide file.

    Raises:
        StoreError: The map is damaged.
    """
    facts = read_checked_facts(folder)
    if facts.quality is None:
        return None
    try:
        group = zarr.open_group(store=str(folder), mode="r")
        values = np.asarray(group["quality"][:], np.float32)  # type: ignore[index]
    except ZARR_ERRORS as error:
        raise StoreError(f"Read the map {folder}.", f"Its quality cannot be read: {error}.", AGAIN) from error
    if values.shape != (3, *facts.grid.shape):
        raise StoreError(
            f"Read the map {folder}.",
            f"Its quality {values.shape} and grid {facts.grid.shape} differ.",
            AGAIN,
        )
    return CellQuality(*values)
