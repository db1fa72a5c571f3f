"""Slides that other runs hold wait, and what those did meanwhile is not done again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from histonic.core.claims import Claims
from histonic.core.progress import Silent
from histonic.data.maps.failures import Failure, write_failure
from histonic.data.tables.slide_lists import SlideRow
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress import sharing
from histonic.stages.compress.compress import compress
from histonic.stages.compress.destination import Destination
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.compress.sharing import SharedSlides, state_of


@pytest.fixture
def rows(tmp_path: Path) -> list[SlideRow]:
    rng = np.random.default_rng(0)
    for name in "abc":
        image = np.full((600, 600, 3), 245, np.uint8)
        noise = rng.integers(-30, 30, (400, 400, 1))
        image[100:500, 100:500] = np.array([190, 110, 170]) + noise
        write_pyramid(tmp_path / "slides" / f"{name}.tif", image, mpp=0.5)
    (tmp_path / "store").mkdir()
    return [SlideRow(name, tmp_path / "slides" / f"{name}.tif") for name in "abc"]


@pytest.fixture
def settings(tmp_path: Path) -> CompressSettings:
    return CompressSettings(out=tmp_path / "store", encoder="mean-rgb")


def into(claims: Claims, settings: CompressSettings) -> Destination:
    return Destination(settings.folder, settings.folder, claims)


def names(rows: list[SlideRow]) -> list[str]:
    return [row.slide_id for row in rows]


def test_what_another_run_holds_waits_until_it_is_given_back(
    rows: list[SlideRow], settings: CompressSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    done: list[str] = []

    class Listener(Silent):
        def say(self, line: str) -> None:
            said.append(line)

        def doing(self, note: str, share: float = 0.0) -> None:
            done.append(note)

    monkeypatch.setattr(sharing, "WAIT_S", 0)
    with Claims(settings.out) as mine, Claims(settings.out) as other:
        other.take("slide-b")
        slides = SharedSlides(rows, settings, into(mine, settings))
        assert names(list(slides.take())) == ["a", "c"] and names(slides.waiting) == ["b"]
        slides.wait(Listener())
        slides.wait(Listener())
        assert len(said) == 1 and "waiting for b, on which process" in said[0]
        assert done == ["waiting for b"] * 2  # by which who waits can be stopped
        other.release("slide-b")
        assert names(list(slides.take())) == ["b"] and not slides.waiting


def test_maps_and_failures_of_other_runs_are_taken_over(
    rows: list[SlideRow], settings: CompressSettings
) -> None:
    write_failure(settings.out, Failure("c", "c.tif", "open", "from an earlier run"))
    with Claims(settings.out) as mine:
        slides = SharedSlides(rows, settings, into(mine, settings))
        compress(slides=[rows[0].path], encoder="mean-rgb", out=settings.out)
        write_failure(settings.out, Failure("b", "b.tif", "tiles", "damaged"))
        assert names(list(slides.take())) == ["c"], "an earlier failure is tried again"
        assert names(slides.skipped) == ["a"]
        assert slides.elsewhere == [Failure("b", "b.tif", "tiles", "damaged")]
        assert mine.holder("slide-a") is None and mine.holder("slide-b") is None


def test_states(rows: list[SlideRow], settings: CompressSettings, tmp_path: Path) -> None:
    a, b, _ = rows
    assert state_of(a, settings) == "absent"
    compress(slides=[a.path], encoder="mean-rgb", out=settings.out)
    assert state_of(a, settings) == "done"
    assert state_of(SlideRow("a", a.path, 0.25), settings) == "outdated"
    assert state_of(SlideRow("a", a.path, None, b.path), settings) == "outdated"
    assert state_of(SlideRow("a", b.path), settings) == "other file"
    (settings.out / "a.zarr/mask/c/0/0").unlink()
    assert state_of(a, settings) == "outdated"


def test_runs_that_come_later_begin_elsewhere_in_the_list(
    rows: list[SlideRow], settings: CompressSettings
) -> None:
    orders = []
    with Claims(settings.out) as mine, Claims(settings.out) as other:
        for number in range(4):
            orders.append(names(SharedSlides(rows, settings, into(mine, settings)).waiting))
            assert other.take(f"{sharing.RUN}{number}") and other.take(f"{sharing.SLIDE}{number}")
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["a", "b", "c"], ["c", "a", "b"]]


def test_a_map_that_another_run_made_meanwhile_costs_neither_a_claim_nor_the_slide(
    rows: list[SlideRow], settings: CompressSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Claims(settings.out) as mine:
        slides = SharedSlides(rows, settings, into(mine, settings))
        elsewhere = SharedSlides([replace(rows[1], path=rows[0].path)], settings, into(mine, settings))
        compress(slides=[row.path for row in rows[:2]], encoder="mean-rgb", out=settings.out)
        claimed: list[str] = []
        assert slides.settled_by_others() == 0
        monkeypatch.setattr(mine, "take", lambda name: claimed.append(name) or True)
        monkeypatch.setattr(sharing, "fingerprint_file", lambda path: pytest.fail(f"{path} was read"))
        assert names(list(slides.take())) == ["c"] and claimed == ["slide-c"]
        assert slides.settled_by_others() == 2 and slides.settled_by_others() == 0
        monkeypatch.undo()
        # Of the same name, but made of another file: refused, as ever.
        assert list(elsewhere.take()) == [] and names([each.row for each in elsewhere.refused]) == ["b"]


def test_a_map_made_meanwhile_is_not_enough_where_the_slide_is_to_be_read_otherwise(
    rows: list[SlideRow], settings: CompressSettings
) -> None:
    with Claims(settings.out) as mine:
        slides = SharedSlides([replace(rows[0], mpp=0.25)], settings, into(mine, settings))
        compress(slides=[rows[0].path], encoder="mean-rgb", out=settings.out)
        assert names(list(slides.take())) == ["a"]


def test_many_that_wait_look_more_rarely(
    rows: list[SlideRow], settings: CompressSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(sharing.time, "sleep", slept.append)
    with Claims(settings.out) as mine:
        slides = SharedSlides(rows, settings, into(mine, settings))
        for count in (1, 3, 1000):
            slides.waiting = [rows[0]] * count
            slides.wait(Silent())
    assert slept == pytest.approx([1.1, 1.3, 10])
