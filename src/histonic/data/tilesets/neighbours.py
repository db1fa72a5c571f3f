"""Which tile lies beside which on its slide, for methods that learn from pairs (Tellez et al. 2019)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from histonic.data.tilesets.listing import Texts


def nearest_tiles(
    places: npt.NDArray[np.float64], group: Texts, slide: Texts, split: Texts
) -> npt.NDArray[np.int64]:
    """For each tile the nearest other place of the same slide and split.

    Args:
        places: ``(N, 2)`` x and y of the top-left corners in level-0 pixels, NaN where unknown.
        group: ``(N,)``, stands in for the slide where that is unknown.
        slide: ``(N,)``, empty where unknown.
        split: ``(N,)`` train, val or test.

    Returns:
        ``(N,)`` row of the neighbour, the first one of several at its place; -1 where place or slide is
        unknown or no other place is.

    Example:
        >>> places = np.array([[0.0, 0.0], [900.0, 0.0], [128.0, 0.0]])
        >>> nearest_tiles(places, *(np.array([each] * 3) for each in ("patient", "slide", "train")))
        array([2, 2, 0])
    """
    found = np.full(len(places), -1, dtype=np.int64)
    known = ~np.isnan(places).any(axis=1) & ((group != "") | (slide != ""))
    members: dict[tuple[str, str, str], list[int]] = {}
    for row in np.flatnonzero(known):
        members.setdefault((str(group[row]), str(slide[row]), str(split[row])), []).append(int(row))
    for own in members.values():
        rows = np.array(own)
        there, first, which = np.unique(places[rows], axis=0, return_index=True, return_inverse=True)
        if len(there) > 1:
            # The nearest of two is the place itself, as no other lies upon it.
            _, nearest = cKDTree(there).query(there, k=2)
            found[rows] = rows[first[nearest[which.reshape(-1), 1]]]
    return found
