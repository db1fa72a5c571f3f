"""Areas that people drew: rings of corners as valid polygons, and a word on what had to be repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

Ring = npt.NDArray[np.float64]
"""Corners ``(n, 2)``: x, y in level-0 pixels."""
Rings = tuple[Ring, ...]
"""Of a polygon: its outline, then its holes."""

FEW_CORNERS = "polygon of fewer than three corners"
NO_AREA = "polygon without an area"
DOUBLED = "ring with a corner given twice"
_WORDS = {
    "Self-intersection": "outline that meets itself or a hole",
    "Ring Self-intersection": "outline that meets itself or a hole",
    "Hole lies outside shell": "hole outside of its outline",
    "Holes are nested": "hole within a hole",
    "Duplicate Rings": "hole given twice",
    "Interior is disconnected": "outline cut apart by its holes",
}


@dataclass(frozen=True)
class Repaired:
    """A polygon as it was given, or what is left of it.

    Attributes:
        parts: The rings of each part. A valid polygon is one part, with the corners and the direction it had.
        repaired: What was repaired and how often, such as ``{"outline that meets itself or a hole": 1}``.
        lost: Why there is no part; empty if there is one.
    """

    parts: tuple[Rings, ...]
    repaired: Counter[str]
    lost: str = ""


MOST_PX = 2.0**31
"""Farther away no corner of a slide lies; areas of such polygons would be lost in rounding."""


def repair(rings: Sequence[Ring]) -> Repaired:
    """Make the rings of a polygon valid.

    What the outline runs around belongs to the area, once, however often and in whichever direction; what a
    hole runs around does not, and a hole beside the outline takes nothing away (shapely's ``make_valid`` by
    structure). The two loops of a figure eight become two parts.

    Args:
        rings: The outline, then holes; closed or not. Holes of fewer than three corners say nothing.

    Raises:
        ValueError: A corner is not finite, or too large to compute with.

    Example:
        >>> eight = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
        >>> found = repair([eight])
        >>> len(found.parts), dict(found.repaired)
        (2, {'outline that meets itself or a hole': 1})
    """
    repaired: Counter[str] = Counter()
    kept = []
    for place, ring in enumerate(rings):
        if not np.isfinite(ring).all():
            raise ValueError("a corner is no number")
        if len(ring) and np.abs(ring).max() > MOST_PX:
            raise ValueError(f"a corner lies {np.abs(ring).max():.3g} pixels away")
        single = ring[np.concatenate([[True], (ring[1:] != ring[:-1]).any(axis=1)])] if len(ring) else ring
        if len(np.unique(single, axis=0)) >= 3:
            repaired[DOUBLED] += len(single) < len(ring)
            kept.append(single)
        elif not place:
            return Repaired((), Counter(), FEW_CORNERS)
    if not kept:
        return Repaired((), Counter(), FEW_CORNERS)
    polygon = polygon_of(kept)
    if shapely.is_valid(polygon):
        return Repaired((tuple(kept),), +repaired)
    reason = shapely.is_valid_reason(polygon).partition("[")[0]
    try:
        # Each ring on its own: of the whole polygon make_valid takes a hole beside the outline for an area.
        outline, *holes = (
            shapely.make_valid(shapely.Polygon(ring), method="structure", keep_collapsed=False)
            for ring in kept
        )
        valid = shapely.difference(outline, shapely.union_all(holes))
    except shapely.errors.GEOSException as error:
        raise ValueError(f"the outline cannot be repaired: {error}") from error
    parts = [each for each in shapely.get_parts(valid) if isinstance(each, shapely.Polygon) and each.area > 0]
    if not parts:
        return Repaired((), Counter(), NO_AREA)
    repaired[_WORDS.get(reason, f"outline with the fault {reason!r}")] += 1
    return Repaired(tuple(rings_of(each) for each in parts), +repaired)


def polygon_of(rings: Sequence[Ring]) -> shapely.Polygon:
    """Rings as a polygon of shapely.

    Example:
        >>> polygon_of([np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])]).area
        2.0
    """
    return shapely.Polygon(rings[0], rings[1:])


def rings_of(polygon: shapely.Polygon) -> Rings:
    """The rings of a polygon of shapely, none with its first corner again at its end.

    Example:
        >>> [ring.tolist() for ring in rings_of(shapely.Polygon([(0, 0), (2, 0), (0, 2)]))]
        [[[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]]
    """
    return tuple(shapely.get_coordinates(ring)[:-1] for ring in (polygon.exterior, *polygon.interiors))


def words_of(counts: Mapping[str, int]) -> str:
    """Counts in words.

    Example:
        >>> words_of({"hole within a hole": 1, "hole given twice": 2})
        '2 x hole given twice, 1 x hole within a hole'
    """
    return ", ".join(f"{count} x {what}" for what, count in sorted(counts.items()))
