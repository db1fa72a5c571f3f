"""What every executor fulfils: order, errors, progress, logs, an end for all that was begun."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fixtures.clusters import running_cluster
from fixtures.pieces import do, prepare
from histonic.core.errors import SlideError
from histonic.core.progress import Listener
from histonic.training.executors.base import Executor, Job, Message, _Relay
from histonic.training.executors.choice import open_executor
from histonic.training.executors.pieces import WorkError

Opened = Callable[..., Executor[str, str]]


class Heard(Listener):
    def __init__(self) -> None:
        self.steps, self.lines, self.notes = 0, list[str](), list[str]()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.steps += steps
        self.notes.append(note)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def stage(self, name: str, total: int | None = None) -> None:
        raise AssertionError("stages of pieces are not heard")


@pytest.fixture(
    params=["this process", *(pytest.param(each, marks=pytest.mark.long) for each in ("local", "cluster"))]
)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    def of(
        progress: Listener | None = None, cluster: str | None = None, workers: int = 1
    ) -> Executor[str, str]:
        job = Job("Do pieces.", partial(prepare, tmp_path), do)
        return open_executor(
            job, progress, cluster=cluster, device="cpu", workers=workers, reads=[tmp_path], writes=tmp_path
        )

    if request.param == "cluster":
        with running_cluster(tmp_path / "cluster", 2) as cluster:
            yield partial(of, cluster=str(cluster.file))
    else:
        yield partial(of, workers=2 if request.param == "local" else 1)


def test_the_contract(opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    with opened(heard) as executor:
        assert list(executor.results([])) == []
        assert executor.submit("alone").result(timeout=60) == "ALONE"
        with caplog.at_level(logging.WARNING, "histonic"):
            found = list(executor.results(["slow", "b", "logging", "d", "e", "f", "g", "h", "i"]))
        assert found == ["SLOW", "B", "LOGGING", "D", "E", "F", "G", "H", "I"]
        assert heard.steps == 2 * 10
        assert {"slow said", "b said", "i said"} <= set(heard.lines)
        assert "watch logging" in caplog.messages
        with pytest.raises(SlideError, match="Make it right") as raised:
            list(executor.results(["wrong", "long"]))
        assert raised.value.asked == "Do it."
    assert 1 <= len(list(tmp_path.glob("prepared-*"))) <= 2


def test_an_error_that_nobody_foresaw_ends_all(opened: Opened, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises((WorkError, LookupError), match="no such thing"), opened() as executor:
        list(executor.results(["a", "odd", "long", "long 2", "long 3"]))
    assert time.monotonic() - began < 90
    time.sleep(0.5)
    assert not (tmp_path / "ended").exists()


def test_a_listener_that_interrupts_ends_all(opened: Opened, tmp_path: Path) -> None:
    class Stopping(Listener):
        is_vital = True

        def advance(self, steps: int = 1, note: str = "") -> None:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), opened(Stopping()) as executor:
        list(executor.results(["long", "long 2", "long 3"]))
    assert time.monotonic() - began < 90
    assert not (tmp_path / "ended").exists()


def test_pieces_are_handed_in_a_few_ahead(opened: Opened) -> None:
    taken = 0

    def pieces() -> Iterator[str]:
        nonlocal taken
        for number in range(10_000):
            taken = number
            yield f"piece {number}"

    with opened() as executor:
        results = executor.results(pieces())
        assert next(results) == "PIECE 0"
        assert taken < 40


def test_a_piece_that_is_begun_again_tells_only_what_is_new() -> None:
    heard = Heard()
    relay = _Relay(heard)
    relay.names[0] = "fold 1"
    for attempt, name, words in [
        ("a", "begun", ("worker one",)),
        ("a", "advance", (3, "")),
        ("b", "begun", ("worker two",)),
        ("a", "advance", (5, "")),
        ("b", "advance", (2, "")),
        ("b", "advance", (4, "")),
        ("b", "over", ()),
    ]:
        relay.hear(Message(0, attempt, name, words))
    assert heard.steps == 6
    assert heard.lines == ["fold 1: worker one was lost, and it is begun again on worker two"]
    relay.done[0] = time.monotonic()
    assert relay.has_said_all(0)
