"""NCT-CRC-HE: the 7K set tests, doubled and unknown classes are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from fixtures.challenges import Bare, planned, surveyed, words
from histonic.stages.study.recipe import recipe


def test_the_sets_are_the_splits(bare: Bare, tmp_path: Path) -> None:
    folder = bare("nct-crc")
    found, place, steps = planned("nct-crc", folder, tmp_path / "out")
    assert not found.errors and "group_source is none" in words(found)
    table = pd.read_csv(place.table("tiles"), dtype=str)
    assert table.groupby("split").size().to_dict() == {"test": 36, "train": 72}
    assert table[table["split"] == "test"]["path"].str.contains("CRC-VAL-HE-7K").all()
    assert set(table["label"]) == {"ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"}
    assert steps[0].settings["sets"][0]["group"] == ""


def test_what_is_wrong_is_named(bare: Bare) -> None:
    folder = bare("nct-crc")
    first = sorted((folder / "NCT-CRC-HE-100K" / "ADI").iterdir())[0]
    shutil.copy(first, folder / "NCT-CRC-HE-100K" / "TUM" / first.name)
    assert f"doubled: tiles of NCT-CRC-HE-100K: {first.stem}" in words(surveyed("nct-crc", folder))
    shutil.move(folder / "CRC-VAL-HE-7K" / "LYM", folder / "CRC-VAL-HE-7K" / "Lymph")
    shown = words(surveyed("nct-crc", folder))
    assert "folders of no class: CRC-VAL-HE-7K/Lymph" in shown
    assert "missing: classes LYM of CRC-VAL-HE-7K" in shown
    shutil.rmtree(folder / "CRC-VAL-HE-7K")
    assert "missing: CRC-VAL-HE-7K" in words(surveyed("nct-crc", folder))


def test_tiles_of_both_sets_and_in_folders_of_other_classes_are_named(bare: Bare) -> None:
    folder = bare("nct-crc")
    tile = min((folder / "NCT-CRC-HE-100K" / "ADI").iterdir())
    copy = folder / "CRC-VAL-HE-7K" / "ADI" / tile.name
    copy.write_bytes(tile.read_bytes())
    assert f"in the set that is learned: {tile.stem}." in surveyed("nct-crc", folder).errors[0].what
    copy.unlink()
    tile.rename(tile.parent.parent / "TUM" / tile.name)
    (error,) = surveyed("nct-crc", folder).errors
    assert error.what == f"tiles in the folder of another class: NCT-CRC-HE-100K/TUM/{tile.name}."


def test_tiles_that_are_left_out_are_not_in_the_set(bare: Bare, tmp_path: Path) -> None:
    folder, out = bare("nct-crc"), tmp_path / "out"
    tile = next((folder / "CRC-VAL-HE-7K").rglob("*.tif"))
    tile.unlink()
    tile.symlink_to("nowhere.tif")
    recipe(name="nct-crc", data=folder, out=out, allow_missing=True)
    assert tile.name not in (out / "tables" / "tiles.csv").read_text()
