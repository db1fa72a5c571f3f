"""Codes of a tile set are made once, and a linear model is scored on rows that it has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from histonic.core.progress import Silent
from histonic.data.tilesets.plan import TileSetSettings
from histonic.stages.study.frame.plan import Place
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.frame.tiles import (
    coded_tiles,
    encoder_of,
    tile_scores,
    tile_steps,
    write_tile_predictions,
)


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def plan_of(folder: Path) -> TileSetSettings:
    rng = np.random.default_rng(0)
    rows = ["path,label,split,group"]
    for number in range(40):
        label, split = ("dark", "pale")[number % 2], "train" if number < 24 else "test"
        level = 60 if label == "dark" else 190
        pixels = rng.integers(level, level + 40, (64, 64, 3)).astype(np.uint8)
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{label},{split},{split}{number // 4}")
    (folder / "tiles.csv").write_text("\n".join(rows) + "\n")
    return TileSetSettings(name="tint", path=folder, mpp=1.0)


def test_codes_are_made_once_and_scored(tmp_path: Path) -> None:
    plan, place, heard = plan_of(tmp_path / "set"), Place(tmp_path / "out"), Heard()
    coded = coded_tiles(place, plan, "colour", 0, heard)
    known = np.concatenate([coded.tiles.rows("train"), coded.tiles.rows("val")])
    rows = coded.tiles.rows("test")
    result = coded.probe(known, rows, 0)
    settings = RecipeSettings(name="nct-crc", data=tmp_path, resamples=100)
    scores = {score.name: score for score in tile_scores("x", result, settings)}
    assert scores["Accuracy"].value == 1.0 and scores["Accuracy"].n == 16
    write_tile_predictions(place.predictions, coded, rows, result, {})
    table = pd.read_csv(place.predictions)
    assert (table["truth"] == table["predicted"]).all() and len(table) == 16
    again = coded_tiles(place, plan, "colour", 0, heard)
    assert "tint: encoded already" in heard.lines and np.array_equal(again.codes, coded.codes)
    (place.out / "codes" / "tint.npz").write_bytes(b"damaged")
    mended = coded_tiles(place, plan, "colour", 0, heard)
    assert np.array_equal(mended.codes, coded.codes) and "is damaged" in heard.lines[-1]


def test_an_encoder_is_trained_unless_one_is_named(tmp_path: Path) -> None:
    plan, place = TileSetSettings(name="tint", path=tmp_path, mpp=0.5, classes=("a", "b")), Place(tmp_path)
    own = RecipeSettings(name="nct-crc", data=tmp_path)
    (step,) = tile_steps(own, place, plan)
    assert step.settings["sets"] == [
        {"name": "tint", "path": str(tmp_path), "classes": ["a", "b"], "mpp": 0.5}
    ]
    assert encoder_of(own, place) == str(tmp_path / "encoder" / "encoder.safetensors")
    given = RecipeSettings(name="nct-crc", data=tmp_path, encoder="colour")
    assert tile_steps(given, place, plan) == [] and encoder_of(given, place) == "colour"
