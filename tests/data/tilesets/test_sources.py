"""The forms of tile sets told apart, and folders as people arrange them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import TileSetError
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.sources import list_tiles


def plan_of(path: Path, **facts: Any) -> TileSetSettings:
    return TileSetSettings(name="s", path=path, **facts)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_splits_above_or_below_the_classes(tmp_path: Path) -> None:
    above = list_tiles(plan_of(touch(tmp_path / "a", "train/x/1.png", "Valid/y/2.JPG", "test/x/3.tif")))
    below = list_tiles(plan_of(touch(tmp_path / "b", "x/train/1.png", "y/Valid/2.JPG", "x/test/3.tif")))
    assert above.split.tolist() == ["val", "test", "train"] and above.labels["label"].tolist() == [
        "y",
        "x",
        "x",
    ]
    assert below.split.tolist() == ["test", "train", "val"] and below.labels["label"].tolist() == [
        "x",
        "x",
        "y",
    ]


def test_a_class_folder_may_have_folders_in_it(tmp_path: Path) -> None:
    found = list_tiles(plan_of(touch(tmp_path, "x/case1/1.png", "x/case2/1.png", "y/1.png")))
    assert found.labels["label"].tolist() == ["x", "x", "y"] and set(found.split) == {""}


def test_what_the_system_left_there_is_no_tile(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.png", "y/2.png", "x/._1.png", ".cache/3.png", "__MACOSX/x/4.png", "x/notes.txt")
    found = list_tiles(plan_of(tmp_path))
    assert [Path(name).name for name in found.names] == ["1.png", "2.png"]


def test_a_folder_of_images_serves_where_no_labels_are_wanted(tmp_path: Path) -> None:
    found = list_tiles(plan_of(touch(tmp_path, "1.png", "deep/er/2.png"), label=()))
    assert len(found.names) == 2 and found.labels == {}


def test_the_same_set_elsewhere_has_the_same_stamp(tmp_path: Path) -> None:
    touch(tmp_path / "a", "x/1.png", "y/2.png")
    before = list_tiles(plan_of(tmp_path / "a")).stamp
    (tmp_path / "a").rename(tmp_path / "b")
    assert list_tiles(plan_of(tmp_path / "b")).stamp == before


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"group": "patient"}, "column 'patient' is named, but it is a folder of images"),
        ({"split": "fold"}, "column 'fold' is named"),
        ({"label": ("a", "b")}, "2 label columns are named"),
    ],
)
def test_folders_have_no_columns(facts: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(TileSetError, match=message):
        list_tiles(plan_of(touch(tmp_path, "x/1.png"), **facts))  # type: ignore[arg-type]


def test_other_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TileSetError, match=r"It is a \.zip file"):
        list_tiles(plan_of(touch(tmp_path, "a.zip") / "a.zip"))
    with pytest.raises(TileSetError, match="holds no image"):
        list_tiles(plan_of(tmp_path))


@pytest.mark.parametrize("name", ["../elsewhere.png", "{absolute}", "a/../../elsewhere.png"])
def test_the_table_of_a_folder_names_nothing_elsewhere(name: str, tmp_path: Path) -> None:
    """Who gives the table itself says that its files may lie anywhere."""
    folder = touch(tmp_path / "set", "a/1.png")
    touch(tmp_path, "elsewhere.png")
    name = name.format(absolute=tmp_path / "elsewhere.png")
    (folder / "tiles.csv").write_text(f"path,label\na/1.png,x\n{name},y\n")
    with pytest.raises(TileSetError, match="lies outside of the folder"):
        list_tiles(plan_of(folder))
    assert len(list_tiles(plan_of(folder / "tiles.csv")).names) == 2
