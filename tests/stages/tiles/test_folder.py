"""The folder of an extracted set: names of folders, records, what decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.damage import ABSENT, damage
from histonic.core.errors import SettingsError
from histonic.core.units import XY
from histonic.stages.tiles.choice import Cut
from histonic.stages.tiles.folder import SlideRecord, TileFolder, deciding, folder_of, require_own_folders
from histonic.stages.tiles.settings import ExtractSettings


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("Tumor", "Tumor"),
        ("a/b\\c", "a_b_c"),
        ("..", "_"),
        (".hidden", "hidden"),
        ("Grad 3+", "Grad_3+"),
        ("ä", "ä"),
    ],
)
def test_folders_of_labels(label: str, folder: str) -> None:
    assert folder_of(label) == folder


def test_two_labels_never_share_a_folder() -> None:
    require_own_folders(["a", "b", "a"])
    with pytest.raises(SettingsError, match="that of 'A B'"):
        require_own_folders(["a_b", "A B"])


def test_a_record_names_its_tiles_and_forgetting_removes_them(tmp_path: Path) -> None:
    folder = TileFolder(tmp_path)
    rows = folder.rows_of([Cut("a", XY(10.0, 20.5), 0.8), Cut("b", XY(3.0, 4.0))], "s1")
    assert rows[0] == {"path": "a/s1_10_20.png", "label": "a", "x": 10, "y": 20.5, "share": 0.8}
    record = SlideRecord("s1", "p1", {"slide": "x"}, 0.5, False, rows)
    folder.keep(record)
    folder.write_tile(rows[0]["path"], np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "a" / "mine.png").write_bytes(b"")
    assert folder.read_record("s1") == record and folder.read_records() == []
    record.done = True
    folder.keep(record)
    assert folder.read_records() == [record]
    folder.forget("s1")
    assert folder.read_record("s1") is None
    assert [file.name for file in tmp_path.rglob("*.png")] == ["mine.png"]
    folder.forget("s1")


def test_what_decides_is_not_where_files_are() -> None:
    base = ExtractSettings(out=Path("a"), annotations=Path("x"))
    moved = ExtractSettings(out=Path("b"), annotations=Path("y"), slides=(Path("c"),), val_share=0.2)
    assert deciding(base) == deciding(moved)
    assert deciding(base) != deciding(ExtractSettings(out=Path("a")))
    assert deciding(base) != deciding(ExtractSettings(out=Path("a"), annotations=Path("x"), seed=1))


@pytest.mark.parametrize("path", ["../outside.png", "{absolute}", "a/../../outside.png", ""])
def test_no_tile_of_a_record_lies_outside(path: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    folder = TileFolder(tmp_path / "set")
    rows = folder.rows_of([Cut("a", XY(10.0, 20.5), 0.8)], "s1")
    rows[0]["path"] = path.format(absolute=outside)
    folder.keep(SlideRecord("s1", "p1", {}, 0.5, True, rows))
    for use in (folder.read_records, lambda: folder.forget("s1")):
        with pytest.raises(SettingsError, match="outside of the set"):
            use()
    assert outside.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("tiles.0.label", ABSENT, r"tiles\.0\.label is absent"),
        ("tiles.0.label", {"a": 1}, r"tiles\.0\.label is"),
        ("tiles.0.x", "3", r"tiles\.0\.x is '3'"),
        ("slide_id", "s2", "has changed since it was written"),
        ("tiles.0.x", 11, "has changed since it was written"),
        ("made_of.slide", "y", "has changed since it was written"),
    ],
)
def test_damaged_records_are_refused(place: str, value: Any, words: str, tmp_path: Path) -> None:
    folder = TileFolder(tmp_path)
    rows = folder.rows_of([Cut("a", XY(10.0, 20.5))], "s1")
    folder.keep(SlideRecord("s1", "p1", {"slide": "x"}, 0.5, True, rows))
    damage(tmp_path / ".slides" / "slide-s1.json", place, value)
    with pytest.raises(SettingsError, match=words):
        folder.read_records()


def test_records_of_another_slide_and_of_earlier_versions(tmp_path: Path) -> None:
    folder = TileFolder(tmp_path)
    folder.keep(SlideRecord("s1", "p1", {"slide": "x"}, 0.5, True, []))
    file = tmp_path / ".slides" / "slide-s1.json"
    damage(file, "sha256", ABSENT)
    assert folder.read_records() == [SlideRecord("s1", "p1", {"slide": "x"}, 0.5, True, [])]
    file.rename(file.with_name("slide-s2.json"))
    with pytest.raises(SettingsError, match="record of the slide 's1'"):
        folder.read_records()
