"""Annotation files: found by the slide's name, read by their kind, checked against the slide."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import MaskError, SettingsError
from histonic.data.annotations.reading import (
    annotations_of,
    label_rule,
    read_annotations,
    with_camelyon,
)
from histonic.data.annotations.shapes import LabelRule


def write_square(file: Path, side: float = 10, at: float = 0, label: str = "Tumor") -> Path:
    ring = [[at, at], [at + side, at], [at + side, at + side], [at, at + side]]
    content = {
        "type": "Feature",
        "properties": {"classification": {"name": label}},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.geojson", b"", "The file is empty"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}', "no region and no point."),
        ("a.json", b'{"type": "LineString", "coordinates": []}', "only 1 x LineString"),
        ("a.xml", b"<ASAP_Annotations><Annotations/></ASAP_Annotations>", "no region and no point"),
        ("a.svg", b"x", "It is a .svg file"),
    ],
)
def test_files_without_annotations(tmp_path: Path, name: str, content: bytes, found: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MaskError) as caught:
        read_annotations(tmp_path / name)
    assert found in str(caught.value) and name in str(caught.value)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="no such file"):
        read_annotations(tmp_path / "a.xml")


def test_camelyons_groups_have_a_meaning_that_the_user_may_overrule() -> None:
    rule = with_camelyon(label_rule({}))
    assert [rule.label_of(name) for name in ("_0", "_1", "_2", "other")] == [
        "tumour",
        "tumour",
        None,
        "other",
    ]
    rule = with_camelyon(label_rule({"_2": "normal", "_0": "metastasis"}, exclude=("_1",)))
    assert [rule.label_of(name) for name in ("_0", "_1", "_2")] == ["metastasis", None, "normal"]
    assert with_camelyon(label_rule({}, skip=("_2",))).skips("_2")


def test_a_class_has_one_fate() -> None:
    with pytest.raises(SettingsError, match="'a' is named twice"):
        label_rule({"a": "b"}, exclude=("a",))
    with pytest.raises(SettingsError, match="It is empty"):
        label_rule({"a": " "})


def test_annotations_must_lie_on_the_slide(tmp_path: Path) -> None:
    file = write_square(tmp_path / "a.geojson", at=500)
    assert annotations_of(file, LabelRule(), slide="a", size_wh=(600, 600)).labels == ("Tumor",)
    with pytest.raises(MaskError, match="x 500 to 510, y 500 to 510; the slide is 600 x 400"):
        annotations_of(file, LabelRule(), slide="a", size_wh=(600, 400))


def test_camelyons_groups_mean_something_in_asap_files_only(tmp_path: Path) -> None:
    corners = "".join(f'<Coordinate Order="{i}" X="{i}" Y="{i * i}"/>' for i in range(3))
    group = '<Annotation Type="Polygon" PartOfGroup="Tumor"><Coordinates>' + corners
    text = f"<ASAP_Annotations>{group}</Coordinates></Annotation></ASAP_Annotations>"
    (tmp_path / "a.xml").write_text(text, encoding="utf-8")
    write_square(tmp_path / "a.geojson", label="Tumor")
    found = [
        annotations_of(tmp_path / name, LabelRule(), slide="a", size_wh=(60, 60)).labels
        for name in ("a.xml", "a.geojson")
    ]
    assert found == [("tumour",), ("Tumor",)]


def test_a_mask_must_have_the_shape_of_the_slide(tmp_path: Path) -> None:
    Image.fromarray(np.ones((50, 100), np.uint8)).save(tmp_path / "a.png")
    found = annotations_of(tmp_path / "a.png", LabelRule({"1": "x"}), slide="a", size_wh=(2000, 1000))
    assert found.labels == ("x",)
    with pytest.raises(MaskError, match="100 x 50, the slide 1000 x 1000: another shape"):
        annotations_of(tmp_path / "a.png", LabelRule(), slide="a", size_wh=(1000, 1000))
