"""Reading ahead keeps order and errors, and ends with its reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from histonic.core.processes.prefetch import made_ahead, prefetched


def test_prefetch_keeps_order() -> None:
    assert list(prefetched(iter(range(50)), ahead=3)) == list(range(50))


def test_prefetch_hands_over_errors_after_the_items() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("at two")

    seen = []
    with pytest.raises(ValueError, match="at two"):
        for item in prefetched(broken(), ahead=2):
            seen.append(item)
    assert seen == [1]


def test_prefetch_is_bounded_and_ends_with_its_reader() -> None:
    made = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            made.append(number)
            yield number
            number += 1

    before = threading.active_count()
    items = prefetched(endless(), ahead=2)
    next(items)
    time.sleep(0.2)
    assert len(made) <= 5
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_generator_is_closed_with_its_reader() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    ahead = prefetched(items(), ahead=2)
    assert next(ahead) == 0
    ahead.close()  # type: ignore[attr-defined]
    assert closed.is_set()


@pytest.mark.parametrize("ahead", [1, 2])
def test_the_next_are_made_while_one_is_used_and_no_more(ahead: int) -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(6):
            drawn.append(number)
            yield number

    # One a number: of two threads that wait for one gate, either may pass.
    gates = [threading.Semaphore(0) for _ in range(6)]

    def make(number: int) -> int:
        assert gates[number].acquire(timeout=5)
        return number * number

    made = made_ahead(items(), make, ahead, drop=lambda _: None)
    for number in range(6):
        gates[number].release()
        assert next(made) == number * number
        assert len(drawn) == min(6, number + 1 + ahead)
    assert next(made, None) is None


def test_what_was_made_in_vain_is_dropped() -> None:
    dropped: list[int] = []
    made = made_ahead(range(100), lambda number: number, 2, drop=dropped.append)
    assert [next(made), next(made)] == [0, 1]
    made.close()  # type: ignore[attr-defined]
    assert set(dropped) <= {2, 3}
    assert not any(thread.name.startswith("histonic-ahead") for thread in threading.enumerate())


def test_an_error_comes_in_its_turn_and_the_rest_is_dropped() -> None:
    dropped: list[int] = []

    def make(number: int) -> int:
        if number == 1:
            raise ValueError("at one")
        return number

    made = made_ahead(range(5), make, 1, drop=dropped.append)
    assert next(made) == 0
    with pytest.raises(ValueError, match="at one"):
        next(made)
    assert set(dropped) <= {2}
