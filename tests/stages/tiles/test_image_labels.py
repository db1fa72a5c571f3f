"""Labels of whole images: tables with and without header, folders, and images that have none."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from histonic.core.errors import HistonicError
from histonic.core.grid import TileGrid
from histonic.core.units import XY
from histonic.stages.tiles.extract import ExtractResult, covered_share, extract_tiles


@pytest.fixture(scope="module")
def bach(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos/CLASS/NAME.tif and a table of names and classes without header, as BACH has them."""
    root = tmp_path_factory.mktemp("bach") / "Photos"
    names = {"Normal": "n001", "Benign": "b001", "InSitu": "is001", "Invasive": "iv001"}
    for number, (label, name) in enumerate(names.items()):
        (root / label).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(60, 200, (192, 256, 3), np.uint8)
        tifffile.imwrite(root / label / f"{name}.tif", pixels, photometric="rgb")
    lines = "".join(f"{name}.tif,{label}\n" for label, name in names.items())
    (root / "microscopy_ground_truth.csv").write_text(lines, encoding="utf-8")
    return root


def cut(root: Path, out: Path, **values: Any) -> ExtractResult:
    given: dict[str, Any] = {"slides": [root], "slide_mpp": 0.42, "mpp": 0.42, "tile_px": 64}
    return extract_tiles(out=out, **{**given, **values})


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "tiles.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


NUMBERED = {"file": 1, "label": 2}


def test_a_table_without_header(bach: Path, tmp_path: Path) -> None:
    table = bach / "microscopy_ground_truth.csv"
    result = cut(bach, tmp_path / "set", image_labels=table, image_columns=NUMBERED)
    # 192 x 256 px hold 3 x 4 tiles: all of each image, its first row of the table not taken for a header.
    assert result.tiles == {"Benign": 12, "InSitu": 12, "Invasive": 12, "Normal": 12} and not result.notes
    assert {(row["slide"], row["label"]) for row in rows_of(tmp_path / "set")} == {
        ("n001", "Normal"),
        ("b001", "Benign"),
        ("is001", "InSitu"),
        ("iv001", "Invasive"),
    }
    with pytest.raises(HistonicError, match=r"(?s)No column is the file.*file=1 --image-columns label=2"):
        cut(bach, tmp_path / "other", image_labels=table)


def test_folders_name_the_class(bach: Path, tmp_path: Path) -> None:
    names = {"Normal": "no cancer", "Benign": "no cancer"}
    result = cut(bach, tmp_path / "set", label_pattern="^([^/]+)/", labels=names, skip=["InSitu"])
    assert result.tiles == {"Invasive": 12, "no cancer": 24}
    with pytest.raises(HistonicError, match=r"fits none of 4 image\(s\), such as Benign/b001.tif"):
        cut(bach, tmp_path / "other", label_pattern="^([0-9]+)/")
    with pytest.raises(HistonicError, match="classes found are Benign, InSitu, Invasive, Normal"):
        cut(bach, tmp_path / "other", label_pattern="^([^/]+)/", labels={"normal": "x"})


def test_a_stride_cuts_more(bach: Path, tmp_path: Path) -> None:
    result = cut(bach, tmp_path / "set", label_pattern="^([^/]+)/", stride_px=32)
    assert set(result.tiles.values()) == {5 * 7}


def test_little_of_an_image_is_told(bach: Path, tmp_path: Path) -> None:
    # One tile of 128 px in 192 x 256: a third of the image, twice by twice it would be more.
    result = cut(bach, tmp_path / "set", label_pattern="^([^/]+)/", tile_px=160)
    assert result.tiles["Benign"] == 1
    share = 100 * 160**2 / (192 * 256)
    assert share > 50 and not result.notes
    result = cut(bach, tmp_path / "less", label_pattern="^([^/]+)/", tile_px=144)
    assert any("of 4 image(s) the tiles show less than half, of b001 42 %" in note for note in result.notes)


def test_an_image_smaller_than_a_tile_fails(bach: Path, tmp_path: Path) -> None:
    result = cut(bach, tmp_path / "set", label_pattern="^([^/]+)/", tile_px=200)
    assert len(result.failures) == 4
    assert "No tile of 200 px lies on its 256 x 192 px" in result.failures[0].reason


@pytest.mark.parametrize(
    ("text", "values", "found"),
    [
        ("file,class\nb001.tif,a\nb001,b\n", {}, "Row 2 says 'a', row 3 'b'"),
        ("file,image,class\nb001,b001,a\n", {}, "Several columns may be the file: file, image"),
        ("file,class\nb001,a\n", {"image_columns": {"label": "grade"}}, "no column 'grade'"),
        ("file,class\nb001,a\n", {"image_columns": {"grade": "class"}}, "--image-columns names 'grade'"),
        ("b001,a\n", {"image_columns": {"file": "1", "label": "3"}}, "Row 1 has 2 cells"),
        ("b001,a\n", {"image_columns": {"file": "1"}}, "Only one of two columns"),
        ("file,class\nb001,a\n", {"label_pattern": "(x)"}, "are both given"),
        ("file,class\nb001,a\n", {"exclude": ["a"]}, "labelled as a whole"),
        ("file,class\nb001,a\n", {"background_label": "x"}, "no annotations"),
    ],
)
def test_tables_that_cannot_be_meant(
    bach: Path, tmp_path: Path, text: str, values: dict[str, Any], found: str
) -> None:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(HistonicError) as caught:
        cut(bach, tmp_path / "set", image_labels=tmp_path / "labels.csv", **values)
    assert found in str(caught.value)


def test_images_without_a_row_and_rows_without_an_image(bach: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "image;label\nPhotos/Benign/b001.tif;a\nn001;b\nx9.tif;a\niv001.tif;NA\n", encoding="utf-8"
    )
    result = cut(bach, tmp_path / "set", image_labels=tmp_path / "labels.csv")
    assert result.tiles == {"a": 12, "b": 12}
    assert [each.slide_id for each in result.failures] == ["is001", "iv001"]
    assert "1 row(s) of labels.csv without an image: row 4 (x9.tif)" in result.notes


def test_a_row_of_another_folder_is_no_label(tmp_path: Path) -> None:
    for name in ("001", "002"):
        path = tmp_path / "img" / "train" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(int(name)).integers(60, 200, (64, 64, 3), np.uint8)
        tifffile.imwrite(path, pixels, photometric="rgb")
    table = tmp_path / "t.csv"
    table.write_text("file,label\ntest/001.tif,malignant\ntrain/002.tif,benign\n", encoding="utf-8")
    for number, place in enumerate(("img", "img/train")):
        result = cut(tmp_path / place, tmp_path / f"set{number}", image_labels=table)
        assert result.tiles == {"benign": 1} and [each.slide_id for each in result.failures] == ["001"]


def test_a_name_that_two_images_have_needs_its_folder(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        Image.new("RGB", (64, 64), (200, 100, 150)).save(tmp_path / "images" / folder / "1.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n1.png,x\n", encoding="utf-8")
    with pytest.raises(HistonicError, match="Row 2 may mean a__1, b__1"):
        cut(tmp_path / "images", tmp_path / "set", image_labels=table, names="path")
    table.write_text("file,label\na/1.png,x\nb/1.png,y\n", encoding="utf-8")
    result = cut(tmp_path / "images", tmp_path / "set", image_labels=table, names="path")
    assert result.tiles == {"x": 1, "y": 1}


BREAKHIS = (
    "benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-007.png",
    "benign/SOB/adenosis/SOB_B_A_14-22549AB/100X/SOB_B_A-14-22549AB-100-001.png",
    "benign/SOB/adenosis/SOB_B_A_14-22549CD/40X/SOB_B_A-14-22549CD-40-001.png",
    "malignant/SOB/ductal_carcinoma/SOB_M_DC_14-2523/40X/SOB_M_DC-14-2523-40-010.png",
)


def test_breakhis_by_magnification_and_patient(tmp_path: Path) -> None:
    root = tmp_path / "breast"
    for number, name in enumerate(BREAKHIS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(60, 200, (92, 140, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
    result = cut(
        root,
        tmp_path / "set",
        only="/40X/",
        label_pattern="^(benign|malignant)/",
        group_pattern="_(?P<group>[0-9]{2}-[0-9]+[A-Z]*)/",
        slide_mpp=1.0,
        mpp=1.0,
        tile_px=32,
    )
    assert result.tiles == {"benign": 2 * 8, "malignant": 8}
    groups = {(row["slide"], row["group"]) for row in rows_of(tmp_path / "set")}
    assert groups == {
        ("SOB_B_A-14-22549AB-40-007", "14-22549AB"),
        ("SOB_B_A-14-22549CD-40-001", "14-22549CD"),
        ("SOB_M_DC-14-2523-40-010", "14-2523"),
    }


def test_overlaps_count_once() -> None:
    grid = TileGrid.over((400, 100), slide_mpp=1.0, tile_px=100, mpp=1.0)
    assert covered_share([XY(0, 0), XY(0, 0), XY(50, 0)], grid) == pytest.approx(0.375, abs=0.02)
    assert covered_share([], grid) == 0.0
