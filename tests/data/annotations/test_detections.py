"""Detection sets in one JSON: boxes read one way only, categories, images by their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import MaskError
from histonic.core.units import XY
from histonic.data.annotations.detections import Detections, is_detections, read_detections


def midog(folder: Path, boxes: list[tuple[int, int, list[float]]], **changes: Any) -> Path:
    """A file in the shape of MIDOG's: entries are image, category and box."""
    content = {
        "info": {"description": "invented"},
        "licenses": [],
        "images": [
            {"id": 1, "file_name": "001.tiff", "width": 7215, "height": 5412, "license": 1},
            {"id": 2, "file_name": "002.tiff", "width": 7215, "height": 5412, "license": 1},
        ],
        "categories": [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "hard negative"}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": box}
            for number, (image, category, box) in enumerate(boxes)
        ],
        **changes,
    }
    file = folder / "MIDOG.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


CORNERS = [(1, 1, [4336, 346, 4386, 396]), (1, 2, [782, 3140, 832, 3190]), (2, 2, [6907, 10, 6957, 60])]


def of(detections: Detections, slide: str, file: str = "") -> list[tuple[str, XY]]:
    image = detections.of(slide, file)
    return [] if image is None else [(point.label, point.xy) for point in image.points]


def test_corners_as_midog_has_them(tmp_path: Path) -> None:
    file = midog(tmp_path, CORNERS)
    found = read_detections(file)
    assert (
        is_detections(file)
        and found.boxes == "corners"
        and found.categories
        == (
            "hard negative",
            "mitotic figure",
        )
    )
    assert of(found, "001") == [("mitotic figure", XY(4361, 371)), ("hard negative", XY(807, 3165))]
    assert of(found, "x", "002.tiff") == [("hard negative", XY(6932, 35))] and of(found, "003") == []
    # Read as x, y, width, height the middle of the last is at x = 6907 + 6957 / 2, of the others inside.
    assert "1 of 3 would lie beside" in found.note


def test_sides_as_coco_has_them(tmp_path: Path) -> None:
    found = read_detections(midog(tmp_path, [(1, 1, [4336, 346, 50, 50]), (2, 1, [10, 10, 50, 60])]))
    assert found.boxes == "xywh" and of(found, "002") == [("mitotic figure", XY(35, 40))]


def test_boxes_that_can_be_read_both_ways_need_a_word(tmp_path: Path) -> None:
    file = midog(tmp_path, [(1, 1, [10, 10, 60, 60])])
    with pytest.raises(MaskError, match=r"(?s)\[10.0, 10.0, 60.0, 60.0\] can be both.*--boxes corners"):
        read_detections(file)
    assert of(read_detections(file, "corners"), "001") == [("mitotic figure", XY(35, 35))]
    assert of(read_detections(file, "xywh"), "001") == [("mitotic figure", XY(40, 40))]


def test_a_word_that_cannot_be_true_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="Read as xywh, 1 of 3 boxes are impossible"):
        read_detections(midog(tmp_path, CORNERS), "xywh")
    with pytest.raises(MaskError, match="cannot be a corner, width and height"):
        read_detections(midog(tmp_path, [(1, 1, [7000, 10, 7050, 60]), (1, 1, [90, 90, 50, 50])]))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"categories": [{"id": 1, "name": "a"}]}, "category 2, which is not listed"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "Two categories are called 'a'"),
        ({"images": [{"id": 1, "file_name": "001.tiff"}]}, "image 2, which is not listed"),
        ({"images": [{"id": n, "file_name": "a.tiff"} for n in (1, 2)]}, "image 'a.tiff' twice"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}, r"is \[1.0, 2.0, 3.0\]"),
        ({"images": 5}, "no list of images"),
    ],
)
def test_damaged_sets(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    with pytest.raises(MaskError, match=found):
        read_detections(midog(tmp_path, CORNERS, **changes))


def test_the_image_must_be_the_one_that_was_labelled(tmp_path: Path) -> None:
    found = read_detections(midog(tmp_path, CORNERS))
    image = found.of("001")
    assert image is not None
    assert len(found.annotations(image, slide="001", size_wh=(7215, 5412)).points) == 2
    with pytest.raises(MaskError, match="of an image of 7215 x 5412 px, the slide has 3607 x 2706"):
        found.annotations(image, slide="001", size_wh=(3607, 2706))


def test_names_with_folders_and_sets_without_boxes(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "lung/001.tiff"}, {"id": 2, "file_name": "skin/001.tiff"}]
    found = read_detections(midog(tmp_path, CORNERS, images=images), "corners")
    assert of(found, "001", "001.tiff") == [] and len(of(found, "lung__001")) == 2
    assert read_detections(midog(tmp_path, [])).note == "it holds no box"
    assert not is_detections(tmp_path / "absent.json")
    (tmp_path / "a.json").write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    assert not is_detections(tmp_path / "a.json")
