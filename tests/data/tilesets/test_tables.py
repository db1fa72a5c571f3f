"""Tables of tiles as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import TileSetError
from histonic.data.tilesets.listing import Listing
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.sources import list_tiles


def listed(folder: Path, text: str, name: str = "tiles.csv", **facts: Any) -> Listing:
    (folder / name).write_bytes(text.encode("utf-8"))
    return list_tiles(TileSetSettings(name="set", path=folder / name, **facts))


def test_columns_are_read_by_name(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        "tile,class,fold,patient,slide,x,y\na.png,n,Training,p1,s1,0,128\nsub/b.png,,TEST,NA,s2,,5\n",
        label=("class",),
        split="fold",
        group="patient",
        path_column="tile",
    )
    assert found.names == (str(tmp_path / "a.png"), str(tmp_path / "sub" / "b.png"))
    assert found.labels["class"].tolist() == ["n", ""] and found.split.tolist() == ["train", "test"]
    assert found.group.tolist() == ["p1", ""] and found.slide.tolist() == ["s1", "s2"]
    assert np.array_equal(found.places, np.array([[0, 128], [np.nan, 5]]), equal_nan=True)
    assert found.where(1).endswith("b.png (row 3)")


def test_spreadsheets_of_other_countries(tmp_path: Path) -> None:
    found = listed(tmp_path, "\ufeffpath;label;x;y\na.png;1,5;2,5;0\nb.png;n/a;1;1\n")
    assert found.labels["label"].tolist() == ["1.5", ""] and found.places[0].tolist() == [2.5, 0]


def test_a_declared_class_is_not_a_missing_value(tmp_path: Path) -> None:
    table = "path,label\na.png,unknown\nb.png,known\n"
    assert listed(tmp_path, table).labels["label"].tolist() == ["", "known"]
    kept = listed(tmp_path, table, classes=("known", "unknown"))
    assert kept.labels["label"].tolist() == ["unknown", "known"]


@pytest.mark.parametrize(
    ("table", "facts", "message"),
    [
        ("path,label\na.png,x\na.png,y\n", {}, "a.png stands in the rows 2 and 3"),
        ("path,label\n,x\n", {}, "Row 2 has no path"),
        ("path,label,split\na.png,x,trian\n", {}, "split of row 2 is 'trian'"),
        ("path,label\na.png,x\n", {"split": "fold"}, "no column 'fold'"),
        ("path,label\na.png,x\n", {"group": "patient"}, "no column 'patient'"),
        ("file,label\na.png,x\n", {}, "no column 'path'; its columns are file, label"),
        ("path,label\n", {}, "no rows"),
        ("path,label,label\na,b,c\n", {}, "'label' occurs 2 times"),
    ],
)
def test_tables_that_cannot_be_used(table: str, facts: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(TileSetError, match=message) as error:
        listed(tmp_path, table, **facts)
    assert "'set'" in str(error.value) and "tiles.csv" in str(error.value)


def test_the_stamp_follows_the_files_and_not_the_labels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    first = listed(tmp_path, "path,label\na.png,x\n").stamp
    assert listed(tmp_path, "path,label\na.png,y\n").stamp == first
    (tmp_path / "a.png").write_bytes(b"other")
    assert listed(tmp_path, "path,label\na.png,y\n").stamp != first
