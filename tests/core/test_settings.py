"""Settings are refused by name, and a call may change some of those that it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from histonic.core.errors import SettingsError
from histonic.core.settings import MaskSettings, Settings, TissueSettings, fields_of, make_settings, resolve


class Shared(Settings):
    seed: int = 0


class Own(Shared):
    tile_px: int
    mpp: float = 0.5


@pytest.mark.parametrize(
    ("values", "found", "todo"),
    [
        ({"tile_pz": 128}, "There is no setting 'tile_pz'.", "Did you mean 'tile_px'?"),
        ({"zzz": 1}, "There is no setting 'zzz'.", "Known settings: seed, tile_px, mpp."),
        ({}, "tile_px is nothing", "Correct the value of tile_px."),
        ({"tile_px": "wide"}, "tile_px is 'wide'", "Correct the value of tile_px."),
    ],
)
def test_what_cannot_be_used_is_named(values: dict[str, object], found: str, todo: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(Own, values, "a.yaml")
    assert caught.value.asked == "Read a.yaml."
    assert caught.value.found.startswith(found) and caught.value.todo == todo


def test_keywords_change_some_of_the_settings() -> None:
    settings = make_settings(Own, {"tile_px": 128, "mpp": 1})
    assert resolve(Own, settings, {"mpp": 2}) == Own(tile_px=128, mpp=2)
    assert resolve(Own, settings, {}) == settings
    assert resolve(Own, None, {"tile_px": 64}).model_fields_set == {"tile_px"}


def test_own_fields_come_before_shared_ones() -> None:
    assert list(fields_of(Own)) == ["tile_px", "mpp", "seed"]


@pytest.mark.parametrize(
    ("value", "word"),
    [(1 << 16609, "a number of 16610 bits"), ("9" * 5000, "999..."), ([1] * 200_000, "a list of 200,000")],
    ids=["number", "text", "list"],
)
def test_absurd_values_are_told_in_few_words(value: object, word: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(Own, {"tile_px": value})
    assert word in caught.value.found and len(caught.value.found) < 400


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "inf"])
def test_numbers_without_end_are_refused(value: object) -> None:
    with pytest.raises(SettingsError, match="finite"):
        make_settings(Own, {"tile_px": 1, "mpp": value})


class Places(Settings):
    out: Path
    slides: tuple[Path, ...] = ()
    name: str = ""


class Nested(Settings):
    files: dict[str, dict[str, Path]] = Field(default_factory=dict)
    lists: tuple[tuple[Path, ...], ...] = ()


@pytest.mark.parametrize("values", [{"out": ""}, {"out": "  "}, {"out": "a", "slides": ["b", ""]}])
def test_empty_paths_are_refused_and_never_mean_this_folder(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="names no file"):
        make_settings(Places, values)
    assert make_settings(Places, {"out": ".", "name": ""}).out == Path()


@pytest.mark.parametrize("url", ["https://me:KEY@h.org/a?KEY", "S3://b/a", Path("gs://b/a")])
def test_a_url_in_the_place_of_a_path_is_refused_and_shows_no_secret(url: str | Path) -> None:
    for values in ({"out": url}, {"out": "a", "slides": ["b", url]}):
        with pytest.raises(SettingsError, match="URL can be no file or folder here") as caught:
            make_settings(Places, values)
        assert "KEY" not in str(caught.value)
    for inner in ({"files": {"a": {"b": "c"}, "d": {"e": url}}}, {"lists": [["a"], ["b", url]]}):
        with pytest.raises(SettingsError, match="URL can be no file or folder here"):
            make_settings(Nested, inner)
    # A folder of such a name is not refused by its whole path, as the error says.
    whole = resolve(Places, make_settings(Places, {"out": "/mnt/nas:/x"}), {"name": "a"})
    assert "by its whole path" in str(caught.value) and whole.out == Path("/mnt/nas:/x")
    assert make_settings(Places, {"out": "C:/a", "slides": ["b/c:/d"], "name": "tcp://h:1"}).name


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "a\0b", "/".join(["x" * 200] * 25)])
def test_names_that_no_disk_takes_are_refused(name: str) -> None:
    for values in ({"out": name}, {"out": "a", "slides": [name]}):
        with pytest.raises(SettingsError, match="no file can have such a name"):
            make_settings(Places, values)


def test_a_choice_from_masks_is_written_in_one_way() -> None:
    found = make_settings(MaskSettings, {"values": ["10", 2, "3-5"], "classes": "Tumor, Stroma,Tumor"})
    assert found.values == ("2", "10", "3-5") and found.classes == ("Stroma", "Tumor")
    assert make_settings(MaskSettings, {"values": 1}) == make_settings(MaskSettings, {"values": "1"})


@pytest.mark.parametrize("values", ["tumour", "-1", "1.5", "6-1", "1,,2", "", "1-2-3", "99999999999", [True]])
def test_what_is_no_value_of_a_mask_is_refused(values: object) -> None:
    with pytest.raises(SettingsError, match="values"):
        make_settings(MaskSettings, {"values": values})


@pytest.mark.parametrize(("share", "usable"), [(0, True), (1, True), (-0.1, False), (1.1, False)])
def test_the_least_share_of_tissue_may_be_none(share: float, usable: bool) -> None:
    if usable:
        assert make_settings(TissueSettings, {"min_cell_share": share}).min_cell_share == share
    else:
        with pytest.raises(SettingsError, match="min_cell_share"):
            make_settings(TissueSettings, {"min_cell_share": share})


def test_a_decimal_comma_and_a_list_for_a_mapping_are_told_how_to_write() -> None:
    class Cut(Settings):
        mpp: float = 0.5
        classes: dict[str, str] = Field(default_factory=dict)

    with pytest.raises(SettingsError, match=r"(?s)mpp is '0,5'.*Correct the value of mpp: 0.5, with a point"):
        make_settings(Cut, {"mpp": "0,5"})
    with pytest.raises(SettingsError, match=r"Correct the value of classes: {NAME: VALUE}"):
        make_settings(Cut, {"classes": ["cll=CLL"]})
