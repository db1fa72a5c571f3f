"""Crops on tissue: at their true scale, of their own split, blended, and the same from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import TileSetError
from histonic.data.tilesets.compose import Composer, background_stamp, fading, lay
from histonic.data.tilesets.listing import Listing, nowhere, texts, unknown
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import read_tile_set

OBJECT, REST = 250, 40


def crops(split: Sequence[str], labels: Sequence[str], side: int = 48, shade: int = 0) -> Listing:
    """Crops of one grey: objects are bright, the rest dark; each split has its own shade of dark."""
    dark = {"train": REST, "val": REST + 30, "test": REST + 60, "": REST}

    def read(row: int) -> np.ndarray:
        level = OBJECT if labels[row] == "object" else dark[split[row]] + shade
        return np.full((side, side, 3), level, np.uint8)

    count = len(split)
    names = tuple(f"{row}.png" for row in range(count))
    columns = {"label": texts(list(labels))}
    return Listing(
        names, columns, texts(list(split)), unknown(count), unknown(count), nowhere(count), read, "s"
    )


def plan(**more: Any) -> TileSetSettings:
    given = {"name": "set", "path": Path("x"), "mpp": 0.25, "scale": "compose", "rest": "rest", **more}
    return TileSetSettings(**given)


def test_the_object_keeps_its_microns_and_all_of_it_is_seen() -> None:
    """12 µm at 0.5 µm/px are 24 of 64 pixels; they fade over 4 px at each border."""
    listing = crops(["train"] * 9, ["object"] + ["rest"] * 8)
    for seed_row in range(20):
        tile = Composer(plan(name=str(seed_row)), listing, 64, 0.5).views(0)[0]
        assert tile.shape == (64, 64, 3) and tile.dtype == np.uint8
        bright = tile[..., 0] > (OBJECT + REST) / 2
        rows, cols = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        assert 18 <= np.ptp(rows) + 1 <= 24 and 18 <= np.ptp(cols) + 1 <= 24
        assert (tile[..., 0] >= OBJECT - 1).sum() >= 16 * 16
        assert tile[..., 0].min() == REST


def test_places_turns_and_tissue_change_from_view_to_view_and_not_from_run_to_run() -> None:
    listing = crops(["train"] * 9, ["object"] + ["rest"] * 8)
    made = Composer(plan(views=8), listing, 64, 0.5).views(0)
    again = Composer(plan(views=8), listing, 64, 0.5).views(0)
    assert all(np.array_equal(one, other) for one, other in zip(made, again, strict=True))
    places = {tuple(np.argwhere(tile[..., 0] > 150)[0]) for tile in made}
    assert len(places) > 5


def test_tissue_is_of_the_crops_own_split() -> None:
    split = ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    listing = crops(split, ["object", "rest", "rest", "rest"] * 3)
    composer = Composer(plan(), listing, 64, 0.5)
    for row, level in ((0, REST), (4, REST + 30), (8, REST + 60)):
        tile = composer.views(row)[0]
        assert np.bincount(tile[tile < 110]).argmax() == level == tile.min()


def test_the_seams_of_the_tissue_are_blended() -> None:
    """Dark and bright crops side by side: nowhere does a pixel jump by the whole difference."""
    levels = np.random.default_rng(0).integers(20, 220, 40)

    def read(row: int) -> np.ndarray:
        return np.full((48, 48, 3), levels[row], np.uint8)

    listing = crops(["train"] * 40, ["object"] + ["rest"] * 39)
    listing = Listing(
        listing.names, listing.labels, listing.split, listing.group, listing.slide, listing.places, read, "s"
    )
    tile = Composer(plan(), listing, 128, 0.5).views(0)[0].astype(int)
    assert np.abs(np.diff(tile, axis=0)).max() <= 75 and np.abs(np.diff(tile, axis=1)).max() <= 75
    assert len(np.unique(tile)) > 40


def test_crops_of_several_sizes_leave_no_holes_and_none_is_lost() -> None:
    sides = [80] * 6 + [40] * 10 + [64] * 10

    def read(row: int) -> np.ndarray:
        return np.full((sides[row], sides[row], 3), OBJECT if row < 6 else REST, np.uint8)

    base = crops(["train"] * 26, ["object"] * 6 + ["rest"] * 20)
    listing = Listing(base.names, base.labels, base.split, base.group, base.slide, base.places, read, "s")
    composer = Composer(plan(views=3), listing, 128, 0.5)
    for row in range(26):
        for tile in composer.views(row):
            assert tile.min() >= REST - 1


def test_damaged_tissue_takes_no_other_crop_with_it(tmp_path: Path) -> None:
    def read(row: int) -> np.ndarray:
        if row in (3, 5):
            raise ValueError("It is damaged.")
        return np.full((48, 48, 3), OBJECT if row < 3 else REST, np.uint8)

    base = crops(["train"] * 12, ["object"] * 3 + ["rest"] * 9)
    listing = Listing(base.names, base.labels, base.split, base.group, base.slide, base.places, read, "s")
    folder = pictures(tmp_path / "fields", 6)
    (folder / "0.png").write_bytes(b"no picture")
    composer = Composer(plan(views=8, background=(folder,), background_mpp=1.0), listing, 64, 0.5)
    assert [len(composer.views(row)) for row in (0, 1, 2, 4)] == [8] * 4
    with pytest.raises(ValueError, match="damaged"):
        composer.views(3)


def test_corrected_labels_and_splits_are_another_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    for number in range(24):
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(
            tmp_path / "set" / f"{number}.png"
        )

    def prints(splits: tuple[str, ...]) -> str:
        rows = ["path,label,split"]
        rows += [f"{n}.png,{('object', 'rest')[n % 2]},{splits[n // 8]}" for n in range(24)]
        (tmp_path / "set" / "tiles.csv").write_text("\n".join(rows), encoding="utf-8")
        found = read_tile_set(plan(path=tmp_path / "set"), tile_px=64, mpp=0.5, cache=tmp_path / "cache")
        return found.fingerprint + str(found.tiles[0].sum())

    first = prints(("train", "val", "test"))
    assert prints(("train", "test", "val")) != first
    assert prints(("train", "val", "test")) == first
    with pytest.raises(TileSetError, match="'scale: compose'"):
        read_tile_set(plan(path=tmp_path / "set", scale="fill"), tile_px=64, mpp=0.5, cache=tmp_path / "c")


def pictures(folder: Path, count: int, side: int = 300, level: int = 120) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (side, side), (level, number, 0)).save(folder / f"{number}.png")
    return folder


def test_pictures_of_tissue_are_shared_out_among_the_splits(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "fields", 40)
    split = ["train"] * 60 + ["val"] * 60 + ["test"] * 60
    listing = crops(split, ["object"] * 180)
    composer = Composer(plan(rest="", background=(folder,), background_mpp=1.0), listing, 64, 0.5)
    seen: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    for row, name in enumerate(split):
        tile = composer.views(row)[0]
        green = tile[..., 1][tile[..., 2] == 0]
        seen[name] |= {int(green[0])}
    assert all(seen.values())
    assert (
        not seen["train"] & seen["val"]
        and not seen["train"] & seen["test"]
        and not seen["val"] & seen["test"]
    )


def test_crops_and_pictures_each_have_their_half(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "fields", 30)
    listing = crops(["train"] * 40, ["object"] * 20 + ["rest"] * 20)
    composer = Composer(plan(background=(folder,), background_mpp=1.0, views=10), listing, 64, 0.5)
    blue = [int(tile[..., 2].min()) for row in range(20) for tile in composer.views(row)]
    assert 0.35 < np.mean([value == 0 for value in blue]) < 0.65  # pictures have no blue


@pytest.mark.parametrize(
    ("facts", "split", "side", "words"),
    [
        ({"rest": ""}, "train", 48, "no tissue to lay its crops on"),
        ({"rest": "other"}, "train", 48, "No tile has the label 'other'"),
        ({}, "", 48, "no tissue to lay its crops on"),
        ({}, "train", 300, "use 'scale: mpp'"),
        ({}, "train", 8, "finer --mpp"),
        ({"background": (Path("no/such"),), "background_mpp": 1.0}, "train", 48, "There is no"),
    ],
)
def test_what_cannot_be_composed(facts: dict[str, Any], split: str, side: int, words: str) -> None:
    listing = crops([split] * 4, ["object", "rest", "rest", "rest"], side)
    with pytest.raises(TileSetError, match=words):
        Composer(plan(**facts), listing, 64, 0.5).views(0)


def test_pictures_need_a_resolution_and_enough_pixels(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "fields", 3, side=20)
    listing = crops(["train"] * 4, ["object"] * 4)
    with pytest.raises(TileSetError, match="background_mpp"):
        Composer(plan(rest="", background=(folder,)), listing, 64, 0.5)
    composer = Composer(
        plan(rest="", background=tuple(folder.iterdir()), background_mpp=0.5), listing, 64, 0.5
    )
    with pytest.raises(TileSetError, match=r"background_mpp is 2\.5: .* enlarged 5\.0 times"):
        Composer(plan(rest="", background=(folder,), background_mpp=2.5), listing, 64, 0.5)
    with pytest.raises(TileSetError, match="a tile needs 64 px"):
        composer.views(0)


def test_other_pictures_are_another_set(tmp_path: Path) -> None:
    given = plan(background=(pictures(tmp_path / "fields", 3),), background_mpp=1.0)
    before = background_stamp(given)
    Image.new("RGB", (30, 300)).save(tmp_path / "fields" / "9.png")
    assert before and background_stamp(given) != before and background_stamp(plan()) == ""


def test_a_set_of_crops_is_read_at_true_scale(tmp_path: Path) -> None:
    rows = ["path,label,split"]
    (tmp_path / "set").mkdir()
    for number in range(24):
        label, split = ("object", "rest")[number % 2], ("train", "val", "test")[number // 8]
        level = OBJECT if label == "object" else REST
        Image.new("RGB", (48, 48), (level, number, 0)).save(tmp_path / "set" / f"{number}.png")
        rows.append(f"{number}.png,{label},{split}")
    (tmp_path / "set" / "tiles.csv").write_text("\n".join(rows), encoding="utf-8")
    given = plan(path=tmp_path / "set", views=3)
    found = read_tile_set(given, tile_px=64, mpp=0.5, cache=tmp_path / "cache")
    assert found.tiles.shape == (72, 64, 64, 3) and found.enlarged == 1.0
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [24, 24, 24]
    is_object = found.targets["set"] == found.tasks[0].classes.index("object")
    assert (found.tiles[..., 0].max((1, 2)) > 200).tolist() == is_object.tolist()
    assert "24 px at 0.5 µm/px, their true scale" in found.notes[0] and "'rest'" in found.notes[0]
    blown = read_tile_set(
        given.model_copy(update={"scale": "fill", "rest": "", "views": 1}),
        tile_px=64,
        mpp=0.5,
        cache=tmp_path / "cache",
    )
    assert blown.enlarged == pytest.approx(64 / 24) and blown.fingerprint != found.fingerprint
    assert any("WARNING: objects are 2.7 times as large" in note for note in blown.notes)


def test_fading_and_laying() -> None:
    assert fading(24)[12, :5].tolist() == [0.125, 0.375, 0.625, 0.875, 1.0]
    laid = lay(
        np.zeros((30, 30, 3), np.float32), np.full((24, 24, 3), 200, np.uint8), np.random.default_rng(0)
    )
    assert (laid == 200).all(2).sum() == 16 * 16
