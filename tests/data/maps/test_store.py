"""Maps survive the way to the disk and back; mixed and damaged stores are refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.damage import ABSENT, NO_DOCUMENTS, damage
from fixtures.stores import made_by
from histonic.core.compressed import (
    CompressedSlide,
    MapSettings,
    ReaderDescription,
    SlideDescription,
    orient,
)
from histonic.core.errors import OutputError, StoreError
from histonic.core.grid import TileGrid
from histonic.data.maps import store as store_module
from histonic.data.maps.store import (
    Failure,
    Store,
    read_map,
    read_map_facts,
    write_failure,
    write_map,
    writing_map,
)


def make_map(
    slide_id: str, rows: int = 5, cols: int = 7, code: int = 3, encoder: str = "e1", turned: bool = False
) -> CompressedSlide:
    rng = np.random.default_rng(sum(map(ord, slide_id)))
    mask = rng.random((rows, cols)) < 0.6
    mask[0, 0] = True
    grid = TileGrid.over((cols * 128, rows * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    codes = rng.normal(size=(8, code, rows, cols)).astype(np.float16) * mask
    return CompressedSlide(
        slide_id,
        codes[0],
        mask,
        grid,
        made_by(encoder, code),
        SlideDescription(file=f"{slide_id}.tif", fingerprint="f"),
        ReaderDescription(name="array", version="1"),
        MapSettings(orientations=8 if turned else 1),
        codes if turned else None,
    )


@pytest.mark.parametrize("shape", [(5, 7), (64, 64), (130, 70), (1, 200)])
@pytest.mark.parametrize("turned", [False, True])
def test_round_trip(tmp_path: Path, shape: tuple[int, int], turned: bool) -> None:
    slide = make_map("a", *shape, turned=turned)
    write_map(tmp_path / "a.zarr", slide)
    again = read_map(tmp_path / "a.zarr")
    assert np.array_equal(again.features[:], slide.features)
    assert np.array_equal(again.mask, slide.mask)
    assert again.grid == slide.grid and again.encoder == slide.encoder and again.settings == slide.settings
    if turned:
        for turn in range(8):
            codes, mask = again.oriented(turn)
            assert np.array_equal(codes, orient(slide.orientations[turn], turn))  # type: ignore[index]
            assert np.array_equal(mask, orient(slide.mask, turn))
    else:
        assert again.orientations is None


def test_a_map_in_many_puts_equals_one_put(tmp_path: Path) -> None:
    slide = make_map("a", 150, 90)
    write_map(tmp_path / "one.zarr", slide)
    cells = np.argwhere(slide.mask)
    codes = np.asarray(slide.features)[:, cells[:, 0], cells[:, 1]].T[:, None].astype(np.float32)
    facts = read_map_facts(tmp_path / "one.zarr")
    with writing_map(tmp_path / "many.zarr", slide.mask, 3) as writer:
        for start in range(0, len(cells), 37):
            writer.put(cells[start : start + 37], codes[start : start + 37])
        writer.finish(facts)
    one, many = tmp_path / "one.zarr", tmp_path / "many.zarr"
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(many)) for path in many.rglob("*") if path.is_file())
    assert all((one / name).read_bytes() == (many / name).read_bytes() for name in names)


def test_features_are_zarr_v3_float16(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    described = json.loads((tmp_path / "a.zarr" / "features" / "zarr.json").read_text())
    assert described["zarr_format"] == 3 and described["data_type"] == "float16"


def test_store_lists_maps_failures_and_thumbnails(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_map(tmp_path / f"{name}.zarr", make_map(name))
    write_failure(tmp_path, "c", "slides/c.tif", "open", "damaged")
    (tmp_path / "thumbnails").mkdir()
    (tmp_path / "thumbnails" / "a.jpg").write_bytes(b"x")
    (tmp_path / ".partial-d.zarr").mkdir()
    store = Store.open(tmp_path)
    assert store.slide_ids == ["a", "b"]
    assert store.encoder.fingerprint == "e1"
    assert store.failures() == [Failure("c", "slides/c.tif", "open", "damaged")]
    assert store.thumbnail("a") is not None and store.thumbnail("b") is None
    with pytest.raises(StoreError, match="none of that name"):
        store.map("zzz")


def test_mixed_encoders_are_refused_by_name(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    write_map(tmp_path / "b.zarr", make_map("b", encoder="e2"))
    with pytest.raises(StoreError, match=r"'a'.*'b'"):
        Store.open(tmp_path)


def test_mixed_settings_are_refused(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    write_map(tmp_path / "b.zarr", dataclasses.replace(make_map("b"), settings=MapSettings(precision="bf16")))
    with pytest.raises(StoreError, match="mixed"):
        Store.open(tmp_path)


def test_an_absent_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        Store.open(tmp_path / "none")


FORMATS = [
    ("format", "histonic-map-0", "older than"),
    ("format", "histonic-map-2", "newer than"),
    ("format", "histonic-bundle-1", "no file of the format"),
    ("format", ABSENT, "its format is None"),
]
FIELDS = [
    ("slide_id", 3, "slide_id is 3"),
    ("grid", ABSENT, "grid is absent"),
    ("grid.mpp", "0.5", r"grid\.mpp is '0.5'"),
    ("grid.mpp", -1, "mpp is -1"),
    ("grid.shape", [3], r"grid\.shape\.1 is absent"),
    ("grid.slide_wh", [0, 5], "slide_wh is"),
    ("grid.colour", "red", r"grid\.colour is 'red'"),
    ("encoder.name", ABSENT, r"encoder\.name is absent"),
    ("encoder.fingerprint", None, r"encoder\.fingerprint is None"),
    ("encoder.spec", {}, r"encoder\.spec\.name is absent"),
    ("encoder.spec.tile_px", 0, r"encoder\.spec\.tile_px is 0"),
    ("slide", [], r"slide is \[\]"),
    ("slide.fingerprint", 5, r"slide\.fingerprint is 5"),
    ("reader", "tiff", "reader is 'tiff'"),
    ("appearance", {"rgb": [1, 2], "cover": "", "texture": ""}, r"appearance\.rgb"),
    ("settings.orientations", 4, r"settings\.orientations is 4"),
    ("settings.tissue", {"mpp": 0}, r"settings\.tissue\.mpp is 0"),
    ("versions", ABSENT, "versions is absent"),
    ("taste", 1, "taste is 1"),
]


@pytest.mark.parametrize(("place", "value", "words"), FORMATS + FIELDS)
def test_damaged_attributes_are_refused_by_their_field(
    place: str, value: Any, words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a"))
    damage(folder / "zarr.json", f"attributes.{place}", value)
    for read in (Store.open, lambda store: read_map(store / "a.zarr")):
        with pytest.raises(StoreError, match=words) as error:
            read(tmp_path)
        assert str(folder / "zarr.json") in error.value.asked


@pytest.mark.parametrize("content", NO_DOCUMENTS)
@pytest.mark.parametrize("name", ["zarr.json", "features/zarr.json", "mask/zarr.json", "mask/c/0/0"])
def test_what_is_no_map_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a"))
    (folder / name).write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.zarr"):
        read_map(folder)


@pytest.mark.parametrize("content", NO_DOCUMENTS)
def test_damaged_codes_are_refused_when_they_are_read(content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a"))
    (folder / "features/c/0/0/0").write_bytes(content)
    slide = read_map(folder)
    with pytest.raises(StoreError, match=r"a\.zarr.*\n.*codes cannot be read"):
        slide.features[:]


@pytest.mark.parametrize("name", ["zarr.json", "features", "mask"])
def test_parts_of_a_map_that_are_gone_are_named(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a"))
    (folder / name).rename(tmp_path / "gone")
    with pytest.raises(StoreError, match=r"a\.zarr.*(\n.*)*Delete it"):
        read_map(folder)


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a", turned=True))
    write_map(tmp_path / "b.zarr", make_map("b", 4, 4, turned=True))
    for name in ("features", "mask", "orientations"):
        shutil.copytree(tmp_path / "a.zarr", tmp_path / "c.zarr", dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "c.zarr" / name)
        shutil.copytree(tmp_path / "b.zarr" / name, tmp_path / "c.zarr" / name)
        with pytest.raises(StoreError, match="differ"):
            read_map(tmp_path / "c.zarr")


@pytest.mark.parametrize("content", [*NO_DOCUMENTS, b"{}", b'{"slide_id": "c", "path": "p", "stage": 3}'])
def test_damaged_failures_are_refused(content: bytes, tmp_path: Path) -> None:
    write_failure(tmp_path, "c", "slides/c.tif", "open", "damaged")
    (tmp_path / "failures" / "c.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"failures/c\.json"):
        Store.open(tmp_path).failures()


def test_a_store_without_maps_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no map"):
        _ = Store.open(tmp_path).encoder


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.MapWriter, "finish", full)
    with pytest.raises(OutputError, match="No space left"):
        write_map(tmp_path / "a.zarr", make_map("a"))
    assert list(tmp_path.iterdir()) == []
