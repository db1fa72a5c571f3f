"""Blocks are decoded once, in the order asked for, and no more of them are kept than allowed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from histonic.slides.formats.blocks import BlockCache, Key


class Recorder:
    def __init__(self) -> None:
        self.order: list[Key] = []
        self.threads: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, keys: Sequence[Key]) -> Iterator[np.ndarray]:
        for key in keys:
            with self._lock:
                self.order.append(key)
                self.threads.add(threading.current_thread().name)
            yield np.full(100, key.tile, np.uint8)


def keys(*indices: int) -> list[Key]:
    return [Key(0, index) for index in indices]


def one_by_one(decode: Callable[[Key], np.ndarray]) -> Callable[[Sequence[Key]], Iterator[np.ndarray]]:
    return lambda keys: map(decode, keys)


def test_blocks_come_in_the_order_asked_for_and_are_kept() -> None:
    record = Recorder()
    cache = BlockCache(record, limit_bytes=10_000)
    assert [int(block[0]) for block in cache.fetch(keys(3, 1, 3, 2))] == [3, 1, 3, 2]
    assert record.order == keys(3, 1, 2)
    cache.fetch(keys(1, 2, 3))
    assert cache.decoded == 3 == len(record.order)


def test_the_least_recently_used_goes_first() -> None:
    record = Recorder()
    cache = BlockCache(record, limit_bytes=300)
    cache.fetch(keys(1, 2, 3))
    cache.fetch(keys(1))
    cache.fetch(keys(4))  # 2 must go
    cache.fetch(keys(1, 3, 4))
    assert cache.decoded == 4
    cache.fetch(keys(2))
    assert cache.decoded == 5


def test_more_blocks_than_fit_still_come() -> None:
    cache = BlockCache(Recorder(), limit_bytes=150)
    assert [int(block[0]) for block in cache.fetch(keys(*range(50)))] == list(range(50))


def test_many_blocks_are_shared_among_threads() -> None:
    record = Recorder()
    cache = BlockCache(record, limit_bytes=10**6, threads=2)
    blocks = cache.fetch(keys(*range(200)))
    assert [int(block[0]) for block in blocks] == list(range(200))
    assert all(name.startswith("histonic-decode") for name in record.threads)
    cache.close()
    assert not any(thread.name.startswith("histonic-decode") for thread in threading.enumerate())


def test_errors_of_a_thread_reach_the_caller() -> None:
    def decode(key: Key) -> np.ndarray:
        if key.tile == 30:
            raise ValueError("damaged")
        return np.zeros(1, np.uint8)

    with pytest.raises(ValueError, match="damaged"):
        BlockCache(one_by_one(decode), 1000).fetch(keys(*range(60)))


def test_as_many_threads_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("histonic.slides.formats.blocks.usable_cores", lambda: 3)
    together = threading.Barrier(3)

    def decode(keys: Sequence[Key]) -> Iterator[np.ndarray]:
        together.wait(5)  # broken unless three are at work at a time
        return (np.zeros(1, np.uint8) for _ in keys)

    assert len(BlockCache(decode, 10**6).fetch(keys(*range(12)))) == 12


def test_threads_do_not_wait_for_what_others_decode() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def decode(key: Key) -> np.ndarray:
        if key.tile == 1:
            begun.set()
            assert go_on.wait(5)
        return np.full(10, key.tile, np.uint8)

    cache = BlockCache(one_by_one(decode), 10**6)
    slow = threading.Thread(target=cache.fetch, args=(keys(1),))
    slow.start()
    assert begun.wait(5)
    assert int(cache.fetch(keys(2))[0][0]) == 2 and slow.is_alive()
    go_on.set()
    slow.join(5)
    assert cache.missing(keys(1, 2)) == set()


def test_what_another_thread_decodes_is_waited_for() -> None:
    begun, go_on = threading.Event(), threading.Event()
    decoded: list[int] = []
    got: list[list[np.ndarray]] = []

    def decode(key: Key) -> np.ndarray:
        decoded.append(key.tile)
        begun.set()
        assert go_on.wait(5)
        return np.full(10, key.tile, np.uint8)

    cache = BlockCache(one_by_one(decode), 10**6)
    threads = [threading.Thread(target=lambda: got.append(cache.fetch(keys(7)))) for _ in range(3)]
    threads[0].start()
    assert begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert decoded == [7] and cache.decoded == 1 and len(got) == 3


def test_an_error_reaches_those_who_wait_and_what_was_given_up_is_decoded_by_them() -> None:
    begun, go_on = threading.Event(), threading.Event()
    found: dict[str, object] = {}
    tries: list[int] = []

    def decode(key: Key) -> np.ndarray:
        tries.append(key.tile)
        if key.tile == 1 and len(tries) == 1:
            begun.set()
            assert go_on.wait(5)
            raise ValueError("damaged")
        return np.full(10, key.tile, np.uint8)

    cache = BlockCache(one_by_one(decode), 10**6)

    def fetch(name: str, *wanted: int) -> None:
        try:
            found[name] = [int(block[0]) for block in cache.fetch(keys(*wanted))]
        except ValueError as error:
            found[name] = str(error)

    first = threading.Thread(target=fetch, args=("first", 1, 2))
    first.start()
    assert begun.wait(5)
    waiting = [
        threading.Thread(target=fetch, args=("same", 1)),
        threading.Thread(target=fetch, args=("given up", 2)),
    ]
    for thread in waiting:
        thread.start()
    while len(waited := [thread for thread in waiting if thread.is_alive()]) < 2:
        pass
    threading.Event().wait(0.05)  # so that both have asked
    go_on.set()
    for thread in [first, *waited]:
        thread.join(5)
    assert found == {"first": "damaged", "same": "damaged", "given up": [2]}
    assert [int(block[0]) for block in cache.fetch(keys(1, 2))] == [1, 2]


def test_much_is_dropped_at_a_rest_and_little_is_kept() -> None:
    cache = BlockCache(Recorder(), limit_bytes=1_000)
    cache.fetch(keys(1, 2, 3))
    cache.clear_beyond(300)
    assert cache.missing(keys(1, 2, 3)) == set()
    cache.clear_beyond(200)
    assert cache.missing(keys(1, 2, 3)) == set(keys(1, 2, 3))


def test_threads_may_share_a_cache() -> None:
    cache = BlockCache(Recorder(), limit_bytes=2_000)
    wrong = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(50):
            wanted = rng.integers(0, 60, 10)
            found = [int(block[0]) for block in cache.fetch(keys(*map(int, wanted)))]
            if found != list(wanted):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
