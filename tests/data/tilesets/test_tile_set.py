"""Tile sets in every form they come in, brought to the encoder's tiles, split, checked, refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from histonic.core.errors import TileSetError
from histonic.core.progress import Silent
from histonic.data.tilesets import cache as tileset_cache
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import TileSet, check_across, read_tile_set, read_unlabelled


def picture(path: Path, seed: int, side: int = 32, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def table(folder: Path, rows: Sequence[dict[str, Any]], side: int = 32) -> Path:
    for number, row in enumerate(rows):
        if not (folder / row["path"]).exists():
            picture(folder / row["path"], number, side)
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "tiles.csv", index=False)
    return folder


def rows_of(labels: str, **columns: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"path": f"{number}.png", "label": label, **{key: values[number] for key, values in columns.items()}}
        for number, label in enumerate(labels)
    ]


def read(path: Path, **facts: Any) -> TileSet:
    plan = TileSetSettings(name="set", path=path, **{"mpp": 1.0, **facts})
    return read_tile_set(plan, tile_px=16, mpp=2.0, cache=path.parent / f"cache-{path.name}")


def test_a_folder_per_class(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / "set" / ("tumour" if number % 2 else "normal") / f"{number:02}.png", number)
    found = read(tmp_path / "set")
    assert found.tasks[0].kind == "binary" and found.tasks[0].classes == ("normal", "tumour")
    assert found.tiles.shape == (20, 16, 16, 3) and np.bincount(
        found.targets["set"].astype(int)
    ).tolist() == [10, 10]
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [14, 3, 3] or len(
        found.rows("train")
    ) > 10
    assert any("no splits are given: drawn tile by tile" in note for note in found.notes)


def test_split_folders_above_class_folders(tmp_path: Path) -> None:
    for number, split in enumerate(["train"] * 4 + ["validation"] * 2 + ["test"] * 2):
        picture(tmp_path / "set" / split / "ab"[number % 2] / f"{number}.png", number)
    found = read(tmp_path / "set")
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [4, 2, 2]


def test_a_table_with_split_and_group(tmp_path: Path) -> None:
    rows = rows_of("ababab", split=["train"] * 2 + ["val"] * 2 + ["test"] * 2, group=list("ppqqrr"))
    found = read(table(tmp_path / "set", rows))
    assert found.group.tolist() == list("ppqqrr") and found.targets["set"].tolist() == [0, 1] * 3
    assert found.split.tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2 and not found.notes


def test_patch_camelyon_files(tmp_path: Path) -> None:
    folder = tmp_path / "pcam"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (18, 96, 96, 3)).astype(np.uint8)
    for number, part in enumerate(("train", "valid", "test")):
        own = slice(6 * number, 6 * number + 6)
        stem = f"camelyonpatch_level_2_split_{part}"
        with h5py.File(folder / f"{stem}_x.h5", "w") as file:
            file["x"] = pixels[own]
        with h5py.File(folder / f"{stem}_y.h5", "w") as file:
            file["y"] = np.array([0, 1] * 3).reshape(6, 1, 1, 1)
        pd.DataFrame({"wsi": [f"s{number}"] * 6}).to_csv(folder / f"{stem}_meta.csv")
    plan = TileSetSettings(name="pcam", path=folder, mpp=0.97)
    found = read_tile_set(plan, tile_px=96, mpp=0.97, cache=tmp_path / "cache")
    assert np.array_equal(found.tiles, pixels) and found.tasks[0].classes == ("normal", "tumor")
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [6, 6, 6]
    assert found.group.tolist() == ["s0"] * 6 + ["s1"] * 6 + ["s2"] * 6
    (folder / "camelyonpatch_level_2_split_test_y.h5").unlink()
    with pytest.raises(TileSetError, match=r"_test_y\.h5 is missing"):
        read(folder)
    picture(folder / "camelyonpatch_level_2_split_test_y.h5.gz.png", 0).rename(
        folder / "camelyonpatch_level_2_split_test_y.h5.gz"
    )
    with pytest.raises(TileSetError, match="cannot be unpacked: Not a gzipped file"):
        read(folder)


def test_kinds_of_target(tmp_path: Path) -> None:
    rows = rows_of("aabbaabb", share=[0.5, 1, "", 2, 3, 4, 5, 6], grade=list("12312312"), split=["train"] * 8)
    folder = table(tmp_path / "set", rows)
    both = read(folder, label=("label", "grade"))
    assert [task.name for task in both.tasks] == ["set.label", "set.grade"]
    assert [task.kind for task in both.tasks] == ["binary", "multiclass"]
    share = read(folder, label=("share",), kind="regression")
    assert np.isnan(share.targets["set"]).sum() == 1 and share.tasks[0].outputs == 1
    ordinal = read(folder, label=("grade",), kind="ordinal", classes=("3", "2", "1"))
    assert ordinal.targets["set"][:3].tolist() == [2, 1, 0] and ordinal.tasks[0].outputs == 2


def test_missing_labels_stay_missing(tmp_path: Path) -> None:
    found = read(table(tmp_path / "set", rows_of(["a", "", "b", "a"])))  # type: ignore[arg-type]
    assert np.isnan(found.targets["set"]).tolist() == [False, True, False, False]


def test_tiles_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = table(tmp_path / "set", rows_of("abab" * 3))
    first = read(folder)
    monkeypatch.setattr(tileset_cache, "_decode", lambda *_: pytest.fail("decoded again"))
    again = read(folder)
    assert np.array_equal(first.tiles, again.tiles) and first.fingerprint == again.fingerprint
    monkeypatch.undo()
    picture(folder / "0.png", 99)
    assert not np.array_equal(read(folder).tiles[0], first.tiles[0])


def test_a_tile_that_cannot_be_read_is_listed_and_skipped(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", rows_of("abab" * 3))
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:200])
    (folder / "2.png").unlink()
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(folder / "4.png")
    said: list[str] = []

    class Listener(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    plan = TileSetSettings(name="set", path=folder, mpp=1.0)
    found = read_tile_set(plan, tile_px=16, mpp=2.0, cache=tmp_path / "c", progress=Listener())
    assert [Path(failure.path).name for failure in found.failures] == ["1.png", "2.png", "4.png"]
    assert "no such file" in found.failures[1].reason and "8 bits" in found.failures[2].reason
    assert len(found.tiles) == 9 == len(found.paths) == len(found.targets["set"])
    assert len(said) == 3 and "1.png" in said[0]


def test_grey_palette_and_transparent_images_become_colour(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number, mode in enumerate(("L", "P", "RGBA", "RGB")):
        picture(folder / "ab"[number % 2] / f"{number}.png", number, mode=mode)
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    clear.save(folder / "a" / "clear.png")
    found = read(folder)
    assert found.tiles.shape == (5, 16, 16, 3)
    assert (found.tiles[[path.endswith("clear.png") for path in found.paths]] == 255).all()


def test_neighbours_are_the_tiles_of_the_same_slide_that_touch(tmp_path: Path) -> None:
    known = {"group": list("ppqp"), "x": [0, 500, 0, 90], "y": [0, 0, 0, 0], "split": ["train"] * 4}
    found = read(table(tmp_path / "set", rows_of("abab", **known, side=[90] * 4)))
    assert found.neighbours[:, 0].tolist() == [3, -1, -1, -1]
    assert found.neighbours[:, 1].tolist() == [-1, -1, -1, 0] and found.placed.all()
    none = read(table(tmp_path / "other", rows_of("abab", **known, side=[80] * 4)))
    assert (none.neighbours == -1).all() and none.fingerprint != found.fingerprint


def test_groups_stay_whole_where_splits_are_drawn(tmp_path: Path) -> None:
    rows = rows_of("ab" * 60, group=[f"g{number // 6}" for number in range(120)])
    found = read(table(tmp_path / "set", rows))
    owners = {group: set(found.split[found.group == group]) for group in found.group}
    assert all(len(splits) == 1 for splits in owners.values())
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [84, 18, 18]


def test_a_missing_validation_split_is_taken_from_the_training_groups(tmp_path: Path) -> None:
    rows = rows_of("ab" * 20, group=[f"g{n // 2}" for n in range(40)], split=["train"] * 30 + ["test"] * 10)
    found = read(table(tmp_path / "set", rows))
    assert len(found.rows("test")) == 10 and 2 <= len(found.rows("val")) <= 6
    assert not set(found.group[found.rows("val")]) & set(found.group[found.rows("train")])
    assert any("no validation split" in note for note in found.notes)


def test_a_group_in_two_splits_is_refused(tmp_path: Path) -> None:
    rows = rows_of("abab", group=list("pppq"), split=["train", "train", "test", "test"])
    with pytest.raises(TileSetError, match=r"'set'.*\n.*group 'p' lies in the splits train and test\."):
        read(table(tmp_path / "set", rows))


@pytest.mark.parametrize("how", ["splits", "classes"])
def test_the_same_image_twice_is_refused_or_dropped(how: str, tmp_path: Path) -> None:
    splits = ["train"] * 4 + ["val", "val", "test", "test"]
    folder = table(tmp_path / "set", rows_of("abababab", split=splits))
    twin = "6.png" if how == "splits" else "1.png"
    (folder / twin).write_bytes((folder / "0.png").read_bytes())
    wanted = "in two splits" if how == "splits" else "with two labels"
    message = rf"are there: 1 {wanted}\. The first: .*0\.png \(train\) is .*{twin}"
    with pytest.raises(TileSetError, match=message):
        read(folder)
    kept = read(folder, duplicates="drop")
    assert len(kept.tiles) == (7 if how == "splits" else 6) == len(kept.paths)
    assert "test" in kept.split and any("dropped" in note for note in kept.notes)


def test_the_same_image_in_two_sets_is_refused(tmp_path: Path) -> None:
    one = table(tmp_path / "one", rows_of("abab", split=["train"] * 3 + ["val"]))
    other_rows = rows_of("abab", split=["train", "train", "val", "test"])
    other = tmp_path / "other"
    for number in range(4):
        picture(other / f"{number}.png", 50 + number)
    (other / "3.png").write_bytes((one / "2.png").read_bytes())
    sets = [read(one), read(table(other, other_rows))]
    with pytest.raises(TileSetError, match=r"one.2\.png \(train of set\) is .*other.3\.png \(test of set\)"):
        check_across(sets)


def test_tiles_without_labels(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / "bare" / f"{number}.png", number)
    plan = TileSetSettings(name="bare", path=tmp_path / "bare", scale="fill")
    found = read_unlabelled(plan, tile_px=16, mpp=0.5, cache=tmp_path / "cache")
    assert found.tasks == () and found.targets == {} and len(found.rows("train")) == 14


REFUSALS = [
    ("abab", {"mpp": None}, "not known"),
    ("abab", {"mpp": 0.5}, r"32 px at 0.5 µm/px: 16 of 32 µm needed"),
    ("abab", {"mpp": 20.0}, "enlarged 10.0 times"),
    ("aaaa", {}, "one class only"),
    ("abab", {"classes": ("a", "b", "c")}, "'c' has no tiles"),
    ("abac", {"classes": ("a", "b")}, r"3\.png \(row 5\) is labelled 'c' .*the classes are a, b"),
    ("abac", {"kind": "binary"}, "binary, with 3 classes"),
    ("abab", {"kind": "ordinal"}, "order of the classes"),
    ("abab", {"kind": "regression"}, r"0\.png \(row 2\) is labelled 'a', which is no number"),
    ("abab", {"label": ("grade",)}, "no column 'grade'; its columns are path, label"),
]


@pytest.mark.parametrize(("labels", "facts", "message"), REFUSALS)
def test_what_cannot_be_used_is_refused_by_name(
    labels: str, facts: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TileSetError, match=message) as error:
        read(table(tmp_path / "set", rows_of(labels)), **facts)
    assert "'set'" in str(error.value)


def test_an_empty_class_a_bare_tile_and_nothing_at_all(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", number)
    (tmp_path / "set" / "c").mkdir()
    with pytest.raises(TileSetError, match="class 'c' has no tiles"):
        read(tmp_path / "set")
    (tmp_path / "set" / "c").rmdir()
    picture(tmp_path / "set" / "bare.png", 9)
    with pytest.raises(TileSetError, match=r"bare\.png lies in no class folder"):
        read(tmp_path / "set")
    with pytest.raises(TileSetError, match="no such file or folder"):
        read(tmp_path / "absent")
    for path in (tmp_path / "set" / "a").iterdir():
        path.write_bytes(b"damaged")
    (tmp_path / "set" / "bare.png").unlink()
    with pytest.raises(TileSetError, match=r"No tile of the class 'a' could be read. First: .*0.png"):
        read(tmp_path / "set")


def test_what_was_assumed_or_done_on_purpose_is_noted(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", rows_of("ab" * 6, split=["train"] * 8 + ["val"] * 4))
    assert read(folder, mpp=None, assumed_mpp=1.0).notes == ("1.0 µm/px is assumed, the source states none",)
    assert "fill the encoder's, on purpose" in read(folder, mpp=None, scale="fill").notes[0]
    assert "enlarged 2.00 times" in read(folder, mpp=4.0).notes[0]


# Tiles, classes and groups of each set as counted from its tiles.csv with awk; two have no
# val there, for which whole groups, else tiles, make up about 15 % of train.
REAL = [
    ("lymph_node_metastasis", (2200, 400, 300), 2, 0, {"mpp": 0.97}),
    ("colorectal_diagnosis", (1900, 300, 500), 5, 0, {"scale": "fill"}),
    ("breast_mitosis", (4452, 936, 1812), 2, 201, {"mpp": 0.25, "scale": "fill"}),
    ("oral_carcinoma", (594, 106, 250), 2, 0, {"scale": "fill"}),
    ("prostate_gleason", (339, 107, 284), 3, 11, {"assumed_mpp": 0.5}),
]


@pytest.mark.parametrize(("name", "counts", "classes", "groups", "facts"), REAL)
def test_real_sets(
    name: str,
    counts: tuple[int, int, int],
    classes: int,
    groups: int,
    facts: dict[str, Any],
    data_dir: Path,
    tmp_path: Path,
) -> None:
    plan = TileSetSettings(name=name, path=data_dir / "patches" / name, **facts)
    found = read_tile_set(plan, tile_px=32, mpp=0.5, cache=tmp_path)
    assert tuple(len(found.rows(split)) for split in ("train", "val", "test")) == counts
    assert len(found.tasks[0].classes) == classes and len(set(found.group) - {""}) == groups
    assert not found.failures and not np.isnan(found.targets[name]).any()
    assert found.tiles.std() > 20 and found.tiles.shape == (sum(counts), 32, 32, 3)
    without_val = name in ("oral_carcinoma", "prostate_gleason")
    assert without_val == any("no validation split" in note for note in found.notes)
    turned = name in ("oral_carcinoma", "colorectal_diagnosis")  # found by comparing all pairs of tiles
    assert turned == any("turned or mirrored" in note for note in found.notes)
