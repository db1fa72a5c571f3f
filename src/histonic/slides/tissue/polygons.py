"""Polygons of GeoJSON, as QuPath and others write them: their classes, and which of them are tissue."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from histonic.core.errors import MaskError
from histonic.core.units import WH
from histonic.slides.areas import Repaired, Ring, Rings, repair, words_of

RASTER_SIDE_PX = 4096
UNCLASSIFIED = "unclassified"
"""The class of a shape to which its author gave none."""
# QuPath's own name for the object that holds all others and covers the whole image.
ROOT_OBJECTS = ("root", "PathRootObject")
# A class that stands alone and says that it is no tissue; QuPath's "Ignore*" ends with the star of all such.
NO_TISSUE = ("artefact", "artifact", "background", "exclude", "excluded", "glass", "hole", "ignore", "pen")
CLASSES_NAMED = 12
UNCLOSED = "ring that is not closed"


@dataclass(frozen=True)
class Polygons:
    """The polygons of a file that are tissue.

    Attributes:
        polygons: Valid, each its outline, then its holes.
        repaired: What of them was repaired, and how often.
        lost: What had too few corners or no area, and how often.
    """

    polygons: tuple[Rings, ...]
    repaired: Counter[str]
    lost: Counter[str]


def read_polygons(file: Path, chosen: Sequence[str], asked: str) -> Polygons:
    """Read the polygons of a file that are tissue, repaired where they are not valid.

    Args:
        file: GeoJSON.
        chosen: Classes that are tissue; where none are named, all polygons are, if they are of one class.
            A polygon without a class is known by its feature's name, too.
        asked: What was asked, for messages.

    Raises:
        MaskError: It is no GeoJSON, holds no polygon, none of a class that was chosen, or several classes and
            none was chosen.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        found = list(_classified(content))
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise MaskError(
            asked, f"It is no GeoJSON: {error!r}.", "Export it from QuPath as GeoJSON."
        ) from error
    if not found:
        raise MaskError(asked, "It holds no polygon.", "Draw the tissue as areas and export it again.")
    if chosen:
        kept = [polygon for label, name, polygon in found if label in chosen or name in chosen]
        if not kept:
            counts = Counter(name or label for label, name, _ in found)
            wanted = " or ".join(map(repr, chosen))
            raise MaskError(
                asked,
                f"None of its areas is of the class {wanted}; it has {_words(counts)}.",
                "Correct --mask-classes (large and small letters differ), or give a mask that has them.",
            )
    else:
        _require_one_kind(Counter(label for label, _, _ in found), asked)
        kept = [polygon for _, _, polygon in found]
    parts = tuple(part for each in kept for part in each.parts)
    lost = Counter(each.lost for each in kept if each.lost)
    if not parts:
        raise MaskError(
            asked,
            f"None of its areas holds anything: {words_of(lost)}.",
            "Draw the tissue as areas and export it again.",
        )
    return Polygons(parts, sum((each.repaired for each in kept), Counter()), lost)


def _require_one_kind(counts: Counter[str], asked: str) -> None:
    alone = next(iter(counts))
    if len(counts) > 1:
        raise MaskError(
            asked,
            f"Its areas are of several classes: {_words(counts)}.",
            f"Say which are tissue, such as --mask-classes {_example(counts)}.",
        )
    if alone.endswith("*") or alone.casefold() in NO_TISSUE:
        raise MaskError(
            asked,
            f"All its areas are of the class {alone!r}, which is no tissue by its name.",
            f"Export the areas of the tissue, or say that these are: --mask-classes '{alone}'.",
        )


def _words(counts: Counter[str]) -> str:
    common = counts.most_common()
    named = [f"{name} ({count} area{'s' * (count > 1)})" for name, count in common[:CLASSES_NAMED]]
    rest = len(common) - CLASSES_NAMED
    return ", ".join(named) + (f" and {rest} more" if rest > 0 else "")


def _example(counts: Counter[str]) -> str:
    """Classes as they could be chosen, quoted where a shell needs it."""
    tissue = [n for n in counts if not n.endswith("*") and n.casefold() not in NO_TISSUE] or list(counts)
    names = ",".join(sorted(tissue)[:3])
    return f"'{names}'" if any(not (sign.isalnum() or sign in ",._-") for sign in names) else names


def _classified(content: Any) -> Iterator[tuple[str, str, Repaired]]:
    """Polygons with their class and, where they have none, the name of their feature."""
    for feature in features_of(content):
        properties = feature.get("properties") or {}
        if properties.get("objectType", properties.get("object_type")) in ROOT_OBJECTS:
            continue
        label = class_of({"classification": properties.get("classification")})
        name = class_of(properties) if label == UNCLASSIFIED else ""
        for polygon in polygons_of(feature["geometry"]):
            yield label, name if name != UNCLASSIFIED else "", polygon


def features_of(content: Any) -> Iterator[dict[str, Any]]:
    """Features of parsed GeoJSON: a FeatureCollection, a list of features, a feature or a bare geometry.

    Raises:
        KeyError, TypeError: It is no GeoJSON.
    """
    if isinstance(content, list):
        for item in content:
            yield from features_of(item)
    elif content["type"] == "FeatureCollection":
        yield from features_of(content["features"])
    elif content["type"] == "Feature":
        yield content
    else:  # a bare geometry
        yield {"properties": {}, "geometry": content}


def class_of(properties: dict[str, Any]) -> str:
    """The class that a feature's properties name, else :data:`UNCLASSIFIED`.

    Example:
        >>> class_of({"classification": {"name": "Tumor"}, "name": "core 3"}), class_of({"name": "Necrosis"})
        ('Tumor', 'Necrosis')
        >>> class_of({"classification": {"names": ["Tumor", "Positive"]}}), class_of({})
        ('Tumor: Positive', 'unclassified')
    """
    given = properties.get("classification")
    if isinstance(given, dict):
        names = given.get("names")
        given = given.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else None)
    return str(given or properties.get("name") or UNCLASSIFIED).strip() or UNCLASSIFIED


def polygons_of(content: Any) -> Iterator[Repaired]:
    """Polygons of a parsed geometry, whatever holds it, repaired where they are not valid.

    Raises:
        KeyError, TypeError, ValueError, IndexError: It is no GeoJSON.
    """
    if content is None:  # a feature may lack its geometry
        return
    kind = content["type"]
    if kind == "GeometryCollection":
        for part in content["geometries"]:
            yield from polygons_of(part)
    elif kind == "MultiPolygon":
        for rings in content["coordinates"]:
            yield _repaired(rings)
    elif kind == "Polygon":
        yield _repaired(content["coordinates"])


def _repaired(rings: Any) -> Repaired:
    corners = [_ring(ring) for ring in rings]
    found = repair(corners)
    # GeoJSON gives the first corner again at the end of a ring; one that lacks it may lack more than that.
    unclosed = sum(len(ring) > 2 and bool((ring[0] != ring[-1]).any()) for ring in corners)
    return Repaired(found.parts, found.repaired + Counter({UNCLOSED: unclosed}), found.lost)


def _ring(points: Any) -> Ring:
    return np.array([(float(point[0]), float(point[1])) for point in points], float).reshape(-1, 2)


def rasterise(polygons: Sequence[Rings], size_wh: WH) -> npt.NDArray[np.bool_]:
    """Draw polygons in level-0 pixels on a picture of the slide of at most :data:`RASTER_SIDE_PX` a side.

    Args:
        polygons: Valid rings of each, the first the outline, the others holes.
        size_wh: The slide's level 0.

    Returns:
        bool ``(h, w)``.
    """
    width, height = size_wh
    scale = min(1.0, RASTER_SIDE_PX / max(width, height))
    size = (max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale)))
    mask = np.zeros(size[::-1], bool)
    for rings in polygons:
        # Pixel centres lie half a pixel from the corner that coordinates count from.
        _draw([ring * scale - 0.5 for ring in rings], mask)
    return mask


def _draw(rings: list[npt.NDArray[np.float64]], mask: npt.NDArray[np.bool_]) -> None:
    """Add a polygon, its first ring the outline, the others holes; on a canvas no larger than itself."""
    low = np.clip(np.floor(rings[0].min(0)).astype(int) - 1, 0, mask.shape[::-1])
    high = np.clip(np.ceil(rings[0].max(0)).astype(int) + 2, 0, mask.shape[::-1])
    if (high <= low).any():
        return
    size = WH(int(high[0] - low[0]), int(high[1] - low[1]))
    inside = _filled([ring - low for ring in rings], size)
    if not inside.any():  # narrower than a pixel, and yet drawn
        canvas = Image.new("1", size)
        ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in rings[0] - low], fill=1)
        inside = np.asarray(canvas)
        if len(rings) > 1:
            inside = inside & ~_filled([ring - low for ring in rings[1:]], size)
    mask[low[1] : high[1], low[0] : high[0]] |= inside


def _filled(rings: Sequence[npt.NDArray[np.float64]], size: WH) -> npt.NDArray[np.bool_]:
    """Pixels whose centre, at whole numbers, lies in a polygon.

    Image libraries fill borders, too: of a tissue with thousands of small holes little would be left.
    """
    width, height = size
    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    first = np.clip(np.ceil(np.minimum(starts[:, 1], ends[:, 1])), 0, height).astype(int)
    last = np.clip(np.ceil(np.maximum(starts[:, 1], ends[:, 1])), 0, height).astype(int)
    counts = last - first  # rows of centres that an edge crosses
    edge = np.repeat(np.arange(len(starts)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    (x0, y0), (x1, y1) = starts[edge].T, ends[edge].T
    column = np.clip(np.ceil(x0 + (row - y0) * (x1 - x0) / (y1 - y0)), 0, width).astype(int)
    crossed = np.zeros((height, width + 1), np.uint8)  # whether a number is odd outlives its overflow
    np.add.at(crossed, (row, column), 1)
    inside: npt.NDArray[np.bool_] = np.cumsum(crossed, axis=1, dtype=np.uint8)[:, :width] % 2 == 1
    return inside
