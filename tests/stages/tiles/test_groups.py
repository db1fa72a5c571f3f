"""Patients of slides and their split."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import HistonicError, SettingsError
from histonic.data.tables.slide_lists import read_slide_list
from histonic.stages.tiles.groups import slide_groups, split_groups
from histonic.stages.tiles.settings import ExtractSettings


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("p1-a.tif", "p1-b.tif", "p2.tif"):
        (tmp_path / name).write_bytes(b"")
    text = "path,slide_id,case\np1-a.tif,,1\np1-b.tif,second,1\np2.tif,,2\n"
    (tmp_path / "slides.csv").write_text(text, encoding="utf-8")
    return tmp_path / "slides.csv"


def groups(table: Path, **values: str) -> dict[str, str]:
    settings = ExtractSettings(out=Path("set"), slides=(table,), **values)
    return slide_groups(read_slide_list(settings.slides), settings)


def test_each_slide_is_its_own_group_by_default(table: Path) -> None:
    assert groups(table) == {"p1-a": "p1-a", "p2": "p2", "second": "second"}


def test_groups_by_column(table: Path) -> None:
    assert groups(table, group_column="case") == {"p1-a": "1", "second": "1", "p2": "2"}


def test_groups_by_pattern(table: Path) -> None:
    assert groups(table, group_pattern="^(p[0-9]|second)") == {"p1-a": "p1", "second": "second", "p2": "p2"}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"group_column": "patient"}, "only path, slide_id, case"),
        ({"group_pattern": "^p[0-9]"}, "no group in brackets"),
        ({"group_pattern": "^(p[0-9]"}, "no regular expression"),
        ({"group_pattern": "^(p[0-9])"}, "does not fit the slide 'second'"),
        ({"group_pattern": "(p)", "group_column": "case"}, "Both"),
    ],
)
def test_groups_that_cannot_be_had(table: Path, values: dict[str, str], found: str) -> None:
    with pytest.raises(HistonicError) as caught:
        groups(table, **values)
    assert found in str(caught.value)


def test_an_empty_cell_and_no_table(table: Path) -> None:
    table.write_text("path,case\np1-a.tif,1\np2.tif,\n", encoding="utf-8")
    with pytest.raises(HistonicError, match="'p2' has no entry"):
        groups(table, group_column="case")
    with pytest.raises(HistonicError, match="There is no slide table"):
        groups(table.parent / "p2.tif", group_column="case")


def test_shares_of_groups() -> None:
    names = [f"p{number}" for number in range(20)]
    split = split_groups(names, val_share=0.2, test_share=0.25, seed=3)
    assert {part: list(split.values()).count(part) for part in ("train", "val", "test")} == {
        "train": 11,
        "val": 4,
        "test": 5,
    }
    assert split == split_groups(names[::-1], val_share=0.2, test_share=0.25, seed=3)
    assert split != split_groups(names, val_share=0.2, test_share=0.25, seed=4)
    assert set(split_groups(names, val_share=0, test_share=0, seed=3).values()) == {"train"}
    assert list(split_groups(names, val_share=0.01, test_share=0, seed=0).values()).count("val") == 1


def test_too_few_groups() -> None:
    with pytest.raises(SettingsError, match="Split 2 group"):
        split_groups(["a", "b"], val_share=0.2, test_share=0.2, seed=0)
