"""Sets of different kinds brought into one pool: what is cut, balanced, grouped, and trained on."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from histonic.core.errors import SettingsError, TableError, TileSetError
from histonic.stages.encoder.pool import balance, make_pool
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder

SIDE = 280


def paint(folder: Path, names: list[str]) -> Path:
    """Fields of 280 px full of tissue-like noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        pixels = np.clip(np.array([190, 110, 170]) + rng.integers(-50, 50, (SIDE, SIDE, 1)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def points(folder: Path, names: list[str], each: int = 3) -> Path:
    """GeoJSON as QuPath writes it: mitoses as points."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [60 + 80 * number, 40]},
                "properties": {"classification": {"name": "Mitosis"}},
            }
            for number in range(each)
        ]
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (folder / f"{name}.geojson").write_text(text)
    return folder


def masks(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[:150, :150] = 1
        Image.fromarray(mask).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> list[dict[str, Any]]:
    names = [f"f{number}" for number in range(8)]
    images = [paint(tmp_path / "images", names)]
    known = {"images": images, "mpp": 0.5}
    rows = [f"images/{name}.png,{'ab'[number % 2]},p{number // 2}" for number, name in enumerate(names)]
    (tmp_path / "fields.csv").write_text("\n".join(["file,grade,patient", *rows]))
    return [
        {
            **known, "name": "mitosis", "kind": "detection", "related": "breast",
            "annotations": points(tmp_path / "points", names),
            "labels": {"Mitosis": "mitosis"}, "background_label": "none",
        },
        {
            **known, "name": "gland", "kind": "segmentation", "annotations": masks(tmp_path / "masks", names),
            "labels": {"_1": "gland"}, "background_label": "stroma", "related": "breast",
        },
        {
            **known, "name": "grade", "kind": "fields", "table": tmp_path / "fields.csv",
            "label_column": "grade", "group_column": "patient", "licence": "CC0",
        },
    ]  # fmt: skip


def pool(tmp_path: Path, sources: list[dict[str, Any]], **values: Any) -> Any:
    known: dict[str, Any] = {"tile_px": 64, "mpp": 0.5, "val_share": 0.25, "test_share": 0.25}
    return make_pool(**{**known, **values}, sources=sources, out=tmp_path / "pool")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_three_kinds_of_sets_become_one_training(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    result = pool(tmp_path, sources)
    assert not result.failures and set(result.tiles) == {"mitosis", "gland", "grade"}
    mitoses = [row for row in rows_of(tmp_path / "pool" / "mitosis.csv") if row["label"] == "mitosis"]
    assert len(mitoses) == 24
    # Cut around the point, 1.25 times as large as the encoder's tile.
    first = next(row for row in mitoses if row["slide"] == "f0" and float(row["x"]) < 100)
    assert (float(first["x"]), float(first["y"]), float(first["side"])) == (20, 0, 80)
    for file in ("mitosis", "gland", "grade"):
        rows = rows_of(tmp_path / "pool" / f"{file}.csv")
        for split in ("train", "val", "test"):
            counts = Counter(row["label"] for row in rows if row["split"] == split)
            assert len(counts) == 2 and max(counts.values()) <= 3 * min(counts.values())
        assert all(len({row["split"] for row in rows if row["group"] == group}) == 1 for group in
                   {row["group"] for row in rows})  # fmt: skip
    config = yaml.safe_load(result.config.read_text())
    assert [each.get("related", "") for each in config["sets"]] == ["breast", "breast", ""]
    assert config["random_crop"] == 1.25 and config["sets"][2]["licence"] == "CC0"
    page = (tmp_path / "pool" / "pool.md").read_text()
    assert "| mitosis | detection | breast | mitosis, none |" in page
    run = train_encoder(
        TrainEncoderSettings(
            **config, out=tmp_path / "encoder", code_size=8, batch=8, steps=1, max_epochs=1, device="cpu"
        )
    )
    facts = json.loads((run / "run.json").read_text())
    assert [task["name"] for task in facts["tasks"]] == ["mitosis", "gland", "grade"]
    assert "random squares of 64 px, at true scale, of areas of 80 px" in (run / "model_card.md").read_text()


def test_the_patients_of_fields_are_those_of_their_table(
    tmp_path: Path, sources: list[dict[str, Any]]
) -> None:
    pool(tmp_path, sources[2:])
    rows = rows_of(tmp_path / "pool" / "grade.csv")
    assert {(row["slide"], row["group"], row["label"]) for row in rows} >= {
        ("f0", "p0", "a"),
        ("f1", "p0", "b"),
    }
    assert len({row["split"] for row in rows if row["group"] == "p0"}) == 1


def test_splits_of_the_table_are_kept(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    lines = (tmp_path / "fields.csv").read_text().splitlines()
    splits = ["split", "training", "training", "Test", "Test", "val", "val", "training", "training"]
    (tmp_path / "fields.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, splits, strict=True)))
    pool(tmp_path, sources[2:])
    found = {row["slide"]: row["split"] for row in rows_of(tmp_path / "pool" / "grade.csv")}
    assert (found["f0"], found["f2"], found["f4"]) == ("train", "test", "val")


def test_sources_of_the_same_images_hold_out_the_same(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    """Mitoses know images only, grades know patients of two images: the patients decide for both."""
    pool(tmp_path, [sources[0], sources[2]])
    split = {}
    for name in ("mitosis", "grade"):
        for row in rows_of(tmp_path / "pool" / f"{name}.csv"):
            assert split.setdefault(row["slide"], row["split"]) == row["split"]
    assert all(split[f"f{number}"] == split[f"f{number + 1}"] for number in range(0, 8, 2))
    assert set(split.values()) == {"train", "val", "test"}


def test_tables_that_part_a_patient_are_refused(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    lines = (tmp_path / "fields.csv").read_text().splitlines()
    splits = ["split", "train", "test", *["train"] * 6]
    (tmp_path / "fields.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, splits, strict=True)))
    with pytest.raises(TileSetError, match="another image of its patient"):
        pool(tmp_path, sources[2:])


def test_the_same_command_cuts_nothing_again(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    pool(tmp_path, sources[:1])
    file = tmp_path / "pool" / "mitosis.csv"
    before, text = next((tmp_path / "pool" / "cut").rglob("*.png")).stat().st_mtime_ns, file.read_text()
    pool(tmp_path, sources[:1])
    assert next((tmp_path / "pool" / "cut").rglob("*.png")).stat().st_mtime_ns == before
    assert file.read_text() == text


def test_a_tile_set_that_is_there_is_passed_on(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    given = {"name": "nodes", "path": tmp_path / "nodes", "mpp": 0.97, "related": "x", "scale": "fill"}
    tiles = {"name": "nodes", "kind": "tiles", "set": given, "related": "lymph"}
    config = yaml.safe_load(pool(tmp_path, [tiles]).config.read_text())
    assert config["sets"] == [{**given, "path": str(tmp_path / "nodes"), "related": "lymph"}]


def test_no_image_gives_more_than_its_share() -> None:
    many = [{"label": "a", "split": "train", "slide": "big", "path": str(n)} for n in range(90)]
    small = [{"label": "a", "split": "train", "slide": f"s{n}", "path": f"s{n}"} for n in range(5)]
    rare = [{"label": "b", "split": "train", "slide": "r", "path": f"r{n}"} for n in range(5)]
    rows = [*many, *small, *rare]
    kept = balance(rows, 2.0, 0)
    counts = Counter(row["slide"] for row in kept if row["label"] == "a")
    assert sum(counts.values()) == 10 and all(counts[f"s{n}"] == 1 for n in range(5))
    assert kept == balance(rows, 2.0, 0) != balance(rows, 2.0, 1)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"annotations": None}, SettingsError, "'annotations' is missing"),
        ({"table": "x.csv"}, SettingsError, "It has 'table'"),
        ({"background_label": None}, SettingsError, "neither a background nor two classes"),
        ({"labels": {"Mitosis": "none"}}, TileSetError, r"are of 1 class\(es\): none"),
    ],
)
def test_sources_that_make_no_task_are_refused(
    change: dict[str, Any], error: type[Exception], words: str, tmp_path: Path, sources: list[dict[str, Any]]
) -> None:
    with pytest.raises(error, match=words):
        pool(tmp_path, [{**sources[0], **change}])


def test_tables_of_fields_that_cannot_be_used(tmp_path: Path, sources: list[dict[str, Any]]) -> None:
    table = tmp_path / "fields.csv"
    with pytest.raises(TableError, match="no column 'class'"):
        pool(tmp_path, [{**sources[2], "label_column": "class"}])
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]))
    with pytest.raises(TableError, match=r"1 image\(s\) are not in it, such as 'f7'"):
        pool(tmp_path, sources[2:])
    table.write_text("\n".join([*lines, lines[-1].replace("images/", "other/")]))
    with pytest.raises(TableError, match="'f7' stands there twice"):
        pool(tmp_path, sources[2:])
    with pytest.raises(SettingsError, match="Two are named 'grade'"):
        pool(tmp_path, [sources[2], sources[2]])


@pytest.mark.long
def test_real_fields_become_tasks(data_dir: Path, tmp_path: Path) -> None:
    """Masks of Gleason patterns, and grades of fields by the patients and splits of their table."""
    gleason, glands = data_dir / "fields" / "prostate_gleason", data_dir / "fields" / "colon_glands"
    if not gleason.is_dir() or not glands.is_dir():
        pytest.skip("the fields of prostate_gleason or colon_glands are absent")
    codes = {"_0": "gleason3", "_1": "gleason4", "_4": "stroma"}
    rows = rows_of(glands / "fields.csv")
    chosen = [
        row for split in ("train", "val", "test") for label in ("benign", "malignant")
        for row in [each for each in rows if (each["split"], each["label"]) == (split, label)][:2]
    ]  # fmt: skip
    result = make_pool(
        out=tmp_path / "pool",
        most_enlargement=1.3,
        sources=[
            {
                "name": "gleason", "kind": "segmentation", "images": [gleason / "img"], "mpp": 0.5,
                "annotations": gleason / "mask", "labels": codes, "min_share": 0.75,
                "most_per_image": 12,
            },
            {
                "name": "glands", "kind": "fields", "images": [glands / row["file"] for row in chosen],
                "table": glands / "fields.csv", "group_column": "patient", "mpp": 0.62,
            },
        ],
    )  # fmt: skip
    assert not result.failures
    assert set(result.tiles["gleason"]["train"]) == {"gleason3", "gleason4", "stroma"}
    patients = {row["file"].rpartition("/")[2].partition(".")[0]: row for row in rows}
    for row in rows_of(tmp_path / "pool" / "glands.csv"):
        own = patients[row["slide"]]
        assert (row["label"], row["split"], row["group"]) == (own["label"], own["split"], own["patient"])
