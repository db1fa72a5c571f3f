"""GeoJSON: every form that QuPath has written, and what is wrong said in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import MaskError
from histonic.core.units import XY
from histonic.data.annotations.geojson import read_geojson
from histonic.data.annotations.shapes import Annotations

RING = [[0, 0], [10, 0], [10, 20.5], [0, 0]]
HOLE = [[1, 1], [2, 1], [2, 2], [1, 1]]


def feature(geometry: dict[str, Any] | None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def read(folder: Path, content: Any) -> Annotations:
    file = folder / "a.geojson"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_geojson(file, "Read a.geojson.")


def test_polygon_with_a_hole(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "type": "FeatureCollection",
            "features": [feature(polygon(RING, HOLE), classification={"name": "Tumor"})],
        },
    )
    (region,) = found.regions
    assert region.label == "Tumor"
    assert region.rings[0].tolist() == RING
    assert region.rings[1].tolist() == HOLE


@pytest.mark.parametrize(
    ("properties", "label"),
    [
        ({"classification": {"name": "Tumor", "colorRGB": -3}, "name": "no. 4"}, "Tumor"),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive"),
        ({"classification": "Tumor"}, "Tumor"),
        ({"name": "Stroma"}, "Stroma"),
        ({"classification": None}, "unclassified"),
        ({}, "unclassified"),
    ],
)
def test_where_the_class_stands(tmp_path: Path, properties: dict[str, Any], label: str) -> None:
    assert read(tmp_path, [feature(polygon(RING), **properties)]).regions[0].label == label


def test_all_kinds_of_shapes(tmp_path: Path) -> None:
    parts = {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [RING]]},
            {"type": "Point", "coordinates": [3, 4]},
            {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
        ],
    }
    found = read(
        tmp_path, [feature(parts), feature({"type": "MultiPoint", "coordinates": [[1, 2], [5, 6, 0]]})]
    )
    assert [len(region.rings) for region in found.regions] == [2, 1]
    assert [point.xy for point in found.points] == [XY(3, 4), XY(1, 2), XY(5, 6)]
    assert found.passed_over == {"LineString": 1}


def test_bare_geometry_and_byte_order_mark(tmp_path: Path) -> None:
    assert len(read(tmp_path, "\ufeff" + json.dumps(polygon(RING))).regions) == 1


def test_root_empty_geometry_and_slivers_are_no_regions(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [
            feature(polygon(RING), objectType="root"),
            feature(None),
            feature(polygon([[0, 0], [1, 1], [0, 0]])),
            feature(polygon(RING, [[1, 1], [1, 1]]), objectType="annotation"),
        ],
    )
    assert [len(region.rings) for region in found.regions] == [1]
    assert found.passed_over == {"polygon of fewer than three corners": 1}


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "FeatureCollection", "features": [',
        '{"features": []}',
        "[1, 2]",
        '"text"',
        '{"type": "Feature", "properties": {}}',
        '{"type": "Polygon", "coordinates": [[["a", 1], [2, 2], [3, 1]]]}',
        '{"type": "Polygon", "coordinates": [[[1], [2, 2], [3, 1]]]}',
        '{"type": "Polygon", "coordinates": [[[NaN, 1], [2, 2], [3, 1]]]}',
        '{"type": "Point", "coordinates": [Infinity, 1]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_geojson(tmp_path: Path, text: str) -> None:
    with pytest.raises(MaskError, match=r"Read a\.geojson"):
        read(tmp_path, text)
