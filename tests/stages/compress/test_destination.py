"""A compression into an object store is one into a folder: the same maps, skips and records, none lost."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import yaml

from fixtures.objects import HeldObjects
from histonic.core.errors import OutputError, StoreError
from histonic.core.objects import objects as module
from histonic.core.objects.systems import System
from histonic.core.places.urls import Url
from histonic.core.progress import Silent
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.remote.opening import fetch_maps, open_store
from histonic.data.maps.store import Store
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress import destination
from histonic.stages.compress.compress import compress
from histonic.stages.train.train import train_slides
from histonic.stages.verify.verify import verify

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "object_store.py"
URL = "s3://bucket/cohort/store"


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeldObjects:
    """What every s3:// URL speaks of; the copies lie apart."""
    held, original = HeldObjects(), module.system_of

    def found(url: Url) -> System:
        return held if url.scheme == "s3" else original(url)

    monkeypatch.setattr(module, "system_of", found)
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return held


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(4):
        image = np.full((500, 600, 3), 245, np.uint8)
        image[60:440, 60:540] = np.array([190, 110, 170]) + rng.integers(-30, 30, (380, 480, 1)) - 10 * number
        write_pyramid(tmp_path / "slides" / f"s{number}.tif", image, mpp=0.5)
    return tmp_path / "slides"


def contents(store: Path, names: list[str]) -> list[str]:
    return [read_map_facts(store / f"{name}.zarr").content for name in names]


def keys(system: HeldObjects, prefix: str = "") -> list[str]:
    return sorted(key for key in system.held if key.startswith(prefix))


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_the_maps_are_those_of_a_folder(system: HeldObjects, slides: Path, tmp_path: Path) -> None:
    here = compress(slides=[slides], encoder="mean-rgb", out=tmp_path / "store")
    there = compress(slides=[slides], encoder="mean-rgb", out=URL)
    assert there.done == here.done and str(there.store) == URL and len(there.shares) == 4
    found = open_store(URL)
    assert contents(found.path, found.slide_ids) == contents(tmp_path / "store", here.done)
    fetch_maps(found, found.slide_ids)
    local = Store.open(tmp_path / "store")
    assert all(np.array_equal(found[name].features[:], local[name].features[:]) for name in here.done)
    for name in ("encoder.safetensors", "tissue.csv", "engine.json"):
        assert system.held[name][0] == (tmp_path / "store" / name).read_bytes()
    assert yaml.safe_load(system.held["settings.yaml"][0])["out"] == URL
    assert b'"maps": ["s0", "s1", "s2", "s3"]' in system.held["maps.json"][0]
    assert not keys(system, "claims/") and not list(tmp_path.glob(".partial-*")), "nothing is left"


def test_what_is_there_is_skipped_and_costs_little(system: HeldObjects, slides: Path) -> None:
    compress(slides=[slides], encoder="mean-rgb", out=URL)
    before, wrote = dict(system.held), len(system.asked)
    again = compress(slides=[slides], encoder="mean-rgb", out=URL)
    assert (again.done, again.skipped) == ([], ["s0", "s1", "s2", "s3"])
    maps = [key for key in before if key.startswith(("maps/", "data/"))]
    assert all(system.held[key] == before[key] for key in maps)
    asked = [key for method, key in system.asked[wrote:] if method == "put"]
    assert not [key for key in asked if key.startswith(("maps/", "data/"))]


def test_requests_of_a_slide_are_few(system: HeldObjects, slides: Path) -> None:
    compress(slides=[slides / "s0.tif"], encoder="mean-rgb", out=URL)
    before = len(system.asked)
    compress(slides=[slides / "s1.tif"], encoder="mean-rgb", out=URL)
    own = [(method, key) for method, key in system.asked[before:] if "s1" in key]
    wrote = [key for method, key in own if method == "put"]
    # Features, mask and quality with a file of metadata each, zarr.json, the picture; the map; the claim.
    assert len(wrote) == 8 + 1 + 1 and len(own) - len(wrote) <= 6, own


@pytest.mark.long
def test_training_on_it_is_training_on_a_folder(slides: Path, tmp_path: Path) -> None:
    names = [path.stem for path in sorted(slides.glob("*.tif"))]
    for copy in range(3):
        for path in sorted(slides.glob("s?.tif")):
            (slides / f"{path.stem}-{copy}.tif").write_bytes(path.read_bytes())
            names.append(f"{path.stem}-{copy}")
    rows = [f"{name},{name},{'yes' if number % 2 else 'no'}" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["patient_id,slide_id,grade", *rows]))
    runs = {}
    for where, place in (("folder", tmp_path / "store"), ("objects", URL)):
        compress(slides=[slides], encoder="mean-rgb", out=place)
        runs[where] = train_slides(
            store=place, labels=tmp_path / "labels.csv", target=["grade"], out=tmp_path / where, quick=True
        )
    for file in ("predictions/grade.csv", "bundle/bundle.json", "cohort.json"):
        assert (runs["folder"] / file).read_bytes() == (runs["objects"] / file).read_bytes()
    assert f'"store": "{URL}"' in (runs["objects"] / "run.json").read_text()


def test_a_slide_that_fails_is_recorded_there_and_forgotten_once_it_is_done(
    system: HeldObjects, slides: Path
) -> None:
    whole = (slides / "s1.tif").read_bytes()
    (slides / "s1.tif").write_bytes(b"no slide")
    first = compress(slides=[slides], encoder="mean-rgb", out=URL)
    assert [each.slide_id for each in first.failures] == ["s1"]
    assert keys(system, "failures/") == ["failures/s1.json"]
    assert [each.slide_id for each in open_store(URL).failures()] == ["s1"]
    (slides / "s1.tif").write_bytes(whole)
    assert compress(slides=[slides], encoder="mean-rgb", out=URL).done == ["s1"]
    assert not keys(system, "failures/")


def test_a_slide_without_tissue_has_a_picture_there(system: HeldObjects, tmp_path: Path) -> None:
    write_pyramid(tmp_path / "empty.tif", np.full((500, 600, 3), 245, np.uint8), mpp=0.5)
    result = compress(slides=[tmp_path / "empty.tif"], encoder="mean-rgb", out=URL)
    assert [each.stage for each in result.failures] == ["tissue"]
    assert keys(system, "thumbnails/") == ["thumbnails/empty.jpg"]


def test_a_dry_run_writes_nothing(system: HeldObjects, slides: Path) -> None:
    plan = compress(slides=[slides], encoder="mean-rgb", out=URL, dry_run=True).plan
    assert plan is not None and plan.count("to do") == 4 and not system.held
    assert plan.lines()[-1].endswith(f"would be written to {URL}")


def test_another_encoder_is_refused(slides: Path) -> None:
    compress(slides=[slides / "s0.tif"], encoder="mean-rgb", out=URL)
    with pytest.raises(StoreError, match="another encoder"):
        compress(slides=[slides], encoder="colour", out=URL)


def test_without_conditions_one_is_told_to_give_each_run_its_own(slides: Path) -> None:
    pytest.importorskip("fsspec")
    told, place = Told(), f"memory://{uuid4().hex}/store"
    assert len(compress(slides=[slides], encoder="mean-rgb", out=place, progress=told).done) == 4
    assert any("no conditional writes" in line and "--shard" in line for line in told.lines)
    assert verify(paths=[place])[0].faults == ()


def test_what_another_run_did_meanwhile_is_not_done_again(
    system: HeldObjects, slides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "GLANCE_S", 0.0)
    original, began = system.put, []

    def meanwhile(key: str, data: bytes, **condition: object) -> str:
        if key.startswith("claims/slide-") and not began:
            began.append(key)
            compress(slides=[slides], encoder="mean-rgb", out=URL)
        return original(key, data, **condition)  # type: ignore[arg-type]

    monkeypatch.setattr(system, "put", meanwhile)
    result = compress(slides=[slides], encoder="mean-rgb", out=URL)
    assert (result.done, result.skipped) == ([], ["s0", "s1", "s2", "s3"]), result


def test_looks_at_the_store_harm_no_map_that_is_being_written(
    slides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = destination.RemoteDestination.publish

    def publish(self: destination.RemoteDestination, slide_id: str) -> None:
        self.gather()
        original(self, slide_id)

    monkeypatch.setattr(destination.RemoteDestination, "publish", publish)
    assert len(compress(slides=[slides], encoder="mean-rgb", out=URL).done) == 4


def test_over_http_nothing_is_written(slides: Path) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(OutputError, match="only read"):
        compress(slides=[slides], encoder="mean-rgb", out="https://host.org/store")


def test_a_server_that_stops_answering_ends_the_run_and_it_goes_on_later(
    system: HeldObjects, slides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.001)
    monkeypatch.setattr(module, "MOST_WAIT_S", 0.001)
    left = [2]

    def fault(method: str, key: str) -> str:
        left[0] -= method == "put" and key.startswith("maps/")
        return "before" if left[0] < 0 and method == "put" else ""

    system.fault = fault
    with pytest.raises(OutputError, match="connection is cut"):
        compress(slides=[slides], encoder="mean-rgb", out=URL)
    system.fault = lambda method, key: ""
    result = compress(slides=[slides], encoder="mean-rgb", out=URL)
    assert len(result.done) == 2 and len(result.skipped) == 2 and verify(paths=[URL])[0].faults == ()


def test_nothing_private_is_told(system: HeldObjects, slides: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"path,slide_id\n{slides / 's0.tif'},case\n")
    compress(slides=[tmp_path / "list.csv"], encoder="mean-rgb", out=URL, private=True)
    assert yaml.safe_load(system.held["settings.yaml"][0])["out"] == "(private)"
    for key, (data, _) in system.held.items():
        assert str(tmp_path).encode() not in data, key


@pytest.fixture
def needs_server() -> Iterator[None]:
    for name in ("moto", "boto3", "s3fs"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install 'histonic[long]'")
    yield


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="writers are killed by SIGKILL")
def test_no_fault_of_a_server_and_no_kill_loses_or_mixes_anything(needs_server: None) -> None:
    words = [
        sys.executable,
        str(BENCHMARK),
        "--slides",
        "14",
        "--kills",
        "2",
        "--rate",
        "0.18",
        "--seed",
        "1",
    ]
    shown = subprocess.run(words, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "| maps published twice | 0 |" in shown.stdout
