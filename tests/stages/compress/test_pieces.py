"""Slides as pieces of a job: the same as without, with everything in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.claims import Claims
from histonic.core.errors import SettingsError, StoreError
from histonic.core.progress import Listener
from histonic.data.maps.store import read_map
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress import pieces
from histonic.stages.compress.compress import compress
from histonic.stages.compress.encoding import TileEncoding
from histonic.stages.compress.sharing import RUN
from histonic.training.executors.inline import ThisProcess


class Steps(Listener):
    def __init__(self) -> None:
        self.total, self.done, self.slides = 0, 0, list[tuple[str, str]]()

    def stage(self, name: str, total: int | None = None) -> None:
        self.total = total or 0

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps

    def slide(self, slide_id: str, failed: str = "") -> None:
        self.slides.append((slide_id, failed))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What an executor was asked for that is this process in the place of a cluster."""
    found: list[dict[str, Any]] = []

    def open_here(job: Any, progress: Any, **given: Any) -> ThisProcess[Any, Any]:
        found.append(given)
        return ThisProcess(job, progress, "cpu")

    monkeypatch.setattr(pieces, "open_executor", open_here)
    return found


def test_the_same_maps_and_failures_as_without_a_cluster(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    for number in range(3):
        image = np.full((300, 400, 3), (200 - number, 120, 180), np.uint8)
        write_pyramid(tmp_path / f"s{number}.tif", image, mpp=0.5)
    (tmp_path / "s1.tif").write_bytes(b"II*\0broken")
    slides = [tmp_path / f"s{number}.tif" for number in range(3)]
    alone = compress(slides=slides, encoder="colour", out=tmp_path / "alone", device="cpu")
    told = Steps()
    given = {"slides": slides, "encoder": "colour", "out": tmp_path / "store", "device": "cpu"}
    beside = compress(**given, cluster="tcp://a:1", progress=told)
    assert (beside.done, beside.skipped, beside.tiles) == (alone.done, [], alone.tiles)
    assert beside.failures == alone.failures and len(beside.failures) == 1
    assert told.done == told.total == 300
    assert [slide_id for slide_id, _ in told.slides] == ["s0", "s1", "s2"]
    files = [path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*")]
    for name in files:
        left, right = tmp_path / "alone" / name, tmp_path / "store" / name
        if left.is_file() and name.name != "settings.yaml":
            assert left.read_bytes() == right.read_bytes(), name
    assert "cluster" not in (tmp_path / "store" / "settings.yaml").read_text()
    assert asked[0]["cluster"] == "tcp://a:1" and asked[0]["reads"] == slides
    again, told = compress(**given, cluster="tcp://a:1", progress=(told := Steps())), told
    assert (again.done, again.skipped) == ([], ["s0", "s2"]) and told.done == told.total


def test_slides_in_memory_are_no_work_for_others(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    image = np.full((300, 400, 3), (200, 120, 180), np.uint8)
    with pytest.raises(SettingsError, match="in the memory of this process"):
        compress(slides={"a": (image, 0.5)}, encoder="colour", out=tmp_path / "s", cluster="tcp://a:1")
    assert not (tmp_path / "s").exists() and not asked


def test_a_store_that_another_run_compresses_into_is_refused(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_pyramid(tmp_path / "s.tif", np.full((300, 400, 3), (200, 120, 180), np.uint8), mpp=0.5)
    given = {"slides": [tmp_path / "s.tif"], "encoder": "colour", "device": "cpu", "cluster": "tcp://a:1"}
    (tmp_path / "store").mkdir()
    monkeypatch.setattr("histonic.stages.compress.compress._Job._require_own_store", lambda job: None)
    with Claims(tmp_path / "store") as other:
        assert other.take(f"{RUN}of-another")
        with pytest.raises(StoreError, match=r"process \d+ on .* compresses into the store"):
            compress(**given, out=tmp_path / "store")
    assert not list((tmp_path / "store").glob("*.zarr"))


def test_pieces_know_of_all_slides_and_their_given_names(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("colour").mkdir()  # no encoder file
    for number in range(2):
        image = np.full((300, 400, 3), (200 - number, 120, 180), np.uint8)
        write_pyramid(tmp_path / f"blob{number}.tif", image, mpp=0.5)
        Path(f"s{number}.tif").symlink_to(f"blob{number}.tif")
    left: list[int] = []
    encode = TileEncoding.encode

    def encoded(encoding: TileEncoding, batches: Any, name: str, tiles: int, *more: Any) -> Any:
        left.append(tiles)
        return encode(encoding, batches, name, tiles, *more)

    monkeypatch.setattr(TileEncoding, "encode", encoded)
    given = {"slides": ["s0.tif", "s1.tif"], "encoder": "colour", "out": "store", "device": "cpu"}
    done = compress(**given, cluster="tcp://a:1")
    assert done.done == ["s0", "s1"] and left == [done.tiles, done.tiles]
    paths = [read_map(tmp_path / f"store/{name}.zarr").slide.path for name in done.done]
    assert paths == [str(tmp_path / "s0.tif"), str(tmp_path / "s1.tif")]
