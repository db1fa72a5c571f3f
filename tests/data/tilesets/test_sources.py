"""The forms of tile sets told apart, and folders as people arrange them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import TileSetError
from histonic.data.tilesets.listing import Listing, selected
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


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    """A set of links to a disk elsewhere, with one that leads back up."""
    touch(tmp_path / "disk", "tumour/1.png", "normal/a/2.png")
    (tmp_path / "set" / "normal").mkdir(parents=True)
    (tmp_path / "set" / "tumour").symlink_to(tmp_path / "disk" / "tumour", target_is_directory=True)
    (tmp_path / "set" / "normal" / "a").symlink_to(tmp_path / "disk" / "normal" / "a")
    (tmp_path / "disk" / "tumour" / "up").symlink_to(tmp_path / "set", target_is_directory=True)
    (tmp_path / "disk" / "tumour" / "here").symlink_to(tmp_path / "disk" / "tumour")
    found = list_tiles(plan_of(tmp_path / "set"))
    names = [Path(name).relative_to(tmp_path / "set").as_posix() for name in found.names]
    assert names == ["normal/a/2.png", "tumour/1.png"]
    (tmp_path / "whole").symlink_to(tmp_path / "set", target_is_directory=True)
    assert list_tiles(plan_of(tmp_path / "whole")).labels["label"].tolist() == ["normal", "tumour"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.png", "y/2.png")
    (tmp_path / "y" / "3.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(TileSetError, match=r"y/3\.png is a link that leads nowhere"):
        list_tiles(plan_of(tmp_path))


BREAKHIS = (
    "benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-007.png",
    "benign/SOB/adenosis/SOB_B_A_14-22549AB/400X/SOB_B_A-14-22549AB-400-001.png",
    "malignant/SOB/lobular_carcinoma/SOB_M_LC_14-13412/40X/SOB_M_LC-14-13412-40-010.png",
)


def test_magnifications_are_chosen_and_patients_told_by_patterns(tmp_path: Path) -> None:
    touch(tmp_path, *BREAKHIS)
    pattern = "-(?P<group>[0-9]{2}-[0-9]+[A-Z]*)-[0-9]+-[0-9]+[.]png$"
    found = list_tiles(plan_of(tmp_path, only="/40X/", group_pattern=pattern))
    assert found.group.tolist() == ["14-22549AB", "14-13412"] and len(found.names) == 2
    assert found.labels["label"].tolist() == ["benign", "malignant"]
    assert found.stamp != list_tiles(plan_of(tmp_path)).stamp
    with pytest.raises(TileSetError, match=r"'\^99' of 'only' fits none of 3 tiles, such as benign/SOB"):
        list_tiles(plan_of(tmp_path, only="^99"))
    with pytest.raises(TileSetError, match="does not fit benign/SOB"):
        list_tiles(plan_of(tmp_path, group_pattern="(SOB_M)"))


def test_a_selection_keeps_the_sides_of_its_tiles(tmp_path: Path) -> None:
    listing = Listing(
        ("a.png", "b.jpg", "c.png"),
        {"label": np.array(["x", "y", "x"])},
        np.array(["train"] * 3),
        np.array([""] * 3),
        np.array([""] * 3),
        np.zeros((3, 2)),
        lambda row: np.zeros((1, 1, 3), np.uint8),
        "stamp",
        (),
        np.array([32.0, 16.0, 64.0]),
    )
    assert selected(listing, tmp_path, "png", "Choose.").sides.tolist() == [32.0, 64.0]


def test_a_pattern_beside_groups_that_are_there_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "tiles.csv").write_text("path,label,group\na/1.png,x,P1\nb/2.png,y,P2\n", encoding="utf-8")
    with pytest.raises(TileSetError, match="Both 'group_pattern' and the set name groups"):
        list_tiles(plan_of(tmp_path, group_pattern="^(.)/"))
    found = list_tiles(plan_of(tmp_path, group_pattern="^(.)/", group="", only="^b/"))
    assert found.group.tolist() == ["b"] and found.table_rows == (3,)
