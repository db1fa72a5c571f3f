"""Maps survive the way to the disk and back; mixed and damaged stores are refused."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from fixtures.damage import ABSENT, NO_DOCUMENTS, damage
from fixtures.stores import make_map
from histonic.core.compressed import MapSettings
from histonic.core.errors import StoreError
from histonic.data.maps.failures import Failure, write_failure
from histonic.data.maps.store import Store, read_map
from histonic.data.maps.writer import write_map


def test_store_lists_maps_failures_and_thumbnails(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_map(tmp_path / f"{name}.zarr", make_map(name))
    write_failure(tmp_path, Failure("c", "slides/c.tif", "open", "damaged"))
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
    ("format", "histonic-map-1", "older than"),
    ("format", "histonic-map-3", "newer than"),
    ("format", "histonic-bundle-1", "no file of the format"),
    ("format", ABSENT, "its format is None"),
]
FIELDS = [
    ("slide_id", 3, "slide_id is 3"),
    ("grid", ABSENT, "grid is absent"),
    ("grid.mpp", "0.5", r"grid\.mpp is '0.5'"),
    ("grid.mpp", -1, "mpp is -1"),
    ("grid.shape", [3], r"grid\.shape\.(1 is absent|cols is )"),
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


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(bytes(content))


def test_a_flipped_bit_inside_a_chunk_is_refused_when_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a"))
    flip(folder / "features/c/0/0/0", 30)
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


def test_a_chunk_that_is_gone_is_refused_and_never_read_as_zeros(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a", 70, 70))
    (folder / "features/c/0/1/0").unlink()
    with pytest.raises(StoreError, match="absent"):
        read_map(folder)


def test_chunks_in_each_others_place_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a", 130, 130))
    one, two = folder / "features/c/0/0/0", folder / "features/c/0/1/1"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    with pytest.raises(StoreError, match="exchanged"):
        read_map(folder)


@pytest.mark.parametrize("name", ["features", "mask", "orientations"])
def test_arrays_of_another_map_are_refused(name: str, tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a", turned=True))
    write_map(tmp_path / "b.zarr", make_map("b", turned=True))
    shutil.rmtree(tmp_path / "a.zarr" / name)
    shutil.copytree(tmp_path / "b.zarr" / name, tmp_path / "a.zarr" / name)
    with pytest.raises(StoreError, match="exchanged"):
        read_map(tmp_path / "a.zarr")


def test_facts_that_were_changed_but_look_well_are_refused(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    damage(tmp_path / "a.zarr" / "zarr.json", "attributes.grid.mpp", 0.25)
    with pytest.raises(StoreError, match="hash differs"):
        read_map(tmp_path / "a.zarr")


def test_a_map_under_the_name_of_another_slide_is_refused(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
    with pytest.raises(StoreError, match="'b' is that of the slide 'a'"):
        Store.open(tmp_path)


def test_what_a_file_manager_leaves_in_a_map_does_no_harm(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    for name in (".DS_Store", "features/.DS_Store", "features/c/.DS_Store", "Thumbs.db"):
        (tmp_path / "a.zarr" / name).write_bytes(b"x")
    assert read_map(tmp_path / "a.zarr").slide_id == "a"


def test_a_failure_of_a_slide_whose_name_is_too_long_is_recorded(tmp_path: Path) -> None:
    failure = Failure("x" * 300, "x.tif", "open", "too long")
    write_failure(tmp_path, failure)
    assert Store.open(tmp_path).failures() == [failure]


@pytest.mark.parametrize("content", [*NO_DOCUMENTS, b"{}", b'{"slide_id": "c", "path": "p", "stage": 3}'])
def test_damaged_failures_are_refused(content: bytes, tmp_path: Path) -> None:
    write_failure(tmp_path, Failure("c", "slides/c.tif", "open", "damaged"))
    (tmp_path / "failures" / "c.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"failures/c\.json"):
        Store.open(tmp_path).failures()


def test_a_store_without_maps_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no map"):
        _ = Store.open(tmp_path).encoder


def test_a_store_is_asked_like_a_collection(tmp_path: Path) -> None:
    for name in ("TCGA-B", "TCGA-A"):
        write_map(tmp_path / f"{name}.zarr", make_map(name))
    store = Store.open(tmp_path)
    assert len(store) == 2
    assert "TCGA-A" in store and "TCGA-C" not in store
    assert [slide.slide_id for slide in store] == ["TCGA-A", "TCGA-B"]
    assert (store["TCGA-B"].features[:] == make_map("TCGA-B").features).all()
    with pytest.raises(StoreError, match="Did you mean 'TCGA-A'"):
        store["TCGA-A.svs"]
    with pytest.raises(StoreError, match="Check the slide_id") as caught:
        store["x"]
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(StoreError, match="none of that name"):
        store[0]  # type: ignore[index]


def test_a_store_without_maps_is_no_missing_store(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert store and not len(store) and list(store) == []
    assert repr(store) == f"Store {tmp_path} (maps: 0)"


def test_a_run_is_no_store_without_maps(tmp_path: Path) -> None:
    for name in ("run.json", "cohort.json", "settings.yaml"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(StoreError, match=r"It is a run\.\s+to do: Give the store that it was trained on"):
        Store.open(tmp_path)


def test_a_store_shows_what_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "<b>ward"
    folder.mkdir()
    slides = [make_map(name) for name in "ab"]
    for slide in slides:
        write_map(folder / f"{slide.slide_id}.zarr", slide)
    store = Store.open(folder)
    kept = sum(int(slide.mask.sum()) for slide in slides)
    assert f"maps: 2, cells with tissue: {kept} of 70 ({100 * kept / 70:.1f} %)" in repr(store)
    spec = slides[0].encoder.spec
    assert f"3 numbers a cell, tiles: {spec.tile_px} px at {spec.mpp:g} mpp" in repr(store)
    assert store._ipython_key_completions_() == ["a", "b"]
    shown = store._repr_html_()
    assert "&lt;b&gt;ward" in shown and "<b>" not in shown
