"""MIDOG: boxes are corners, images without boxes, scanners, and F1 of given detections."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words
from histonic.core.errors import SettingsError, TableError
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.recipes.midog import detection_score, read_points, read_scanners


def test_boxes_become_points_at_their_centres(bare: Bare, tmp_path: Path) -> None:
    folder = bare("midog")
    found, place, steps = planned("midog", folder, tmp_path / "out")
    assert not found.errors and "edition 2021" in words(found)
    assert "48 mitotic figures, 48 hard negatives" in words(found)
    sites = {case.slide_id: (case.site, case.split) for case in found.cases}
    assert sites["052"] == ("Hamamatsu S360", "train")
    assert sites["151"] == ("Leica GT450", "test-unlabelled")
    drawn = json.loads((place.out / "points" / "001.geojson").read_text())["features"]
    held = json.loads((folder / "MIDOG.json").read_text())["annotations"]
    first = next(each for each in held if each["image_id"] == 1)
    x1, y1, x2, y2 = first["bbox"]
    assert drawn[0]["geometry"]["coordinates"] == [(x1 + x2) / 2, (y1 + y2) / 2]
    assert (x2 - x1, y2 - y1) == (50, 50) and not (place.out / "points" / "151.geojson").exists()
    assert [step.verb for step in steps] == ["tiles extract"]


def changed(folder: Path, change: object) -> None:
    path = folder / "MIDOG.json"
    held = json.loads(path.read_text())
    change(held)  # type: ignore[operator]
    path.write_text(json.dumps(held))


def test_the_edition_of_2022_has_its_own_numbers(bare: Bare) -> None:
    folder = bare("midog")

    def to_2022(held: dict[str, list[dict[str, object]]]) -> None:
        kept = sorted(int(str(each["id"])) for each in held["images"])[:4]
        held["images"] = [each for each in held["images"] if each["id"] in kept]
        held["annotations"] = [each for each in held["annotations"] if each["image_id"] in kept[:3]]
        renamed = dict(zip(kept, (1, 160, 201, 360), strict=True))
        for each in held["images"]:
            number = renamed[int(str(each["id"]))]
            (folder / "images" / f"{each['id']:03d}.tiff").rename(folder / "images" / f"{number}n.tiff")
            each.update(id=number, file_name=f"{number:03d}.tiff")
        for each in held["annotations"]:
            each["image_id"] = renamed[int(str(each["image_id"]))]
        for number in renamed.values():
            (folder / "images" / f"{number}n.tiff").rename(folder / "images" / f"{number:03d}.tiff")

    changed(folder, to_2022)
    (folder / "MIDOG.json").rename(folder / "MIDOG2022_training.json")
    found = surveyed("midog", folder)
    cases = {case.slide_id: (case.site, case.split, case.labels["mitotic_figures"]) for case in found.cases}
    assert cases["160"][0] == "canine lung" and cases["201"][0] == "canine lymphoma"
    # Melanomas came without labels: no image without a mitosis.
    assert cases["360"][1:] == ("test-unlabelled", "")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda held: held.pop("images"), "It is not MIDOG's"),
        (lambda held: held["annotations"][2].update(bbox=[500, 500, 50, 50]), "Annotation 3"),
        (lambda held: held["annotations"][0].update(category_id=7), "category 7"),
        (lambda held: held["annotations"][0].update(image_id=999), "image 999"),
    ],
)
def test_another_json_is_refused(bare: Bare, change: object, named: str) -> None:
    folder = bare("midog")
    changed(folder, change)
    assert named in refusal("midog", folder)


def test_missing_doubled_and_extra_images(bare: Bare) -> None:
    folder = bare("midog")
    (folder / "images" / "101.tiff").rename(folder / "images" / "120.tiff")
    (folder / "002.tif").write_bytes(b"x")
    shown = words(surveyed("midog", folder))
    assert "missing: images of the JSON: 101.tiff" in shown
    assert "extra, not in the JSON: 120.tiff" in shown and "doubled: image" in shown


def test_scanners_of_the_table_with_semicolons(tmp_path: Path) -> None:
    path = tmp_path / "datasets_xvalidation.csv"
    path.write_text("Slide;Dataset;Tumor;Scanner;Origin;Species\n001.tiff;train;breast;XR;UMC;human\n")
    assert read_scanners(path) == {1: ("breast", "XR")}


def test_detections_are_scored_in_microns(bare: Bare, tmp_path: Path) -> None:
    folder = bare("midog")
    found = surveyed("midog", folder)
    points = tmp_path / "found"
    points.mkdir()
    boxes = found.facts["boxes"]
    for number in (1, 2, 51, 52, 101, 102):
        rows = [f"{x + 20},{y}" for kind, x, y in boxes[number] if kind == 1]
        (points / f"{number:03d}.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    (points / "001.csv").write_text("1,1\n")

    def score(mpp: float | None) -> object:
        settings = RecipeSettings(name="midog", data=folder, detections=points, mpp=mpp)
        return detection_score(settings, found).value

    # 40 of 48 within 5 µm, one point elsewhere; at 0.5 µm/px they lie 10 µm away.
    assert score(0.25) == pytest.approx(80 / (80 + 1 + 8)) and score(0.5) == 0.0
    with pytest.raises(SettingsError, match="--mpp"):
        score(None)
    (points / "002.csv").write_text("1;1\n")
    with pytest.raises(TableError, match="Row 1"):
        read_points(points / "002.csv")
