"""The copy of a remote store is a store: only what is new is fetched, what is gone goes, nothing is mixed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fixtures.objects import HeldObjects, objects_in
from fixtures.stores import fake_slide
from histonic.core.errors import ObjectStoreError, OutputError, StoreError
from histonic.core.places.urls import Url
from histonic.data.maps.remote.mirror import Mirror, copy_folder, local_folder
from histonic.data.maps.remote.published import PublishedMap, pointer_key, publish_map
from histonic.data.maps.store import Store, read_map
from histonic.data.maps.writer import write_map

Publish = Callable[..., PublishedMap]


@pytest.fixture
def system() -> HeldObjects:
    return HeldObjects()


@pytest.fixture
def publish(system: HeldObjects, tmp_path: Path) -> Publish:
    def made(slide_id: str, seed: int = 0, picture: bytes | None = b"picture") -> PublishedMap:
        codes = np.random.default_rng(seed).normal(size=(3, 4, 4)).astype(np.float16)
        slide = fake_slide(slide_id, codes, np.ones((4, 4), bool))
        told = slide.slide.model_copy(update={"fingerprint": f"{slide_id} {seed}"})
        folder = tmp_path / "made" / f"{slide_id}-{seed}"
        write_map(folder / f"{slide_id}.zarr", slide.__class__(**{**slide.__dict__, "slide": told}))
        return publish_map(objects_in(system), folder / f"{slide_id}.zarr", picture)

    return made


@pytest.fixture
def mirror(system: HeldObjects, tmp_path: Path) -> Mirror:
    return Mirror(objects_in(system), tmp_path / "copy")


def requests(system: HeldObjects) -> list[str]:
    found = [f"{method} {key}" for method, key in system.asked]
    system.asked.clear()
    return found


def test_facts_come_first_and_codes_when_they_are_wanted(
    system: HeldObjects, publish: Publish, mirror: Mirror, tmp_path: Path
) -> None:
    publish("a"), publish("b", 1)
    system.put("encoder.safetensors", b"weights")
    mirror.refresh()
    assert Store.open(mirror.folder).slide_ids == ["a", "b"]
    with pytest.raises(StoreError, match="absent"):
        read_map(mirror.folder / "a.zarr")  # facts alone are never taken for a map
    mirror.fetch(["b", "not there"])
    assert not mirror.has("a") and mirror.has("b")
    wanted = read_map(tmp_path / "made" / "b-1" / "b.zarr")
    assert np.array_equal(read_map(mirror.folder / "b.zarr").features[:], wanted.features[:])
    assert (mirror.folder / "thumbnails" / "b.jpg").read_bytes() == b"picture"
    assert (mirror.folder / "encoder.safetensors").read_bytes() == b"weights"


def test_what_is_known_is_not_asked_for_again(system: HeldObjects, publish: Publish, tmp_path: Path) -> None:
    publish("a"), publish("b")
    system.put("settings.yaml", b"")
    system.put("failures/c.json", b"{}")
    first = Mirror(objects_in(system), tmp_path / "copy")
    first.refresh(), first.fetch()
    requests(system)
    second = Mirror(objects_in(system), tmp_path / "copy")
    second.refresh(), second.fetch(), second.fetch_pictures(["a"])
    assert requests(system) == ["list maps/", "list failures/", "list "]


def test_a_replaced_map_takes_the_place_of_the_old_with_its_picture(
    publish: Publish, mirror: Mirror, tmp_path: Path
) -> None:
    publish("a", 1)
    mirror.refresh(), mirror.fetch()
    publish("a", 2, b"another")
    mirror.refresh()
    assert not mirror.has("a") and not (mirror.folder / "thumbnails" / "a.jpg").exists()
    mirror.fetch()
    wanted = read_map(tmp_path / "made" / "a-2" / "a.zarr")
    assert np.array_equal(read_map(mirror.folder / "a.zarr").features[:], wanted.features[:])
    assert (mirror.folder / "thumbnails" / "a.jpg").read_bytes() == b"another"


@pytest.mark.parametrize("fetched", [True, False])
def test_a_map_that_another_replaces_in_the_copy_is_not_read_as_zeros(
    publish: Publish, mirror: Mirror, fetched: bool
) -> None:
    publish("a", 1)
    mirror.refresh(), mirror.fetch()
    opened = read_map(mirror.folder / "a.zarr")
    assert opened.features[:, 0].any()
    publish("a", 2)
    other = Mirror(mirror.objects, mirror.folder)
    other.refresh(beside=False)
    if fetched:
        other.fetch()
    for read in (lambda: opened.features[:], lambda: opened.features[:, opened.mask]):
        with pytest.raises(StoreError, match="replaced or removed after it was opened"):
            read()


def test_a_map_that_is_replaced_while_it_is_fetched_is_the_new_one(
    system: HeldObjects, publish: Publish, mirror: Mirror, tmp_path: Path
) -> None:
    publish("a", 1)
    mirror.refresh()
    original = system.get

    def replaced_now(key: str) -> object:
        system.get = original  # type: ignore[method-assign]
        publish("a", 2)
        return original(key)

    system.get = replaced_now  # type: ignore[assignment, method-assign]
    mirror.fetch()
    wanted = read_map(tmp_path / "made" / "a-2" / "a.zarr")
    assert np.array_equal(read_map(mirror.folder / "a.zarr").features[:], wanted.features[:])


def test_what_is_gone_goes_from_the_copy(system: HeldObjects, publish: Publish, mirror: Mirror) -> None:
    publish("a"), publish("b")
    system.put("failures/c.json", b"{}")
    system.put("thumbnails/c.jpg", b"of a slide that failed")
    system.put("tissue.csv", b"")
    mirror.refresh(), mirror.fetch(), mirror.fetch_pictures(["c"])
    system.delete([pointer_key("a"), "failures/c.json", "tissue.csv"])
    mirror.refresh()
    assert sorted(path.stem for path in (mirror.folder / "thumbnails").iterdir()) == ["b", "c"]
    assert [path.name for path in (mirror.folder / ".remote" / "maps").iterdir()] == ["b.json"]
    assert Store.open(mirror.folder).slide_ids == ["b"] and mirror.look("a") is None
    assert (
        not list((mirror.folder / "failures").glob("*.json")) and not (mirror.folder / "tissue.csv").exists()
    )


def test_records_of_failures_have_the_time_of_the_server(system: HeldObjects, mirror: Mirror) -> None:
    system.ahead_s = -5000
    system.put("failures/c.json", b"{}")
    mirror.refresh()
    at = (mirror.folder / "failures" / "c.json").stat().st_mtime
    assert abs(at - system.now()) < 60


def test_names_that_lead_elsewhere_are_passed_over(
    system: HeldObjects, mirror: Mirror, tmp_path: Path
) -> None:
    for name in ("../../evil", ".hidden", "a/b"):
        system.put(f"maps/{name}.json", b"{}")
        system.put(f"failures/{name}.json", b"{}")
    mirror.refresh()
    assert mirror.maps == {} and not list(tmp_path.rglob("*evil*"))


def test_a_server_that_lists_nothing_is_read_by_its_names(
    system: HeldObjects, publish: Publish, mirror: Mirror
) -> None:
    publish("a"), publish("b")
    system.can_list = False
    with pytest.raises(StoreError, match=r"no maps\.json"):
        mirror.refresh()
    system.put("maps.json", b'{"maps": ["b", "../c"], "written_by": ""}')
    system.put("encoder.safetensors", b"weights")
    system.put("heads.safetensors", b"of that encoder")
    mirror.refresh(), mirror.fetch()
    assert sorted(mirror.maps) == ["b"] and mirror.has("b")
    assert (mirror.folder / "encoder.safetensors").is_file()
    system.delete(["heads.safetensors"])
    mirror.refresh()
    assert not (mirror.folder / "heads.safetensors").exists()


def test_a_server_that_does_not_answer_is_not_taken_for_damage(
    system: HeldObjects, publish: Publish, mirror: Mirror
) -> None:
    publish("a")
    mirror.refresh()
    system.fault = lambda method, key: "before"
    with pytest.raises(ObjectStoreError):
        mirror.fetch()


def test_a_map_cut_off_on_the_server_is_named(system: HeldObjects, publish: Publish, mirror: Mirror) -> None:
    published = publish("a")
    system.put(published.prefix() + "features/c/0/0/0", b"")
    mirror.refresh()
    with pytest.raises(StoreError, match=r"(?s)map of 'a'.*features/c/0/0/0 is not what was written"):
        mirror.fetch()


def test_copies_lie_apart_by_url_and_hold_no_secret() -> None:
    one, two = Url("s3://bucket/a/store"), Url("s3://bucket/b/store/")
    assert copy_folder(one) != copy_folder(two) and local_folder(one) == copy_folder(one)
    assert copy_folder(two) == copy_folder(Url("s3://bucket/b/store"))
    assert copy_folder(Url("https://me:secret@host/store?key=1")) == copy_folder(Url("https://host/store"))
    assert local_folder(Path("store")) == Path("store")
    assert copy_folder(Url("s3://bucket")).name.startswith("bucket-")


def test_a_copy_that_cannot_be_written_is_said(system: HeldObjects, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        Mirror(objects_in(system), tmp_path / "file" / "copy")


@pytest.mark.skipif(os.name == "nt", reason="permissions of its own")
def test_others_cannot_read_the_copy(mirror: Mirror) -> None:
    assert mirror.folder.stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_had_names_its_variable(
    system: HeldObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match=r"to do: .*HISTONIC_CACHE"):
        Mirror(objects_in(system))
    monkeypatch.delenv("HISTONIC_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(OutputError, match=r"to do: .*HISTONIC_CACHE"):
        Mirror(objects_in(system))
