"""Slides are opened ahead in their order and closed whatever happens; only tiles are made by the decoder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from histonic.core.claims import Claims
from histonic.core.errors import OutputError, StoreError
from histonic.core.progress import Silent
from histonic.data.maps.store import Store
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.encoders.base import load_encoder
from histonic.slides.base import LevelSlide, open_slide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress import reading
from histonic.stages.compress.compress import compress
from histonic.stages.compress.reading import Closed, Failed, Opened, Tiles, read_slides
from histonic.stages.compress.settings import CompressSettings

SPEC = load_encoder("colour").spec


def picture(seed: int = 0, side: int = 512) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 243, np.uint8)
    inner = side // 4
    pixels[inner:-inner, inner:-inner] = rng.integers(120, 200, (side - 2 * inner, side - 2 * inner, 3))
    return pixels


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for number in range(5):
        write_pyramid(folder / f"s{number}.tif", picture(number), mpp=0.5)
    (folder / "s2.tif").write_bytes(b"II*\0 damaged")
    return folder


class Watch:
    """Which slides were opened and closed, in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.threads: set[str] = set()

        def opening(path: Path, **more: object) -> LevelSlide:
            self.opened.append(Path(path).stem)
            self.threads.add(threading.current_thread().name)
            slide = open_slide(path, **more)  # type: ignore[arg-type]
            close = slide.close
            slide.close = lambda: (self.closed.append(slide.name), close())[0]  # type: ignore[method-assign]
            return slide

        monkeypatch.setattr(reading, "open_slide", opening)


def given(slides: Path, out: Path, **more: object) -> tuple[list[SlideRow], CompressSettings]:
    return read_slide_list([slides]), CompressSettings(slides=(slides,), encoder="colour", out=out, **more)


def test_slides_come_in_order_with_their_failures_and_all_are_closed(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    events = list(read_slides(*given(slides, tmp_path), SPEC))
    told = []
    for event in events:
        if isinstance(event, Opened):
            told.append(event.row.slide_id)
        elif isinstance(event, Failed):
            told.append(f"{event.row.slide_id} {event.stage}")
        else:
            told.append(type(event).__name__)
    assert told == [
        *("s0", "Tiles", "Closed", "s1", "Tiles", "Closed", "s2 open"),
        *("s3", "Tiles", "Closed", "s4", "Tiles", "Closed"),
    ]
    assert watch.opened == ["s0", "s1", "s2", "s3", "s4"]
    assert sorted(watch.closed) == ["s0", "s1", "s3", "s4"]
    assert all(name.startswith("histonic-ahead") for name in watch.threads)


@pytest.mark.parametrize(("cores", "ahead"), [(1, 1), (2, 1), (4, 2), (64, 2)])
def test_no_more_are_taken_ahead_than_is_said(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, ahead: int
) -> None:
    monkeypatch.setattr(reading, "usable_cores", lambda: cores)
    rows, settings = given(slides, tmp_path)
    taken: list[str] = []

    def take() -> Iterator[SlideRow]:
        for row in rows:
            taken.append(row.slide_id)
            yield row

    events = read_slides(take(), settings, SPEC)
    assert isinstance(next(events), Opened) and len(taken) == 1 + ahead
    assert isinstance(next(events), Tiles) and len(taken) == 1 + ahead
    assert isinstance(next(events), Closed)
    assert isinstance(next(events), Opened) and len(taken) == min(5, 2 + ahead)
    events.close()  # type: ignore[attr-defined]


def test_a_reader_that_stops_leaves_no_slide_open(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    events = read_slides(*given(slides, tmp_path), SPEC)
    assert isinstance(next(events), Opened)
    events.close()  # type: ignore[attr-defined]
    assert sorted(set(watch.opened) - {"s2"}) == sorted(watch.closed)


def test_a_run_that_breaks_off_gives_all_claims_back(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Silent):
        def advance(self, steps: int = 1, what: str = "") -> None:
            raise KeyboardInterrupt

    watch = Watch(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compress(slides=[slides], encoder="colour", out=tmp_path / "store", progress=Interrupted())
    assert sorted(set(watch.opened) - {"s2"}) == sorted(watch.closed) != []
    with Claims(tmp_path / "store") as claims:
        assert claims.others() == [] and all(claims.take(f"slide-s{number}") for number in range(5))


def test_a_full_disk_ends_the_reading(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)

    def full(*_: object) -> None:
        error = OutputError("Write.", "The disk is full.", "Make room.")
        error.is_full = True
        raise error

    rows, settings = given(slides, tmp_path)
    blank = tmp_path / "blank.tif"
    write_pyramid(blank, np.full((400, 400, 3), 243, np.uint8), mpp=0.5)
    monkeypatch.setattr(reading, "write_thumbnail", full)
    with pytest.raises(OutputError, match="disk is full"):
        list(read_slides([*rows[:1], *read_slide_list([blank]), *rows[3:]], settings, SPEC))
    assert sorted(watch.opened) == sorted(watch.closed)


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fine") / "fine.tif"
    write_pyramid(path, picture(side=1024), mpp=0.25)
    return path


def test_tiles_are_made_by_the_decoder_unless_exact_means_are_asked_for(fine: Path, tmp_path: Path) -> None:
    def seen(exact: bool) -> tuple[Opened, np.ndarray]:
        rows, settings = given(fine, tmp_path, exact_averaging=exact)
        events = list(read_slides(rows, settings, SPEC))
        opened = next(event for event in events if isinstance(event, Opened))
        return opened, np.concatenate([event.tiles for event in events if isinstance(event, Tiles)])

    (opened, quick), (wanted, exact) = seen(False), seen(True)
    # Tissue, cells and thumbnail are the same to the bit.
    assert np.array_equal(opened.mask, wanted.mask) and np.array_equal(opened.picture, wanted.picture)
    assert opened.of_area == wanted.of_area
    difference = np.abs(quick.astype(int) - exact)
    assert 0 < difference.mean() < 3
    for tiles, flag in ((quick, False), (exact, True)):
        with open_slide(fine, exact_averaging=flag) as slide:
            cells = np.argwhere(opened.mask)
            for tile, cell in zip(tiles, cells, strict=True):
                xy = opened.grid.cell_xy((int(cell[0]), int(cell[1])))
                assert np.array_equal(tile, slide.read(xy, (SPEC.tile_px, SPEC.tile_px), opened.grid.mpp))


def test_a_store_never_mixes_exact_means_and_others(fine: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    compress(slides=[fine], encoder="colour", out=out)
    assert Store.open(out).settings.exact_averaging is False
    with pytest.raises(StoreError, match="exact_averaging False"):
        compress(slides=[fine], encoder="colour", out=out, exact_averaging=True)


def test_maps_of_versions_that_did_not_say_so_are_exact() -> None:
    from histonic.core.compressed import MapSettings

    assert MapSettings.model_validate({"orientations": 1}).exact_averaging is True
