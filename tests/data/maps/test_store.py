"""Maps survive the way to the disk and back; mixed and damaged stores are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from histonic.core.compressed import CompressedSlide, orient
from histonic.core.errors import OutputError, StoreError
from histonic.core.grid import TileGrid
from histonic.data.maps import store as store_module
from histonic.data.maps.store import Store, read_map, write_failure, write_map, writing_map


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
        {"name": "test", "fingerprint": encoder, "spec": {}},
        {"file": f"{slide_id}.tif", "fingerprint": "f"},
        {"name": "array", "version": "1"},
        {"orientations": 8 if turned else 1},
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
    facts = json.loads((tmp_path / "one.zarr" / "zarr.json").read_text())["attributes"]
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
    assert store.encoder["fingerprint"] == "e1"
    assert store.failures() == [
        {"slide_id": "c", "path": "slides/c.tif", "stage": "open", "reason": "damaged"}
    ]
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
    write_map(tmp_path / "b.zarr", dataclasses.replace(make_map("b"), settings={"orientations": 8}))
    with pytest.raises(StoreError, match="mixed"):
        Store.open(tmp_path)


def test_an_absent_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        Store.open(tmp_path / "none")


@pytest.mark.parametrize("damage", ["absent", "text", "format", "lacks", "features", "shape"])
def test_damaged_maps_are_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a"))
    described = folder / "zarr.json"
    content = json.loads(described.read_text())
    if damage == "absent":
        described.unlink()
    elif damage == "text":
        described.write_text("{")
    elif damage == "format":
        content["attributes"]["format"] = "other"
        described.write_text(json.dumps(content))
    elif damage == "lacks":
        del content["attributes"]["grid"]
        described.write_text(json.dumps(content))
    elif damage == "features":
        (folder / "features" / "zarr.json").unlink()
    else:
        content["attributes"]["grid"]["shape"] = [3, 3]
        described.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="Delete it"):
        read_map(folder)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.MapWriter, "finish", full)
    with pytest.raises(OutputError, match="No space left"):
        write_map(tmp_path / "a.zarr", make_map("a"))
    assert list(tmp_path.iterdir()) == []
