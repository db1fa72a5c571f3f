"""Tiles from files in the shapes in which challenges ship them, each with a trap."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from histonic.core.errors import HistonicError, SettingsError, TileSetError
from histonic.data.tilesets.plan import declare
from histonic.data.tilesets.tile_set import TileSet, read_tile_set
from histonic.stages.tiles.extract import ExtractResult, extract_tiles


def picture(seed: int, wh: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-30, 30, (wh[1], wh[0], 1))
    return np.clip(np.array([190, 110, 170]) + noise, 0, 255).astype(np.uint8)


def field(path: Path, seed: int = 0, wh: tuple[int, int] = (320, 200)) -> Path:
    """A plain TIFF without resolution, as fields of view come."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, picture(seed, wh), photometric="rgb")
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "tiles.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def reasons(result: ExtractResult) -> dict[str, str]:
    return {each.slide_id: each.reason for each in result.failures}


@pytest.fixture(scope="module")
def tupac(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases 01 (two neighbouring fields) and 24 (one), of which 01/02 has no mitosis and so no file."""
    root = tmp_path_factory.mktemp("tupac")
    for number, name in enumerate(("01/01", "01/02", "24/01")):
        field(root / "mitoses_image_data" / f"{name}.tif", number)
    write(root / "mitoses_ground_truth" / "01" / "01.csv", "60,250\n140,40\n")
    write(root / "mitoses_ground_truth" / "24" / "01.csv", "100,160\n")
    return root


def cut_tupac(root: Path, out: Path, **values: Any) -> ExtractResult:
    given = {
        "slides": [root / "mitoses_image_data"],
        "annotations": root / "mitoses_ground_truth",
        "names": "path",
        "slide_mpp": 0.25,
        "mpp": 0.25,
        "tile_px": 32,
        "points_order": "row,column",
        "labels": {"unclassified": "mitosis"},
        "group_pattern": "^([0-9]+)__",
        "unannotated": "background",
        "background_label": "other",
    }
    return extract_tiles(out=out, **{**given, **values})


def test_tupacs_mitoses(tupac: Path, tmp_path: Path) -> None:
    result = cut_tupac(tupac, tmp_path / "set")
    assert not result.failures and result.tiles["mitosis"] == 3
    rows = rows_of(tmp_path / "set")
    # The row comes first: 60,250 is x 250, y 60, the middle of a tile from 234, 44 on.
    places = [(row["slide"], row["x"], row["y"]) for row in rows if row["label"] == "mitosis"]
    assert sorted(places) == [("01__01", "234", "44"), ("01__01", "24", "124"), ("24__01", "144", "84")]
    assert {(row["slide"], row["group"]) for row in rows} == {
        ("01__01", "01"),
        ("01__02", "01"),
        ("24__01", "24"),
    }
    # The field without a file is a negative because that was said.
    assert sum(row["slide"] == "01__02" for row in rows) == (320 // 32) * (200 // 32)


def read_for(folder: Path, cache: Path, **facts: Any) -> TileSet:
    """The set as an encoder of 64 px at 0.5 µm/px sees it."""
    plan = declare(folder, None).model_copy(update={"duplicates": "drop", **facts})
    return read_tile_set(plan, tile_px=64, mpp=0.5, cache=cache)


def test_points_keep_their_scale_and_their_tissue(tupac: Path, tmp_path: Path) -> None:
    """Cut as the encoder sees slides, objects lie on their own tissue; small crops are never blown up."""
    encoders = {"tile_px": 64, "mpp": 0.5, "background_label": None, "unannotated": "refuse"}
    cut_tupac(tupac, tmp_path / "whole", **encoders)
    row = next(row for row in rows_of(tmp_path / "whole") if row["slide"] == "24__01")
    # 64 px at 0.5 µm/px are 128 of the field, around x 160, y 100.
    assert (row["x"], row["y"], row["mpp"]) == ("96", "36", "0.5")
    cut_tupac(tupac, tmp_path / "crops")
    with pytest.raises(TileSetError, match=r"8 of 32 µm needed(?s:.*)extract --tile-px 64 --mpp 0.5"):
        read_for(tmp_path / "crops", tmp_path / "cache")
    with pytest.raises(TileSetError, match="no tissue"):
        read_for(tmp_path / "crops", tmp_path / "cache", scale="compose")
    composed = read_for(tmp_path / "crops", tmp_path / "cache", scale="compose", rest="other")
    # Crops of 32 px at 0.25 µm/px are 16 px of the encoder's 64.
    assert any("crops of 16 px at 0.5 µm/px, their true scale" in note for note in composed.notes)
    assert composed.enlarged == 1.0 and composed.tiles.shape[1:] == (64, 64, 3)


def test_a_field_without_a_file_is_named_unless_something_is_said(tupac: Path, tmp_path: Path) -> None:
    result = cut_tupac(tupac, tmp_path / "set", unannotated="refuse")
    assert result.done == ["01__01", "24__01"]
    assert "no annotation file named 01__02" in reasons(result)["01__02"]
    assert "--unannotated background" in reasons(result)["01__02"]


def test_the_case_may_be_told_by_the_folder(tupac: Path, tmp_path: Path) -> None:
    cut_tupac(tupac, tmp_path / "set", group_pattern="^(?P<group>[^/]+)/")
    assert {row["group"] for row in rows_of(tmp_path / "set")} == {"01", "24"}


def test_rows_taken_for_columns_are_seen_beside_the_image(tupac: Path, tmp_path: Path) -> None:
    result = cut_tupac(tupac, tmp_path / "set", points_order="x,y")
    assert "01__01" in reasons(result) and "With row and column exchanged" in reasons(result)["01__01"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"points_order": None}, "nobody says which column is x"),
        ({"labels": {}}, "says no class of its points"),
        ({"names": "file"}, "Two files have this name"),
        ({"group_pattern": "^([a-z]+)"}, "does not fit the slide '01__01', nor its path 01/01.tif"),
        ({"only": "^99/"}, "None of 3 does, such as 01/01.tif"),
        ({"only": "(", "names": "path"}, "no regular expression"),
    ],
)
def test_what_has_to_be_said(tupac: Path, tmp_path: Path, values: dict[str, Any], found: str) -> None:
    with pytest.raises(HistonicError) as caught:
        cut_tupac(tupac, tmp_path / "set", **values)
    assert found in str(caught.value) and not (tmp_path / "set").exists()


def test_empty_files_say_that_there_is_nothing(tupac: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    write(truth / "01" / "01.csv", "60,250\n")
    for name in ("01/02", "24/01"):
        write(truth / f"{name}.csv", "")
    result = cut_tupac(tupac, tmp_path / "set", annotations=truth, unannotated="refuse")
    assert not result.failures and result.tiles["mitosis"] == 1
    assert any("2 file(s) of points without a point" in note for note in result.notes)


def test_part_folders_and_a_selection(tupac: Path, tmp_path: Path) -> None:
    result = cut_tupac(
        tupac, tmp_path / "set", slides=[tupac], only="mitoses_image_data/24/", group_pattern="/([0-9]+)/"
    )
    assert result.done == ["mitoses_image_data__24__01"] and result.tiles["mitosis"] == 1
    assert {row["group"] for row in rows_of(tmp_path / "set")} == {"24"}


def panda_mask(path: Path, code: int, also: int = 0, channel: int = 0) -> None:
    """A mask as PANDA's: RGB, the code in red on the left half, another on the right."""
    pixels = np.zeros((128, 256, 3), np.uint8)
    pixels[:, :128, channel], pixels[:, 128:, 0] = code, also
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(64, 64), compression="zlib")


@pytest.fixture
def panda(tmp_path: Path) -> Path:
    text = "path,data_provider\n"
    for number, (name, provider, code) in enumerate(
        (("0a1b", "radboud", 2), ("2c3d", "karolinska", 2), ("4e5f", "radboud", 1))
    ):
        tifffile.imwrite(
            field(tmp_path / "train_images" / f"{name}.tiff", number),
            picture(number, (256, 128)),
            photometric="rgb",
            tile=(64, 64),
            resolution=(20000, 20000),
            resolutionunit="CENTIMETER",
        )
        panda_mask(tmp_path / "train_label_masks" / f"{name}_mask.tiff", code)
        text += f"train_images/{name}.tiff,{provider}\n"
    write(tmp_path / "slides.csv", text)
    return tmp_path


PANDA = {"radboud:1": "stroma", "radboud:2": "benign", "karolinska:2": "cancer"}


def cut_panda(root: Path, **values: Any) -> ExtractResult:
    given: dict[str, Any] = {
        "slides": [root / "slides.csv"],
        "annotations": root / "train_label_masks",
        "labels_by": "data_provider",
        "labels": PANDA,
        "tile_px": 32,
        "mpp": 0.5,
    }
    return extract_tiles(out=root / "set", **{**given, **values})


def test_pandas_codes_differ_by_provider(panda: Path) -> None:
    result = cut_panda(panda)
    # 128 x 128 px of each code: four by four tiles.
    assert not result.failures and result.tiles == {"benign": 16, "cancer": 16, "stroma": 16}
    labels = {(row["slide"], row["label"]) for row in rows_of(panda / "set")}
    assert labels == {("0a1b", "benign"), ("2c3d", "cancer"), ("4e5f", "stroma")}
    assert "3 mask(s) in colour: codes are those of red, the others are empty" in result.notes


def test_a_code_that_is_not_named_for_a_provider_is_an_error(panda: Path) -> None:
    panda_mask(panda / "train_label_masks" / "2c3d_mask.tiff", 2, also=4)
    result = cut_panda(panda)
    assert list(reasons(result)) == ["2c3d"] and result.tiles == {"benign": 16, "stroma": 16}
    assert "code 4, of which nothing is said for karolinska" in reasons(result)["2c3d"]
    assert "--labels karolinska:4=LABEL" in reasons(result)["2c3d"]


def test_a_mask_with_two_used_channels_fails_alone(panda: Path) -> None:
    panda_mask(panda / "train_label_masks" / "0a1b_mask.tiff", 2, also=1, channel=1)
    result = cut_panda(panda)
    assert "red and green differ" in reasons(result)["0a1b"] and len(result.done) == 2


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"labels": {"2": "benign"}}, "does not begin with one of karolinska, radboud and a colon"),
        ({"labels": {"radbout:2": "benign"}}, "--labels karolinska:2=LABEL"),
        ({"labels_by": "provider"}, "only path, data_provider"),
        ({"annotations": None}, "Use the setting labels"),
    ],
)
def test_codes_that_are_not_told_apart(panda: Path, values: dict[str, Any], found: str) -> None:
    with pytest.raises(HistonicError) as caught:
        cut_panda(panda, **values)
    assert found in str(caught.value)


def test_providers_that_are_not_told_apart_are_warned_of(panda: Path) -> None:
    result = cut_panda(panda, labels_by=None, labels={2: "benign", 1: "stroma"})
    assert result.tiles == {"benign": 32, "stroma": 16}
    assert any("several providers (karolinska, radboud)" in note for note in result.notes)


def test_another_provider_is_another_label(panda: Path) -> None:
    cut_panda(panda)
    table = (panda / "slides.csv").read_text(encoding="utf-8")
    write(panda / "slides.csv", table.replace("4e5f.tiff,radboud", "4e5f.tiff,karolinska"))
    result = cut_panda(panda)
    assert result.skipped == ["0a1b", "2c3d"]
    assert "code 1, of which nothing is said for karolinska" in reasons(result)["4e5f"]


@pytest.fixture
def midog(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        field(tmp_path / "images" / f"00{number}.tiff", number)
    images = [{"id": n, "file_name": f"00{n}.tiff", "width": 320, "height": 200} for n in (1, 2, 3)]
    boxes = [(1, 1, [200, 100, 250, 150]), (1, 2, [20, 20, 70, 70]), (2, 1, [250, 40, 300, 90])]
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "hard negative"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box}
            for n, (image, category, box) in enumerate(boxes)
        ],
    }
    write(tmp_path / "MIDOG.json", json.dumps(content))
    return tmp_path


def cut_midog(root: Path, **values: Any) -> ExtractResult:
    given: dict[str, Any] = {
        "slides": [root / "images"],
        "annotations": root / "MIDOG.json",
        "slide_mpp": 0.25,
        "mpp": 0.25,
        "tile_px": 32,
    }
    return extract_tiles(out=root / "set", **{**given, **values})


def test_midogs_boxes(midog: Path) -> None:
    result = cut_midog(midog, labels={"mitotic figure": "mitosis"})
    assert result.tiles == {"hard negative": 1, "mitosis": 2}
    places = {(row["slide"], row["label"], row["x"], row["y"]) for row in rows_of(midog / "set")}
    assert places == {
        ("001", "mitosis", "209", "109"),
        ("001", "hard negative", "29", "29"),
        ("002", "mitosis", "259", "49"),
    }
    # An image without a box may be one that nobody labelled, so it has to be said that it is a negative.
    assert list(reasons(result)) == ["003"] and "no box of 003" in reasons(result)["003"]
    assert any("boxes are read as two corners" in note for note in result.notes)


def test_one_image_of_a_set_serves_one_slide(midog: Path) -> None:
    (midog / "images" / "a").mkdir()
    (midog / "images" / "b").mkdir()
    for folder in "ab":
        shutil.copy(midog / "images" / "001.tiff", midog / "images" / folder / "001.tiff")
    for path in (midog / "images").glob("*.tiff"):
        path.unlink()
    with pytest.raises(SettingsError, match=r"'001.tiff' may be a__001 or b__001"):
        cut_midog(midog, names="path")


def test_what_is_wrong_with_a_detection_set(midog: Path) -> None:
    with pytest.raises(HistonicError, match="the classes found are hard negative, mitotic figure"):
        cut_midog(midog, labels={"Mitose": "mitosis"})
    with pytest.raises(SettingsError, match="There are no annotations"):
        cut_midog(midog, annotations=None, boxes="corners")
    (midog / "images" / "001.tiff").rename(midog / "images" / "x1.tiff")
    (midog / "images" / "002.tiff").rename(midog / "images" / "x2.tiff")
    with pytest.raises(HistonicError, match=r"no box for any of the 3 slide\(s\)"):
        cut_midog(midog)
