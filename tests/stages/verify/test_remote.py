"""Every byte in an object store is looked at; damage can be removed, a silent server is not damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fixtures.objects import HeldObjects, objects_in
from fixtures.stores import fake_slide
from histonic.app.cli import histonic
from histonic.core.errors import ObjectStoreError, OutputError, StoreError
from histonic.core.objects import objects as module
from histonic.data.maps.remote.published import publish_map, read_pointer
from histonic.data.maps.writer import write_map
from histonic.encoders.base import load_encoder
from histonic.stages.verify.verify import verify

URL = "s3://bucket/store"


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeldObjects:
    held = HeldObjects()
    monkeypatch.setattr(module, "system_of", lambda url: held)
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "home"))
    for number, name in enumerate(("a", "b")):
        codes = np.random.default_rng(number).normal(size=(3, 4, 4)).astype(np.float16)
        write_map(tmp_path / f"{name}.zarr", fake_slide(name, codes, np.ones((4, 4), bool)))
        publish_map(objects_in(held), tmp_path / f"{name}.zarr")
    load_encoder("colour").save(tmp_path / "encoder.safetensors")
    held.put("encoder.safetensors", (tmp_path / "encoder.safetensors").read_bytes())
    return held


def flip(system: HeldObjects, key: str) -> None:
    data, at = system.held[key]
    system.held[key] = data[:9] + bytes([data[9] ^ 1]) + data[10:], at


def test_a_store_as_written_has_no_fault_and_is_left_alone(system: HeldObjects, tmp_path: Path) -> None:
    before = dict(system.held)
    (found,) = verify(paths=[URL], repair=True)
    assert (str(found.path), found.kind, found.checked, found.faults) == (URL, "store", 3, ())
    assert system.held == before and not (tmp_path / "home").exists()


@pytest.mark.parametrize("what", ["a chunk", "that it is there", "a file that is gone"])
def test_damage_is_named_and_removed_if_asked(system: HeldObjects, what: str) -> None:
    read = read_pointer(objects_in(system), "a")
    assert read is not None
    chunk = read[0].prefix() + "features/c/0/0/0"
    if what == "a chunk":
        flip(system, chunk)
    elif what == "that it is there":
        flip(system, "maps/a.json")
    else:
        del system.held[chunk]
    shown = CliRunner().invoke(histonic, ["verify", URL])
    assert shown.exit_code == 1 and f"damaged  {URL}/maps/a.json" in shown.output, shown.output
    shown = CliRunner().invoke(histonic, ["verify", URL, "--repair"])
    assert shown.exit_code == 0 and "removed" in shown.output and "maps/a.json" not in system.held
    system.ahead_s = 90_000  # which files a damaged object named is not known: they go with what was left
    verify(paths=[URL], repair=True)
    assert not [key for key in system.held if "/a/" in key or key == "maps/a.json"]
    assert verify(paths=[URL])[0].faults == ()


def test_a_damaged_encoder_is_named(system: HeldObjects) -> None:
    system.put("encoder.safetensors", b"no encoder")
    (fault,) = verify(paths=[URL], repair=True)[0].faults
    assert str(fault.path) == f"{URL}/encoder.safetensors" and not fault.was_removed


def test_a_map_replaced_while_it_is_looked_at_is_not_removed(system: HeldObjects, tmp_path: Path) -> None:
    first = read_pointer(objects_in(system), "a")
    assert first is not None
    slide = fake_slide("a", np.ones((3, 4, 4), np.float16), np.ones((4, 4), bool))
    told = slide.slide.model_copy(update={"fingerprint": "another"})
    write_map(tmp_path / "new" / "a.zarr", slide.__class__(**{**slide.__dict__, "slide": told}))

    get = system.get

    def replaced_now(key: str) -> object:
        if key.startswith(first[0].prefix()):
            system.get = get  # type: ignore[method-assign]
            publish_map(objects_in(system), tmp_path / "new" / "a.zarr")
        return get(key)

    system.get = replaced_now  # type: ignore[assignment, method-assign]
    assert verify(paths=[URL], repair=True)[0].faults == ()
    new = read_pointer(objects_in(system), "a")
    assert new is not None and new[0].version != first[0].version


def test_what_another_writer_sends_stays_when_a_damaged_map_goes(system: HeldObjects) -> None:
    flip(system, next(key for key in system.held if key.startswith("data/a/") and "features/c" in key))
    system.put("data/a/v-00000000-1-2-0123abcd/zarr.json", b"{}")
    (fault,) = verify(paths=[URL], repair=True)[0].faults
    assert fault.was_removed and "maps/a.json" not in system.held
    assert [key for key in system.held if "/a/" in key] == ["data/a/v-00000000-1-2-0123abcd/zarr.json"]


def test_the_map_of_another_slide_is_damage_and_its_files_stay(system: HeldObjects) -> None:
    system.held["maps/c.json"] = system.held["maps/a.json"]
    (fault,) = verify(paths=[URL], repair=True)[0].faults
    assert fault.found == "It is the map of the slide 'a'." and fault.was_removed
    assert verify(paths=[URL])[0].faults == ()


def test_a_full_disk_here_is_no_damage_there(system: HeldObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OutputError("Write.", "The disk is full.", "Make room.")

    monkeypatch.setattr("histonic.stages.verify.remote.fetch_map", full)
    before = dict(system.held)
    with pytest.raises(OutputError):
        verify(paths=[URL], repair=True)
    assert system.held == before


def test_quick_compares_sizes_and_fetches_no_map(system: HeldObjects) -> None:
    system.asked.clear()
    assert verify(paths=[URL], quick=True)[0].faults == ()
    assert not [key for method, key in system.asked if method == "get" and key.startswith("data/")]
    cut = next(key for key in system.held if key.startswith("data/a/") and "features/c" in key)
    system.put(cut, b"")
    (fault,) = verify(paths=[URL], quick=True)[0].faults
    assert str(fault.path) == f"{URL}/maps/a.json" and "absent or cut off" in fault.found


def test_maps_of_two_encoders_are_a_fault_of_the_store(system: HeldObjects, tmp_path: Path) -> None:
    slide = fake_slide("c", np.ones((3, 4, 4), np.float16), np.ones((4, 4), bool))
    other = slide.encoder.model_copy(update={"fingerprint": "another"})
    write_map(tmp_path / "c.zarr", slide.__class__(**{**slide.__dict__, "encoder": other}))
    publish_map(objects_in(system), tmp_path / "c.zarr")
    (fault,) = verify(paths=[URL])[0].faults
    assert str(fault.path) == URL and "2 ways" in fault.found and "Remove that object" not in fault.todo


@pytest.mark.parametrize("foreign", [True, False])
def test_what_is_no_store_is_refused_and_left_alone(system: HeldObjects, foreign: bool) -> None:
    keys = ("data/slides/a.svs", "data/readme.txt", "data/p1/x/y.svs", "maps/germany.json") if foreign else ()
    system.held = {key: (b"mine", 0.0) for key in keys}
    before = dict(system.held)
    with pytest.raises(StoreError, match="It is no store"):
        verify(paths=[URL], repair=True)
    assert system.held == before


def test_what_others_keep_in_a_store_is_left_alone(system: HeldObjects) -> None:
    others = ("data/slides/a.svs", "data/readme.txt", "data/p1/x/y.svs", "data/a/v-mine/x", "maps/notes.txt")
    for key in (*others, "maps/of/b.json"):
        system.held[key] = b"mine", 0.0
    before = dict(system.held)
    assert verify(paths=[URL], repair=True)[0].faults == () and system.held == before


def test_what_writers_left_is_told_and_removed_a_day_later(system: HeldObjects) -> None:
    system.put("data/a/v-00000000-1-2-0123abcd/features/c/0/0/0", b"half")
    system.put("data/c/v-00000000-1-2-0123abcd/zarr.json", b"{}")
    assert "left by writers" not in CliRunner().invoke(histonic, ["verify", URL, "--repair"]).output
    assert len([key for key in system.held if "v-00000000" in key]) == 2, "they may be at work"
    system.ahead_s = 90_000
    shown = CliRunner().invoke(histonic, ["verify", URL])
    assert shown.exit_code == 0 and "2 files were left by writers that ended" in shown.output
    CliRunner().invoke(histonic, ["verify", URL, "--repair"])
    assert not [key for key in system.held if "v-00000000" in key]


def test_a_server_that_does_not_answer_is_no_damage(
    system: HeldObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAIT_S", 0.0)
    before = dict(system.held)
    system.fault = lambda method, key: "before" if method == "get" else ""
    with pytest.raises(ObjectStoreError):
        verify(paths=[URL], repair=True)
    assert system.held == before
