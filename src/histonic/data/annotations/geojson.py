"""Annotations in GeoJSON, as QuPath writes them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from histonic.core.errors import MaskError
from histonic.core.units import XY
from histonic.data.annotations.shapes import Annotations, Point, Region
from histonic.slides.tissue.polygons import ROOT_OBJECTS, class_of, features_of, polygons_of


def read_geojson(file: Path, asked: str) -> Annotations:
    """Read a FeatureCollection, a list of features or one feature; coordinates are level-0 pixels.

    Polygon, MultiPolygon, Point and MultiPoint are read, also inside a GeometryCollection; lines are passed
    over and counted. Polygons that are not valid are repaired and counted. The class is
    ``properties.classification.name`` (or its ``names``, joined as QuPath joins them), else
    ``properties.name``.

    Args:
        file: The file.
        asked: What was asked, for messages.

    Raises:
        MaskError: It is no GeoJSON, or a coordinate is no number.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        found = _collect(content)
    except RecursionError as error:
        raise MaskError(asked, "Its lists are nested too deeply.", "Export it from QuPath again.") from error
    except (OSError, ValueError, OverflowError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise MaskError(
            asked, f"It is no GeoJSON: {error!r}.", "Export it from QuPath as GeoJSON."
        ) from error
    return found


def _collect(content: Any) -> Annotations:
    regions: list[Region] = []
    points: list[Point] = []
    passed: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    for feature in features_of(content):
        properties = feature.get("properties") or {}
        if properties.get("objectType", properties.get("object_type")) in ROOT_OBJECTS:
            continue
        label = class_of(properties)
        for geometry in _geometries(feature["geometry"]):
            kind = geometry["type"]
            if kind in ("Polygon", "MultiPolygon"):
                for polygon in polygons_of(geometry):
                    regions += [Region(label, rings) for rings in polygon.parts]
                    repaired += polygon.repaired
                    passed.update([polygon.lost] if polygon.lost else ())
            elif kind in ("Point", "MultiPoint"):
                corners = geometry["coordinates"] if kind == "MultiPoint" else [geometry["coordinates"]]
                points += [Point(label, _xy(corner)) for corner in corners]
            else:
                passed[str(kind)] += 1
    return Annotations(tuple(regions), tuple(points), None, dict(passed), dict(repaired))


def _geometries(geometry: Any) -> Iterator[dict[str, Any]]:
    if geometry is None:  # a feature may lack its geometry
        return
    if geometry["type"] == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _geometries(part)
    else:
        yield geometry


def _xy(corner: Any) -> XY:
    x, y = float(corner[0]), float(corner[1])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError("a coordinate is not finite")
    return XY(x, y)
