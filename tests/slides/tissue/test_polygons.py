"""Polygons as tissue: of one class, of the classes chosen, or refused with the classes that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from histonic.core.errors import MaskError
from histonic.core.units import WH
from histonic.slides.tissue.polygons import rasterise, read_polygons


def square(x: float, label: str | None = None, **properties: Any) -> dict[str, Any]:
    """A feature of 100 x 100 pixels, of a class as QuPath writes it."""
    ring = [[x, 0], [x + 100, 0], [x + 100, 100], [x, 100], [x, 0]]
    classified = {} if label is None else {"classification": {"name": label, "color": [200, 0, 0]}}
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", **classified, **properties},
    }


def read(folder: Path, *features: dict[str, Any], chosen: tuple[str, ...] = ()) -> list[float]:
    """The left sides of the squares that are tissue."""
    (folder / "m.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return [
        polygon[0][0][0] for polygon in read_polygons(folder / "m.geojson", chosen, "Read the mask.").polygons
    ]


def test_areas_of_one_class_are_tissue_whatever_they_are_called(tmp_path: Path) -> None:
    assert read(tmp_path, square(0, "Tumor"), square(200, "Tumor")) == [0, 200]
    assert read(tmp_path, square(0, "Tissue", name="x"), square(200, "Tissue")) == [0, 200]
    assert read(tmp_path, square(0), square(200)) == [0, 200]
    named = [{**square(x), "properties": {"name": f"piece {x}"}} for x in (0, 200)]
    assert read(tmp_path, *named) == [0, 200], "names of pieces are no classes"


@pytest.mark.parametrize(
    ("features", "found", "todo"),
    [
        (
            [square(0, "Tissue"), square(9, "Ignore*")],
            "Tissue (1 area), Ignore* (1 area)",
            "-classes Tissue.",
        ),
        (
            [square(0, "Tumor"), square(9, "Stroma"), square(20, "Stroma")],
            "Stroma (2 areas), Tumor (1 area)",
            "-classes Stroma,Tumor.",
        ),
        ([square(0, "Tissue"), square(9)], "unclassified (1 area)", "--mask-classes"),
        ([square(0, "Ignore*")], "All its areas are of the class 'Ignore*'", "--mask-classes 'Ignore*'"),
        ([square(0, "Background")], "no tissue by its name", "--mask-classes"),
        ([square(0, "in situ"), square(9, "Other")], "in situ", "'Other,in situ'"),
    ],
)
def test_several_classes_are_not_all_taken(
    features: list[dict[str, Any]], found: str, todo: str, tmp_path: Path
) -> None:
    with pytest.raises(MaskError) as caught:
        read(tmp_path, *features)
    assert found in caught.value.found and todo in caught.value.todo


def test_chosen_classes(tmp_path: Path) -> None:
    features = [square(0, "Tumor"), square(200, "Stroma"), square(400), square(600, "Ignore*")]
    assert read(tmp_path, *features, chosen=("Tumor",)) == [0]
    assert read(tmp_path, *features, chosen=("Tumor", "Stroma", "Necrosis")) == [0, 200]
    assert read(tmp_path, *features, chosen=("unclassified",)) == [400]
    assert read(tmp_path, {**square(9), "properties": {"name": "Fat"}}, chosen=("Fat",)) == [9]
    with pytest.raises(MaskError, match=r"class 'tumor'; it has Tumor \(1 area\)"):
        read(tmp_path, *features, chosen=("tumor",))


def test_classes_with_parts(tmp_path: Path) -> None:
    parts = square(0)
    parts["properties"]["classification"] = {"names": ["Tumor", "Positive"]}
    assert read(tmp_path, parts, square(200, "Tumor"), chosen=("Tumor: Positive",)) == [0]


def test_the_object_that_covers_the_image_is_no_tissue(tmp_path: Path) -> None:
    whole = {**square(0), "properties": {"objectType": "root"}}
    assert read(tmp_path, whole, square(200, "Tumor")) == [200]
    with pytest.raises(MaskError, match="no polygon"):
        read(tmp_path, whole)


def test_holes_stay_empty() -> None:
    ring = np.array([(0, 0), (80, 0), (80, 80), (0, 80)], float)
    hole = np.array([(20, 20), (60, 20), (60, 60), (20, 60)], float)
    mask = rasterise([(ring, hole)], WH(100, 100))
    assert mask.sum() == pytest.approx(80 * 80 - 40 * 40, rel=0.03) and not mask[40, 40]


def test_pixels_are_those_whose_centre_lies_inside() -> None:
    rng = np.random.default_rng(0)
    angles = np.sort(rng.random(40)) * 2 * np.pi
    ring = 50 + (20 + 25 * rng.random((40, 1))) * np.stack([np.cos(angles), np.sin(angles)], 1)
    hole = np.array([[48, 44], [57.3, 50], [50, 61.5], [41, 52]], float)
    polygon = shapely.Polygon(ring, [hole])
    assert polygon.is_valid
    mask = rasterise([(ring, hole)], WH(100, 90))
    x, y = np.meshgrid(np.arange(100) + 0.5, np.arange(90) + 0.5)
    assert np.array_equal(mask, shapely.contains_xy(polygon, x, y)) and mask.any()


def test_many_small_holes_take_no_more_than_their_area() -> None:
    ring = np.array([[0, 0], [300, 0], [300, 300], [0, 300]], float)
    corners = np.array([[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]])
    holes = [corners + np.array([x, y]) for x in np.arange(2.1, 298, 2.3) for y in np.arange(2.1, 298, 2.3)]
    share = rasterise([(ring, *holes)], WH(300, 300)).mean()
    assert share == pytest.approx(1 - len(holes) * 0.25 / 300**2, abs=0.005)


def test_what_is_narrower_than_a_pixel_does_not_vanish() -> None:
    sliver = np.array([[10.1, 20.1], [60, 20.1], [60, 20.3], [10.1, 20.3]])
    mask = rasterise([(sliver,)], WH(100, 100))
    assert mask[19:21, 12:58].any(0).all() and mask.sum() == mask[19:21].sum() <= 2 * 52


def test_what_is_narrower_than_a_pixel_keeps_its_hole() -> None:
    ring = np.array([[10.6, 10.6], [50.4, 10.6], [50.4, 50.4], [10.6, 50.4]])
    hole = np.array([[11.4, 11.4], [49.6, 11.4], [49.6, 49.6], [11.4, 49.6]])
    mask = rasterise([(ring, hole)], WH(60, 60))
    assert mask.any() and not mask[12:49, 12:49].any()


def test_outlines_that_are_not_valid_are_repaired_with_a_word(tmp_path: Path) -> None:
    crossed = square(0, "Tissue")
    crossed["geometry"]["coordinates"] = [[[0, 0], [80, 0], [0, 80], [80, 80], [0, 0]]]
    unclosed = square(200, "Tissue")
    unclosed["geometry"]["coordinates"][0].pop()
    beside = square(400, "Tissue")
    beside["geometry"]["coordinates"].append([[600, 0], [700, 0], [700, 90], [600, 0]])
    flat = square(600, "Tissue")
    flat["geometry"]["coordinates"] = [[[600, 0], [650, 0], [700, 0], [600, 0]]]
    (tmp_path / "m.geojson").write_text(json.dumps([crossed, unclosed, beside, flat]))
    found = read_polygons(tmp_path / "m.geojson", (), "Read the mask.")
    assert found.repaired == {
        "outline that meets itself or a hole": 1,
        "ring that is not closed": 1,
        "hole outside of its outline": 1,
    }
    assert found.lost == {"polygon without an area": 1}
    mask = rasterise(found.polygons, WH(800, 100))
    assert mask[20, 40] and mask[60, 40] and not mask[40, 20] and mask[50, 250] and not mask[50, 650:].any()
    (tmp_path / "m.geojson").write_text(json.dumps([flat]))
    with pytest.raises(MaskError, match="1 x polygon without an area"):
        read_polygons(tmp_path / "m.geojson", (), "Read the mask.")
