"""Work by several threads keeps order and errors, is bounded, and is not waited for once nobody reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from histonic.core.processes.threads import AHEAD, mapped_by_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_have_the_order_of_the_items(threads: int) -> None:
    assert list(mapped_by_threads(lambda number: -number, range(50), threads)) == [-n for n in range(50)]


def test_several_items_are_worked_on_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    assert list(mapped_by_threads(lambda _: both.wait() >= 0, range(4), threads=2)) == [True] * 4


def test_an_error_stands_where_its_result_would() -> None:
    results = mapped_by_threads(lambda number: 1 / number, [2, 1, 0, 4], threads=2)
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_items_are_taken_only_a_little_ahead() -> None:
    taken = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    results = mapped_by_threads(abs, endless(), threads=2)
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) <= 2 * (AHEAD + 1)
    results.close()


def test_nobody_waits_for_work_that_hangs() -> None:
    begun, released = threading.Event(), threading.Event()

    def hang(number: int) -> int:
        if number:
            begun.set()
            released.wait(30)
        return number

    results = mapped_by_threads(hang, [0, 1, 2, 3, 4, 5, 6, 7], threads=1)
    assert next(results) == 0 and begun.wait(10)
    worker = next(each for each in threading.enumerate() if each.name == "histonic-work")
    results.close()
    assert worker.is_alive() and worker.daemon
    released.set()
    worker.join(10)
    assert not worker.is_alive()
