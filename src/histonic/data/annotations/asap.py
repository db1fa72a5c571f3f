"""Annotations in the XML of ASAP, as CAMELYON and PANDA's authors drew them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from histonic.core.errors import MaskError
from histonic.core.units import XY
from histonic.data.annotations.shapes import Annotations, LabelRule, Point, Region
from histonic.slides.areas import Repaired, Ring, repair
from histonic.slides.tissue.polygons import UNCLASSIFIED

AREAS = ("polygon", "rectangle", "spline")
POINTS = ("dot", "pointset")
CAMELYON = LabelRule(
    {"_0": "tumour", "_1": "tumour", "Tumor": "tumour"},
    exclude=("_2", "Exclusion"),
)
"""What the groups of CAMELYON16 mean: 0 and 1 are tumour, 2 is what is not tumour inside it."""


def read_asap(file: Path, asked: str) -> Annotations:
    """Read the annotations of ASAP; coordinates are level-0 pixels, the class is the group.

    Polygon, Rectangle, Spline (as the polygon through its points), Dot and PointSet are read; other types
    are passed over and counted. Outlines that are not valid are repaired and counted.

    Args:
        file: The file.
        asked: What was asked, for messages.

    Raises:
        MaskError: It is no XML, not ASAP's, a coordinate is no number, or an outline is beyond repair.
    """
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError, UnicodeDecodeError, LookupError, ValueError) as error:
        raise MaskError(asked, f"It is no XML: {error}.", "Save it from ASAP again.") from error
    if root.tag != "ASAP_Annotations" and root.find(".//Coordinates") is None:
        raise MaskError(
            asked,
            f"It is XML, but not of ASAP: it begins with <{root.tag}>.",
            "Give ASAP's XML or QuPath's GeoJSON.",
        )
    regions: list[Region] = []
    points: list[Point] = []
    passed: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    for element in root.iter("Annotation"):
        name, kind, corners = element.get("Name", ""), element.get("Type", ""), _corners(element, asked)
        label = _group(element)
        if kind.lower() in POINTS:
            points += [Point(label, XY(float(x), float(y))) for x, y in corners]
        elif kind.lower() not in AREAS:
            passed[kind or f"annotation without a type ({name})"] += 1
        else:
            found = _area(corners, name, asked)
            regions += [Region(label, rings) for rings in found.parts]
            repaired += found.repaired
            passed.update([found.lost] if found.lost else ())
    return Annotations(tuple(regions), tuple(points), None, dict(passed), dict(repaired))


def _area(corners: Ring, name: str, asked: str) -> Repaired:
    try:
        return repair([corners])
    except ValueError as error:
        raise MaskError(
            asked, f"The annotation {name!r} cannot be used: {error}.", "Draw it again in ASAP."
        ) from error


def _group(element: ElementTree.Element) -> str:
    group = element.get("PartOfGroup", "").strip()
    return UNCLASSIFIED if group in ("", "None") else group


def _corners(element: ElementTree.Element, asked: str) -> Ring:
    """Corners ``(n, 2)`` in the order that they state."""
    read = []
    for place, corner in enumerate(element.iter("Coordinate")):
        try:
            x, y = (_number(corner.attrib[key]) for key in ("X", "Y"))
            read.append((_number(corner.get("Order", str(place))), x, y))
        except (KeyError, ValueError) as error:
            raise MaskError(
                asked,
                f"Corner {place + 1} of the annotation {element.get('Name')!r} is {dict(corner.attrib)}.",
                "Each needs X and Y as numbers; save it from ASAP again.",
            ) from error
    return np.array([(x, y) for _, x, y in sorted(read)], float).reshape(-1, 2)


def _number(text: str) -> float:
    number = float(text.replace(",", "."))  # a decimal comma, where the system's language has one
    if not math.isfinite(number):
        raise ValueError(text)
    return number
