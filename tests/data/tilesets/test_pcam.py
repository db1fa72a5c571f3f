"""PatchCamelyon's files: pairs, slides, places, and what can be wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import TileSetError
from histonic.data.tilesets import pcam as tileset_pcam
from histonic.data.tilesets.listing import Listing
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.sources import list_tiles

STEM = "camelyonpatch_level_2_split_{}"


def write(folder: Path, counts: dict[str, int], meta: bool = True) -> np.ndarray:
    """The files of the splits; returns all tiles."""
    rng = np.random.default_rng(0)
    tiles = []
    for part, count in counts.items():
        stem = folder / STEM.format(part)
        own = rng.integers(0, 255, (count, 96, 96, 3)).astype(np.uint8)
        with h5py.File(f"{stem}_x.h5", "w") as file:
            file.create_dataset("x", data=own, chunks=(min(count, 4), 96, 96, 3), compression="gzip")
        with h5py.File(f"{stem}_y.h5", "w") as file:
            file["y"] = (np.arange(count) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
        if meta:
            facts = {"coord_y": np.arange(count), "coord_x": 7, "wsi": f"camelyon16_{part}_001"}
            pd.DataFrame(facts).to_csv(f"{stem}_meta.csv")
        tiles.append(own)
    return np.concatenate(tiles)


def listed(path: Path, **facts: Any) -> Listing:
    return list_tiles(TileSetSettings(name="pcam", path=path, **facts))


def test_the_pairs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tileset_pcam, "BLOCK", 4)
    tiles = write(tmp_path, {"train": 10, "valid": 3, "test": 5})
    found = listed(tmp_path)
    assert found.split.tolist() == ["train"] * 10 + ["val"] * 3 + ["test"] * 5
    assert found.labels["label"][8:13].tolist() == ["normal", "tumor", "normal", "tumor", "normal"]
    assert found.group[9:11].tolist() == ["camelyon16_train_001", "camelyon16_valid_001"]
    assert found.places[[9, 10]].tolist() == [[7, 9], [7, 0]]
    for row in (17, 0, 10, 3, 4, 9):
        assert np.array_equal(found.read(row), tiles[row])
    assert found.names[10].endswith("split_valid_x.h5[0]")
    assert listed(tmp_path / (STEM.format("test") + "_x.h5")).names == found.names


def test_without_slides_and_without_groups(tmp_path: Path) -> None:
    write(tmp_path, {"train": 4}, meta=False)
    assert set(listed(tmp_path).group) == {""}
    with pytest.raises(TileSetError, match=r"_meta\.csv is missing, which holds the column 'patient'"):
        listed(tmp_path, group="patient")
    write(tmp_path, {"train": 4})
    assert set(listed(tmp_path, group="").group) == {""} and "" not in set(listed(tmp_path, group="").slide)
    with pytest.raises(TileSetError, match=r"no column 'patient'; its columns are coord_y"):
        listed(tmp_path, group="patient")


def test_packed_files_are_refused_unless_unpacked_beside(tmp_path: Path) -> None:
    write(tmp_path, {"train": 4})
    packed = tmp_path / (STEM.format("train") + "_x.h5.gz")
    packed.write_bytes(b"")
    assert len(listed(tmp_path).names) == 4
    packed.rename(tmp_path / (STEM.format("test") + "_x.h5.gz"))
    with pytest.raises(TileSetError, match=r"split_test_x\.h5\.gz is packed"):
        listed(tmp_path)


def test_packed_files_are_unpacked_into_the_cache_once(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    tiles = write(folder, {"train": 10, "test": 5})
    for file in list(folder.glob("*.h5")):
        with gzip.open(f"{file}.gz", "wb") as packed:
            packed.write(file.read_bytes())
        file.unlink()
    plan = TileSetSettings(name="pcam", path=folder)
    found = list_tiles(plan, tmp_path / "cache")
    assert found.group[[0, 14]].tolist() == ["camelyon16_train_001", "camelyon16_test_001"]
    assert np.array_equal(found.read(12), tiles[12]) and not list(folder.glob("*.h5"))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.h5")}
    assert len(written) == 4 and list_tiles(plan, tmp_path / "cache").stamp == found.stamp
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.h5")}
    # A file that broke off leaves nothing that would be taken for whole.
    broken = folder / (STEM.format("train") + "_x.h5.gz")
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(TileSetError, match=r"train_x\.h5\.gz cannot be unpacked"):
        list_tiles(plan, tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.h5"))) == 4


def test_damage_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"train": 4, "test": 4})
    truth = tmp_path / (STEM.format("test") + "_y.h5")
    images = tmp_path / (STEM.format("train") + "_x.h5")
    for answers, message in (
        ([0, 1, 1], r"_x\.h5 has 4 tiles, .*_y\.h5 3 labels"),
        ([0, 1, 2, 1], r"_test_y\.h5 has the label 2"),
        ([0, 1, 0.5, 1], r"_test_y\.h5 cannot be read: .*no whole number"),
        (["a", "b", "c", "d"], r"_test_y\.h5 cannot be read"),
    ):
        with h5py.File(truth, "w") as file:
            file["y"] = answers
        with pytest.raises(TileSetError, match=message):
            listed(tmp_path)
    truth.unlink()
    with pytest.raises(TileSetError, match=r"_test_y\.h5 is missing"):
        listed(tmp_path)
    with h5py.File(images, "w") as file:
        file["x"] = np.zeros((4, 96, 96), np.float32)
    with pytest.raises(TileSetError, match=r"'x' of .*_train_x\.h5 is float32 of shape \(4, 96, 96\)"):
        listed(tmp_path)
    with h5py.File(images, "w") as file:
        file.create_group("x")
    with pytest.raises(TileSetError, match=r"_train_x\.h5 cannot be read"):
        listed(tmp_path)
    with h5py.File(images, "w") as file:
        file["tiles"] = 0
    with pytest.raises(TileSetError, match=r"_train_x\.h5 has no data set 'x'"):
        listed(tmp_path)
    images.write_bytes(b"damaged")
    with pytest.raises(TileSetError, match=r"_train_x\.h5 cannot be read"):
        listed(tmp_path)
