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
    find_annotations,
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


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("x", encoding="utf-8")


def test_files_are_found_by_the_name_of_the_slide(tmp_path: Path) -> None:
    touch(tmp_path, "a.geojson", "b.svs.geojson", "c_mask.tif", "d.xml", "e.txt", ".f.xml", "other.json")
    found, unused = find_annotations(tmp_path, ["a", "b", "c", "d", "f"])
    assert {name: file.name for name, file in found.items()} == {
        "a": "a.geojson",
        "b": "b.svs.geojson",
        "c": "c_mask.tif",
        "d": "d.xml",
    }
    assert [file.name for file in unused] == ["other.json"]


def test_files_of_slides_named_by_their_paths_lie_in_folders(tmp_path: Path) -> None:
    for name in ("viable/1_mask.tif", "necrotic/1.geojson", "2.xml", "viable__3.xml", "viable/4.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        touch(tmp_path, name)
    found, unused = find_annotations(tmp_path, ["viable__1", "necrotic__1", "2", "viable__3"])
    assert {name: str(file.relative_to(tmp_path)) for name, file in found.items()} == {
        "viable__1": "viable/1_mask.tif",
        "necrotic__1": "necrotic/1.geojson",
        "2": "2.xml",
        "viable__3": "viable__3.xml",
    }
    assert unused == [tmp_path / "viable" / "4.xml"]


def test_a_name_that_only_begins_alike_is_another_slide(tmp_path: Path) -> None:
    touch(tmp_path, "a.xml", "a1.xml")
    assert find_annotations(tmp_path, ["a"])[1] == [tmp_path / "a1.xml"]


def test_one_file_for_one_slide(tmp_path: Path) -> None:
    touch(tmp_path, "any.xml")
    assert find_annotations(tmp_path / "any.xml", ["a"]) == ({"a": tmp_path / "any.xml"}, [])
    with pytest.raises(SettingsError, match="one file, but there are 2 slides"):
        find_annotations(tmp_path / "any.xml", ["a", "b"])


def test_nothing_or_too_much_is_found(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file or folder"):
        find_annotations(tmp_path / "absent", ["a"])
    touch(tmp_path, "b.xml")
    with pytest.raises(SettingsError, match=r"b\.xml fits neither a nor c"):
        find_annotations(tmp_path, ["a", "c"])
    touch(tmp_path, "a.xml", "a.geojson")
    with pytest.raises(SettingsError, match=r"a\.geojson and a\.xml"):
        find_annotations(tmp_path, ["a"])


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
