"""Slides as pieces of a job: the same as without, with everything in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.claims import CLAIMS_FOLDER, Claims
from histonic.core.errors import SettingsError
from histonic.core.progress import Listener
from histonic.data.maps.store import read_map
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress import pieces
from histonic.stages.compress.compress import compress
from histonic.stages.compress.encoding import TileEncoding
from histonic.stages.compress.sharing import SLIDE
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


def test_workers_claim_what_they_work_on_and_wait_for_what_others_do(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(3):
        image = np.full((300, 400, 3), (200 - number, 120, 180), np.uint8)
        write_pyramid(tmp_path / f"s{number}.tif", image, mpp=0.5)
    slides, store = [tmp_path / f"s{number}.tif" for number in range(3)], tmp_path / "store"
    encode = TileEncoding.encode
    seen: list[bool] = []
    store.mkdir()
    other = Claims(store)
    assert other.take(f"{SLIDE}s1")

    def encoded(encoding: TileEncoding, batches: Any, name: str, *more: Any) -> Any:
        seen.append(other.take(SLIDE + Path(name).stem))
        return encode(encoding, batches, name, *more)

    def waited(seconds: float) -> None:
        seen.append(other.holds(f"{SLIDE}s1"))
        other.release(f"{SLIDE}s1")

    monkeypatch.setattr(TileEncoding, "encode", encoded)
    monkeypatch.setattr("histonic.stages.compress.sharing.time.sleep", waited)
    done = compress(slides=slides, encoder="colour", out=store, device="cpu", cluster="tcp://a:1")
    assert sorted(done.done) == ["s0", "s1", "s2"]
    assert sorted(seen) == [False, False, False, True]
    assert not (store / CLAIMS_FOLDER).exists()


def test_a_piece_that_ends_early_gives_its_claims_back(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_pyramid(tmp_path / "s.tif", np.full((300, 400, 3), (200, 120, 180), np.uint8), mpp=0.5)
    opening: list[Any] = []  # kept, as by a worker that lives on
    job_of = pieces._Opening.job
    monkeypatch.setattr(
        pieces._Opening, "job", lambda self, known: opening.append(self) or job_of(self, known)
    )

    def interrupted(*_: Any) -> Any:
        held = Claims(tmp_path / "store").holder(f"{SLIDE}s")
        assert held is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(TileEncoding, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compress(
            slides=[tmp_path / "s.tif"], encoder="colour", out=tmp_path / "store", device="cpu",
            cluster="tcp://a:1",
        )  # fmt: skip
    assert opening and not (tmp_path / "store" / CLAIMS_FOLDER).exists()


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
