"""Needle images on the disk: whole, resumable, and never mixed; and what the three commands share."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from histonic.core.errors import SettingsError, TileSetError
from histonic.core.files import write_json
from histonic.core.grid import TileGrid
from histonic.core.progress import Silent
from histonic.data.annotations.reading import annotations_of
from histonic.data.annotations.shapes import LabelRule
from histonic.data.annotations.shares import label_shares
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.sources import list_tiles
from histonic.slides.base import open_slide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.tissue.polygons import UNCLASSIFIED
from histonic.stages.simulate.crops import Band, parse_band, places_of, simulate_crops
from histonic.stages.simulate.folder import make_all
from histonic.stages.simulate.needles import simulate_needles
from histonic.stages.simulate.rectangles import simulate_rectangles

SMALL = {"canvas": 128, "digit_px": 8, "train": 6, "val": 2, "test": 2, "processes": 1}


def test_images_and_their_table(tmp_path: Path) -> None:
    out = simulate_needles(out=tmp_path / "n", **SMALL)
    table = pd.read_csv(out / "needles.csv")
    assert table["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 2}
    for row in table.itertuples():
        with np.load(out / row.img_path) as file:
            assert file["image"].shape == (37, 37) and file["cells"].sum() == row.label
        assert np.isfinite(row.target_x) == bool(row.label)
    kept = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    simulate_needles(out=out, **{**SMALL, "train": 8})
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert len(pd.read_csv(out / "needles.csv")) == 12
    with pytest.raises(SettingsError, match="different: canvas"):
        simulate_needles(out=out, **{**SMALL, "canvas": 256})
    (out / "simulation.json").write_text("[", encoding="utf-8")
    with pytest.raises(SettingsError, match="different"):
        simulate_needles(out=out, **SMALL)


@pytest.mark.long
def test_processes_make_the_same_images(tmp_path: Path) -> None:
    one = simulate_needles(out=tmp_path / "1", **{**SMALL, "train": 12})
    two = simulate_needles(out=tmp_path / "2", **{**SMALL, "train": 12, "processes": 2})
    for path in sorted((one / "images").iterdir()):
        with np.load(path) as first, np.load(two / "images" / path.name) as second:
            assert np.array_equal(first["image"], second["image"])


@pytest.mark.long
def test_an_interruption_does_not_wait_for_what_is_being_made() -> None:
    class Stops(Silent):
        def advance(self, steps: int = 1, note: str = "") -> None:
            raise KeyboardInterrupt

    before = set(multiprocessing.active_children())
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        make_all(time.sleep, [0.0, 600.0, 600.0], 2, Stops(), at_once=1)  # type: ignore[arg-type]
    assert time.monotonic() - began < 300
    for child in set(multiprocessing.active_children()) - before:
        child.join(60)
        assert child.exitcode is not None


def test_rectangles_as_slides(tmp_path: Path) -> None:
    given = {"side_px": 180, "train": 4, "val": 0, "test": 2, "processes": 1}
    out = simulate_rectangles(out=tmp_path / "r", **given)
    table = pd.read_csv(out / "labels.csv")
    assert list(table["slide_id"]) == [*(f"train-0000{k}" for k in range(4)), "test-00000", "test-00001"]
    with open_slide(out / "slides" / "train-00000.tif") as slide:
        pixels = slide.read((0, 0), (180, 180), 0.5)
        assert slide.size_wh == (180, 180) and slide.mpp == pytest.approx(0.5)
        grid = TileGrid.over(slide.size_wh, slide_mpp=slide.mpp, tile_px=9, mpp=0.5)
    assert set(np.unique(pixels)) == {0, 255}
    found = annotations_of(
        out / "masks" / "train-00000.geojson",
        LabelRule({UNCLASSIFIED: "x"}),
        slide="s",
        size_wh=grid.slide_wh,
    )
    share = label_shares(found, grid).labels["lesion"].mean() * 180 * 180
    assert share == pytest.approx((table["long_side_share"][0] * 180) ** 2 / 2, rel=0.02)


def write_slide(folder: Path, name: str, squares: list[tuple[int, int, int]]) -> None:
    """Pink tissue of 512 px with square lesions (x, y, side), dark."""
    pixels = np.full((512, 512, 3), (200, 120, 170), np.uint8)
    features = []
    for x, y, side in squares:
        pixels[y : y + side, x : x + side] = (60, 20, 90)
        ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"classification": {"name": "lesion"}},
            }
        )
    write_pyramid(folder / "slides" / f"{name}.tif", pixels, mpp=0.5, quality=None)
    write_json(folder / "masks" / f"{name}.geojson", {"type": "FeatureCollection", "features": features})


def test_crops_hold_their_lesion_and_lie_in_their_band(tmp_path: Path) -> None:
    write_slide(tmp_path, "a", [(100, 100, 32), (400, 400, 8)])
    write_slide(tmp_path, "b", [(200, 240, 60)])
    write_slide(tmp_path, "c", [])
    given = {
        "slides": (tmp_path / "slides",), "masks": tmp_path / "masks", "mpp": 0.5, "crop_px": 64,
        "per_lesion": 5, "per_negative": 7, "val_share": 0.0, "test_share": 0.4,
    }  # fmt: skip
    result = simulate_crops(out=tmp_path / "crops", **given)
    # 32 px of 64: 25 %; 8 px: 1.6 %; 60 px: 88 %, of which one crop on the raster of 8 px holds all.
    assert result.counts == {"0.001-0.01": 0, "0.01-0.1": 5, "0.1-0.5": 5, "0.5-1": 1, "normal": 7}
    assert result.failures == []
    for band in ("0.01-0.1", "0.1-0.5", "0.5-1"):
        table = pd.read_csv(result.out / f"{band}.csv")
        plan = TileSetSettings(name="crops", path=result.out / f"{band}.csv", mpp=0.5)
        listed = list_tiles(plan)
        assert len(listed.names) == len(table) and set(listed.labels["label"]) == {"lesion", "normal"}
        low, high = (float(part) for part in band.split("-"))
        assert table.groupby("slide")["split"].nunique().max() == 1
        for row in table.itertuples():
            assert row.x % 8 == row.y % 8 == 0 and row.x <= 512 - 64
            pixels = np.asarray(Image.open(result.out / row.path))
            dark = (pixels[:, :, 0] < 130).mean()
            assert pixels.shape == (64, 64, 3) and dark == pytest.approx(row.share, abs=0.005)
            assert row.label == ("lesion" if low < row.share < high else "normal")
    with pytest.raises(TileSetError, match="No lesion of 3 slide"):
        simulate_crops(out=tmp_path / "none", **{**given, "bands": ("0.9-1",)})
    (tmp_path / "masks" / "c.geojson").unlink()
    with pytest.raises(SettingsError, match="first 'c'"):
        simulate_crops(out=tmp_path / "crops", **given)


def test_a_crop_of_two_lesions_counts_both() -> None:
    shares = np.zeros((20, 20))
    shares[8, 8] = shares[10, 10] = 1.0
    piece = np.zeros((20, 20), bool)
    piece[8, 8] = True
    rng = np.random.default_rng(0)
    both = places_of(shares, piece, Band("b", 0.02, 0.1), 1000, rng)
    alone = places_of(shares, piece, Band("b", 0.01, 0.02), 1000, rng)
    assert len(both) + len(alone) == 64 and len(both) == 36
    assert {share for _, share in both} == {2 / 64}


@pytest.mark.parametrize("text", ["0.1", "0.5-0.1", "a-b", "0-2", "-1-0.5"])
def test_bands_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="not two rising shares"):
        parse_band(text)
