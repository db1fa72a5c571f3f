"""Reading ahead keeps order and errors, and ends with its reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from histonic.core.processes.prefetch import prefetched


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
