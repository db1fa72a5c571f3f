"""A store is opened wherever it lies, and its maps are fetched once, when they are asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from fixtures.ranges import serving
from fixtures.stores import fake_slide
from histonic.core.errors import StoreError
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url
from histonic.data.maps.remote.opening import fetch_maps, have_copy, open_store
from histonic.data.maps.remote.published import publish_map
from histonic.data.maps.store import Store, read_map
from histonic.data.maps.writer import write_map

pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "home"))


@pytest.fixture
def local(tmp_path: Path) -> Path:
    for number, name in enumerate(("a", "b 1")):
        codes = np.random.default_rng(number).normal(size=(3, 4, 4)).astype(np.float16)
        write_map(tmp_path / "local" / f"{name}.zarr", fake_slide(name, codes, np.ones((4, 4), bool)))
    return tmp_path / "local"


@pytest.fixture
def url(local: Path) -> str:
    place = f"memory://{uuid4().hex}/store"
    for folder in sorted(local.glob("*.zarr")):
        publish_map(Objects(Url(place)), folder, b"picture")
    return place


def same(one: Store, two: Store) -> bool:
    return one.slide_ids == two.slide_ids and all(
        np.array_equal(one[name].features[:], two[name].features[:]) for name in one.slide_ids
    )


def test_a_remote_store_gives_what_a_folder_gives(local: Path, url: str) -> None:
    found = open_store(url)
    assert same(found, open_store(local)) and (found.settings, found.encoder) == (
        Store.open(local).settings, Store.open(local).encoder,
    )  # fmt: skip
    assert found.kept_cells == 32 and "2" in repr(found)
    picture = found.thumbnail("a")
    assert picture is not None and picture.read_bytes() == b"picture"


def test_zarr_itself_reads_the_files_where_they_lie(local: Path, url: str) -> None:
    import zarr.storage

    version = json.loads(Objects(Url(url)).read("maps/b 1.json"))["version"]
    files = zarr.storage.FsspecStore.from_url(f"{url}/data/b 1/{version}", read_only=True)
    group = zarr.open_group(files, mode="r")
    assert np.array_equal(np.asarray(group["features"][:]), read_map(local / "b 1.zarr").features[:])  # type: ignore[index]


def test_a_store_behind_a_web_server_is_read(local: Path, url: str, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    objects, folder = Objects(Url(url)), tmp_path / "web" / "store"
    for each in objects.listed():
        (folder / each.key).parent.mkdir(parents=True, exist_ok=True)
        (folder / each.key).write_bytes(objects.read(each.key))
    with serving(tmp_path / "web") as served:
        with pytest.raises(StoreError, match=r"no maps\.json"):
            open_store(f"{served.url}/store")
        (folder / "maps.json").write_text('{"maps": ["a", "b 1"]}')
        assert same(open_store(f"{served.url}/store?signature=xyz"), Store.open(local))


def test_a_copy_is_had_with_what_is_asked_for(url: str) -> None:
    folder = have_copy(Url(url), maps=["a"], pictures=["b 1"])
    assert (folder / "a.zarr" / "features").is_dir() and not (folder / "b 1.zarr" / "features").is_dir()
    assert (folder / "thumbnails" / "b 1.jpg").is_file()
    have_copy(Url(url), maps=None)
    assert same(Store.open(folder), open_store(url))


def test_folders_are_left_as_they_are(local: Path) -> None:
    assert have_copy(local, maps=None) == local
    fetch_maps(Store.open(local), ["a"])


def test_a_copy_that_was_deleted_is_fetched_again(local: Path, url: str) -> None:
    shutil.rmtree(open_store(url).path)
    assert same(open_store(url), Store.open(local))
