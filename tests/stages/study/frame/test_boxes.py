"""MIDOG's JSON as it is damaged: other numbers, other categories, boxes twice and outside of their image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.challenges import Bare, refusal, surveyed, words
from fixtures.command_line import typed


def changed(folder: Path, change: Callable[[dict[str, Any]], None], encoding: str = "utf-8") -> None:
    path = folder / "MIDOG.json"
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held), encoding=encoding)


def exchanged(held: dict[str, Any]) -> None:
    """Images 1 and 2 change numbers, as in a JSON that was written anew; boxes stay with the numbers."""
    for image in held["images"]:
        image["id"] = {1: 2, 2: 1}.get(image["id"], image["id"])


def doubled_image(held: dict[str, Any]) -> None:
    held["images"].append(held["images"][0])


def hashed_name(held: dict[str, Any]) -> None:
    held["images"][0]["file_name"] = "a1ff.tiff"


def exchanged_categories(held: dict[str, Any]) -> None:
    names = [each["name"] for each in held["categories"]]
    for each, name in zip(held["categories"], reversed(names), strict=True):
        each["name"] = name


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (exchanged, "Image 2 is the file '001.tiff'."),
        (doubled_image, "Image 1 stands there twice."),
        (hashed_name, "Image 1 is the file 'a1ff.tiff'."),
        (exchanged_categories, "Category 1 is called 'hard negative'."),
    ],
)
def test_other_numbers_than_the_organisers_are_refused(
    change: Callable[[dict[str, Any]], None], found: str, bare: Bare
) -> None:
    folder = bare("midog")
    changed(folder, change)
    assert found in refusal("midog", folder)


def test_other_names_of_the_same_categories_are_taken(bare: Bare) -> None:
    folder = bare("midog")
    for names in (("Mitose", "Hard negative"), ("mitotic figure", "not mitotic figure"), ("a", "b")):

        def rename(held: dict[str, Any], names: tuple[str, str] = names) -> None:
            held["categories"] = [{"id": k, "name": name} for k, name in enumerate(names, start=1)]

        changed(folder, rename)
        assert not surveyed("midog", folder).errors


def test_what_only_warnings_need_may_be_absent(bare: Bare) -> None:
    folder = bare("midog")

    def without(held: dict[str, Any]) -> None:
        held["images"][0]["width"] = None
        held["images"][1]["height"] = float("nan")
        held["images"][2]["width"] = "wide"
        del held["categories"][0]["name"]
        held["categories"][1]["name"] = None

    changed(folder, without)
    assert not surveyed("midog", folder).errors
    changed(folder, lambda held: held["images"][0].update(id=float("inf")))
    assert "It is not MIDOG's: OverflowError" in refusal("midog", folder)


def test_a_byte_order_mark_is_passed_over(bare: Bare) -> None:
    folder = bare("midog")
    changed(folder, lambda held: None, encoding="utf-8-sig")
    assert not surveyed("midog", folder).errors


def test_an_annotation_that_stands_there_twice_counts_once(bare: Bare) -> None:
    folder = bare("midog")
    changed(folder, lambda held: held["annotations"].append({**held["annotations"][0], "id": 999}))
    told = words(surveyed("midog", folder))
    assert "48 mitotic figures, 48 hard negatives" in told and "1 annotations stand there twice" in told


def test_boxes_outside_of_their_image_are_named(bare: Bare) -> None:
    folder = bare("midog")
    changed(folder, lambda held: held["annotations"][0].update(bbox=[5000, 100, 5050, 150]))
    assert "annotations outside of their image: 001.tiff (5025, 125)." in words(surveyed("midog", folder))


def test_detections_are_looked_at_before_anything_is_encoded(bare: Bare, tmp_path: Path) -> None:
    bare("midog")
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "001.csv").write_text("x,y\n10,20\n")
    given = ("recipe", "midog", "data", "--detections", "found", "--check")
    shown = typed(*given, cwd=tmp_path)
    assert shown.code == 2 and "microns per pixel are not known" in shown.err and "--mpp" in shown.err
    assert typed(*given, "--mpp", "0.25", cwd=tmp_path).code == 0
    (tmp_path / "found" / "001.csv").write_text("x,y\n10,20\n10;20\n")
    assert "Row 3 is '10;20'" in typed(*given, "--mpp", "0.25", cwd=tmp_path).err
    (tmp_path / "found" / "001.csv").write_text("x,y\n10,7000\n")
    shown = typed(*given, "--mpp", "0.25", cwd=tmp_path)
    assert "detections outside of their image: 001.csv (10, 7000)." in shown.err
    (tmp_path / "found" / "001.csv").rename(tmp_path / "found" / "one.csv")
    assert "It has no 001.csv and so on" in typed(*given, "--mpp", "0.25", cwd=tmp_path).err
