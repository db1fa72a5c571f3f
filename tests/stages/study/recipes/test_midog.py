"""MIDOG: boxes are corners, images without boxes, scanners; from raw files to detections and their F1."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words
from fixtures.command_line import typed
from histonic.core.documents import read_document
from histonic.core.errors import HistonicError, RunError, SettingsError, TableError
from histonic.core.progress import Silent
from histonic.data.maps.store import Store
from histonic.encoders.base import encoder_spec, load_encoder
from histonic.encoders.scale import load_encoder_at
from histonic.metrics.challenges.points import MIDOG_RADIUS_UM
from histonic.slides.base import open_slide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.reading import lay_grid
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.study.frame.plan import Outcome, Place
from histonic.stages.study.frame.results import ChallengeScores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.recipes import midog
from histonic.stages.study.recipes.midog import detection_score, read_scanners


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
    assert [step.verb for step in steps] == ["tiles extract", "compress"]
    dense = steps[1].settings
    assert (dense["tile_um"], dense["stride_share"], dense["tissue"]) == (17.0, 0.375, {"source": "all"})
    assert (
        place.table("images").read_text().count(".tiff"),
        place.table("train").read_text().count(".tiff"),
    ) == (7, 6)
    given = planned("midog", folder, tmp_path / "out", detections=folder)[2]
    assert [step.verb for step in given] == ["tiles extract"]


def test_images_of_the_coarsest_scanner_are_taken_and_no_figure_is_too_far(
    bare: Bare, tmp_path: Path
) -> None:
    """Leica's GT450 has 0.26 µm/px."""
    dense = planned("midog", bare("midog"), tmp_path / "out")[2][1].settings
    settings = CompressSettings(**dense)
    spec = replace(encoder_spec(settings.encoder), mpp=settings.tile_um / 128)
    write_pyramid(tmp_path / "a.tif", np.full((300, 300, 3), 200, np.uint8), mpp=0.26)
    with open_slide(tmp_path / "a.tif") as slide:
        grid = lay_grid(slide, spec, settings)
    assert 1.9 < grid.enlarged <= 2 and grid.cell_um / 2**0.5 < 4.6 < MIDOG_RADIUS_UM


def test_an_encoder_of_small_tiles_keeps_its_own_scale(bare: Bare, tmp_path: Path) -> None:
    folder = bare("midog")
    load_encoder_at("colour", 20.0).save(tmp_path / "near.safetensors")
    (_, dense) = planned("midog", folder, tmp_path / "out", encoder=str(tmp_path / "near.safetensors"))[2]
    assert "tile_um" not in dense.settings and dense.settings["stride_share"] == 6.375 / 20 == 0.31875
    (tmp_path / "tasks.yaml").write_text("sets: []\ntile_px: 256\n")
    steps = planned("midog", folder, tmp_path / "out", encoder_config=tmp_path / "tasks.yaml")[2]
    assert [step.verb for step in steps] == ["encoder train", "tiles extract", "compress"]
    # Not more than twice as large as an image of 0.2656 µm/px has it.
    assert (steps[2].settings["tile_um"], steps[2].settings["stride_share"]) == (34.0, 0.1875)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("tile_px: null", "tile_px"),
        ("tile_px: 1024", "0.0469 sides of a tile of 136 µm.*at most 768 px"),
        ("tile_px: 16\nmpp: 0.02", "at least 0.4 µm"),
        ("freeze_trunk: true\nweights: absent.safetensors", "absent.safetensors"),
    ],
)
def test_an_encoder_that_cannot_be_used_is_refused_before_it_is_trained(
    given: str, found: str, bare: Bare, tmp_path: Path
) -> None:
    (tmp_path / "tasks.yaml").write_text(f"sets: []\n{given}\n")
    with pytest.raises(HistonicError) as refused:
        planned("midog", bare("midog"), tmp_path / "out", encoder_config=tmp_path / "tasks.yaml")
    assert re.search(found, f"{refused.value}", re.DOTALL)


def test_a_projection_sees_the_tiles_of_the_frozen_encoder(bare: Bare, tmp_path: Path) -> None:
    load_encoder_at("colour", 20.0).save(tmp_path / "near.safetensors")
    weights = f"freeze_trunk: true\nweights: {tmp_path / 'near.safetensors'}\ntile_px: '128'\n"
    (tmp_path / "tasks.yaml").write_text(f"sets: []\n{weights}")
    steps = planned("midog", bare("midog"), tmp_path / "out", encoder_config=tmp_path / "tasks.yaml")[2]
    assert "tile_um" not in steps[2].settings and steps[2].settings["stride_share"] == 0.31875


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
        (lambda held: held["annotations"][0].update(bbox=[0, 0, float("nan"), 50]), "Annotation 1.*nan"),
        (lambda held: held["annotations"][0].update(category_id=7), "category 7"),
        (lambda held: held["annotations"][0].update(image_id=999), "image 999"),
    ],
)
def test_another_json_is_refused(bare: Bare, change: object, named: str) -> None:
    folder = bare("midog")
    changed(folder, change)
    assert re.search(named, refusal("midog", folder))


def test_too_few_domains_are_said_before_anything_is_encoded(bare: Bare) -> None:
    folder = bare("midog")

    def keep(*numbers: int) -> object:
        def change(held: dict[str, list[dict[str, int]]]) -> None:
            held["images"] = [each for each in held["images"] if each["id"] in numbers]
            held["annotations"] = [each for each in held["annotations"] if each["image_id"] in numbers]

        return change

    changed(folder, keep(1, 2, 51, 151))
    found = surveyed("midog", folder)
    assert not found.errors and "to learn from without Hamamatsu XR: no detections" in words(found)
    changed(folder, keep(1, 2, 151))
    found = surveyed("midog", folder)
    assert not found.errors and "to learn from without Hamamatsu XR: no detections" in words(found)
    changed(folder, keep(1, 151))
    found = surveyed("midog", folder)
    assert [each.what.partition(" are")[0] for each in found.errors] == [
        "fewer than two images with a mitotic figure"
    ]
    points = folder.parent / "detections"
    points.mkdir()
    (points / "001.csv").write_text("x,y\n1,1\n")
    found = surveyed("midog", folder, detections=points, mpp=0.25)
    assert not found.errors and "candidates are not scored" in words(found)


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
        score(0.25)


def test_calls_of_candidates_are_there_whole_or_not_at_all(
    bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bare("midog")
    found, place = surveyed("midog", folder), Place(tmp_path / "out")
    told = SimpleNamespace(predictions=SimpleNamespace(called=np.array([1, 0]), truth=np.array([1, 1])))
    images = [case.slide_id for case in found.used("train")]
    coded = SimpleNamespace(tiles=SimpleNamespace(group=images), probe=lambda *_: told)
    written: list[str] = []

    def write(path: Path, *_: object) -> None:
        if len(written) == 1:
            raise KeyboardInterrupt
        path.write_text("path\n")
        written.append(path.name)

    monkeypatch.setattr(midog, "coded_tiles", lambda *_: coded)
    monkeypatch.setattr(midog, "encoder_step", lambda *_: (None, "colour"))
    monkeypatch.setattr(midog, "write_tile_predictions", write)
    settings, outcome = RecipeSettings(name="midog", data=folder), Outcome()
    with pytest.raises(KeyboardInterrupt):
        midog.candidate_scores(settings, found, place, Silent(), outcome)
    assert written and list(place.out.iterdir()) == outcome.files == []
    written += ["more than one"]
    midog.candidate_scores(settings, found, place, Silent(), outcome)
    assert [path.name for path in outcome.files] == [
        "Aperio-CS2.csv",
        "Hamamatsu-S360.csv",
        "Hamamatsu-XR.csv",
    ]
    assert all(path.is_file() for path in outcome.files)


@pytest.mark.long
def test_from_raw_files_to_detections_and_their_f1(bare: Bare, tmp_path: Path) -> None:
    """Two images of two scanners and one without labels, by the command line alone."""
    folder = bare("midog")
    base = json.loads((folder / "MIDOG.json").read_text())

    def keep(held: dict[str, list[dict[str, int]]]) -> None:
        held["images"] = [each for each in held["images"] if each["id"] not in (101, 102)]
        held["annotations"] = [each for each in held["annotations"] if each["image_id"] not in (101, 102)]

    changed(folder, keep)
    for name in ("101", "102"):
        (folder / "images" / f"{name}.tiff").unlink()
    shown = typed(
        *("recipe", "midog", "data", "--out", "out", "--encoder", "colour", "--resamples", "100", "--run"),
        cwd=tmp_path,
    )
    assert shown.code == 0, shown.err
    assert "compress all images, densely: 5 slides: about" in shown.err
    out = tmp_path / "out"
    scores = read_document(ChallengeScores, out / "scores.json", RunError, "Run it again.").scores
    lines = {each.of: each for each in scores}
    whole = lines["detections, each domain left out"]
    # Dark plates on one colour, and paler spots, of two images: points at random hit one in twenty.
    assert whole.value is not None and whole.value > 0.6 and whole.n == 4
    assert {"detections in Hamamatsu XR, left out", "detections in Hamamatsu S360, left out"} < set(lines)
    rows = [row.split(",") for row in (out / "detections.csv").read_text().splitlines()]
    assert rows[0] == ["image", "domain", "true", "false", "missed", "f1", "threshold"]
    assert [row[0] for row in rows[1:]] == ["001", "002", "051", "052", "151"] and rows[-1][2] == ""
    counts = [sum(int(row[place]) for row in rows[1:-1]) for place in (2, 3, 4)]
    assert whole.note.startswith("{} true, {} false, {} missed.".format(*counts))
    assert counts[0] + counts[2] == sum(each["category_id"] == 1 for each in base["annotations"]) * 4 // 6
    points = json.loads((out / "submission" / "151.json").read_text())["points"]
    assert all(0 <= value <= 0.17 for each in points for value in each["point"])
    called = [each for each in points if each["name"] == "mitotic figure"]
    assert len((out / "detections" / "151.csv").read_text().splitlines()) == len(called) + 1
    # What the recipe wrote is scored alike by what scores a user's own detections.
    settings = RecipeSettings(name="midog", data=folder, detections=out / "detections", mpp=0.25)
    again = detection_score(settings, surveyed("midog", folder))
    assert again.value == pytest.approx(whole.value)
    dense = Store.open(out / "maps" / "dense").map("001")
    assert dense.mask.all() and dense.grid.cell_um == pytest.approx(0.375 * 17, abs=0.1)
    assert load_encoder(out / "maps" / "dense" / "encoder.safetensors").spec.mpp == 17 / 128
