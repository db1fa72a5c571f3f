"""A map is there whole or not at all, whatever is cut, lost or killed, and by however many it is written."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from fixtures.objects import HeldObjects, objects_in
from fixtures.stores import fake_slide
from histonic.core.errors import HistonicError, StoreError
from histonic.data.maps.remote.published import (
    fetch_map,
    first_facts,
    leftovers,
    parse_pointer,
    pointer_key,
    publish_map,
    read_pointer,
)
from histonic.data.maps.store import read_map
from histonic.data.maps.writer import write_map


class Killed(BaseException):
    """What ends a process in the middle of a request."""


@pytest.fixture
def system() -> HeldObjects:
    return HeldObjects()


def made(folder: Path, slide_id: str = "s1", seed: int = 0, fingerprint: str | None = None) -> Path:
    codes = np.random.default_rng(seed).normal(size=(3, 5, 6)).astype(np.float16)
    slide = fake_slide(slide_id, codes, np.ones((5, 6), bool))
    if fingerprint is not None:
        slide = slide.__class__(
            **{**slide.__dict__, "slide": slide.slide.model_copy(update={"fingerprint": fingerprint})}
        )
    write_map(folder / f"{slide_id}.zarr", slide)
    return folder / f"{slide_id}.zarr"


def codes_of(system: HeldObjects, folder: Path, slide_id: str = "s1") -> np.ndarray:
    objects = objects_in(system)
    read = read_pointer(objects, slide_id)
    assert read is not None
    fetch_map(objects, read[0], folder / f"{slide_id}.zarr")
    return np.asarray(read_map(folder / f"{slide_id}.zarr").features[:])


def test_a_map_comes_back_to_the_bit(system: HeldObjects, tmp_path: Path) -> None:
    folder = made(tmp_path)
    published = publish_map(objects_in(system), folder, b"picture")
    assert fetch_map(objects_in(system), published, tmp_path / "copy.zarr") == b"picture"
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert (tmp_path / "copy.zarr" / path.relative_to(folder)).read_bytes() == path.read_bytes()
    facts = first_facts(objects_in(system))
    assert facts is not None and facts == published.read_facts()
    assert leftovers(objects_in(system), 0) == []


def test_that_it_is_there_is_written_last_and_once(system: HeldObjects, tmp_path: Path) -> None:
    publish_map(objects_in(system), made(tmp_path), b"picture")
    wrote = [key for method, key in system.asked if method == "put"]
    assert wrote[-1] == "maps/s1.json" and wrote.count("maps/s1.json") == 1
    assert len(set(wrote)) == len(wrote) and all(key.startswith("data/s1/v-") for key in wrote[:-1])
    assert len(system.asked) == len(wrote) + 1, "one look at what is there beside the writes"


def test_a_writer_killed_at_any_request_leaves_nothing_that_is_seen(tmp_path: Path) -> None:
    folder = made(tmp_path)
    whole = HeldObjects()
    publish_map(objects_in(whole), folder, b"picture")
    for at in range(len(whole.asked)):
        for when in ("before", "after"):
            system = HeldObjects()

            def kill(
                method: str, key: str, at: int = at, when: str = when, system: HeldObjects = system
            ) -> str:
                if len(system.asked) == at + 1:
                    if when == "after" and method == "put":
                        system.held[key] = (b"cut", 0.0)  # half of it got there
                    system._lock.release()
                    raise Killed
                return ""

            system.fault = kill
            with pytest.raises(Killed):
                publish_map(objects_in(system), folder, b"picture")
            system.fault = lambda method, key: ""
            half = system.held.get(pointer_key("s1"))
            assert half is None or half[0] == b"cut"
            publish_map(objects_in(system), folder, b"picture")
            assert codes_of(system, tmp_path / f"{at}{when}").shape == (3, 5, 6)
            used = read_pointer(objects_in(system), "s1")
            left = leftovers(objects_in(system), -1)
            assert used is not None and not any(key.startswith(used[0].prefix()) for key in left)
            objects_in(system).delete(*left)
            assert set(system.held) == {
                pointer_key("s1"),
                *(used[0].prefix() + name for name in used[0].files),
            }


def test_a_hundred_faults_lose_nothing_and_mix_nothing(system: HeldObjects, tmp_path: Path) -> None:
    rng, faults = np.random.default_rng(0), [0]

    def fault(method: str, key: str) -> str:
        what = str(rng.choice(["", "before", "after"], p=[0.78, 0.11, 0.11]))
        faults[0] += bool(what)
        return what

    folders = [made(tmp_path / f"{number}", f"s{number}", seed=number) for number in range(40)]
    system.fault = fault
    for folder in folders:
        publish_map(objects_in(system), folder, b"picture")
    for number in range(40):
        found = codes_of(system, tmp_path / "copies", f"s{number}")
        assert np.array_equal(found, np.asarray(read_map(folders[number]).features[:]))
    assert faults[0] >= 100
    system.fault = lambda method, key: ""
    assert leftovers(objects_in(system), -1) == []


def test_of_two_writers_at_once_one_stays(system: HeldObjects, tmp_path: Path) -> None:
    # The same slide by the same encoder; the codes differ as those of two machines may.
    folders = [made(tmp_path / f"{number}", seed=number) for number in range(6)]
    threads = [threading.Thread(target=publish_map, args=(objects_in(system), each)) for each in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = codes_of(system, tmp_path / "copy")
    assert sum(np.array_equal(found, np.asarray(read_map(each).features[:])) for each in folders) == 1
    assert len([key for key in system.held if key.startswith("maps/")]) == 1
    assert leftovers(objects_in(system), -1) == []


def test_a_map_of_another_file_is_replaced_and_its_files_go(system: HeldObjects, tmp_path: Path) -> None:
    publish_map(objects_in(system), made(tmp_path / "old", seed=1))
    new = made(tmp_path / "new", seed=2, fingerprint="another")
    publish_map(objects_in(system), new)
    assert np.array_equal(codes_of(system, tmp_path / "copy"), np.asarray(read_map(new).features[:]))
    assert leftovers(objects_in(system), -1) == []


def test_the_same_map_stays(system: HeldObjects, tmp_path: Path) -> None:
    first = publish_map(objects_in(system), made(tmp_path / "a", seed=1))
    again = publish_map(objects_in(system), made(tmp_path / "b", seed=2))
    assert again.version == first.version and leftovers(objects_in(system), -1) == []


def test_without_conditions_a_map_is_whole_too(tmp_path: Path) -> None:
    system = HeldObjects(has_conditions=False)
    publish_map(objects_in(system), made(tmp_path / "a", seed=1))
    publish_map(objects_in(system), made(tmp_path / "b", seed=2, fingerprint="another"))
    assert codes_of(system, tmp_path / "copy").shape == (3, 5, 6)


def test_a_changed_byte_is_found(system: HeldObjects, tmp_path: Path) -> None:
    published = publish_map(objects_in(system), made(tmp_path))
    key = published.prefix() + "features/c/0/0/0"
    data, at = system.held[key]
    system.held[key] = bytes([data[0] ^ 1]) + data[1:], at
    with pytest.raises(StoreError, match="features/c/0/0/0 is not what was written"):
        fetch_map(objects_in(system), published, tmp_path / "copy.zarr")
    del system.held[key]
    with pytest.raises(StoreError, match="is not there"):
        fetch_map(objects_in(system), published, tmp_path / "copy.zarr")
    assert not (tmp_path / "copy.zarr").exists()


@pytest.mark.parametrize("change", ["facts", "version", "cut", "format"])
def test_a_changed_pointer_is_found(system: HeldObjects, tmp_path: Path, change: str) -> None:
    publish_map(objects_in(system), made(tmp_path))
    data, _ = system.held[pointer_key("s1")]
    values = json.loads(data)
    if change == "facts":
        values["facts"]["cells"] = 1
    elif change == "version":
        values["version"] = "v-other"
    elif change == "format":
        values = {"format": "histonic-published-map-9"}
    told = json.dumps(values).encode()
    with pytest.raises(StoreError):
        parse_pointer(told[: len(told) // 2] if change == "cut" else told, "maps/s1.json")


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/../b", ".version", "a//b", "c:\\x"])
def test_no_file_leads_out_of_the_copy(system: HeldObjects, tmp_path: Path, name: str) -> None:
    published = publish_map(objects_in(system), made(tmp_path))
    strange = published.model_copy(update={"files": {**published.files, name: (0, "")}})
    with pytest.raises(StoreError, match="No file of a map"):
        fetch_map(objects_in(system), strange, tmp_path / "copy.zarr")


def test_a_refusal_is_not_taken_for_a_lost_map(system: HeldObjects, tmp_path: Path) -> None:
    folder = made(tmp_path)
    system.fault = lambda method, key: "before" if key.startswith("maps/") and method == "put" else ""
    with pytest.raises(HistonicError, match="connection is cut"):
        publish_map(objects_in(system), folder)
    assert read_pointer(objects_in(system), "s1") is None
