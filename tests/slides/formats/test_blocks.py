"""Blocks are decoded once, in the order asked for, and no more of them are kept than allowed."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from histonic.slides.formats.blocks import BlockCache, Key


class Recorder:
    def __init__(self) -> None:
        self.order: list[Key] = []
        self.threads: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, key: Key) -> np.ndarray:
        with self._lock:
            self.order.append(key)
            self.threads.add(threading.current_thread().name)
        return np.full(100, key[1], np.uint8)


def keys(*indices: int) -> list[Key]:
    return [(0, index) for index in indices]


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
        if key[1] == 30:
            raise ValueError("damaged")
        return np.zeros(1, np.uint8)

    with pytest.raises(ValueError, match="damaged"):
        BlockCache(decode, 1000).fetch(keys(*range(60)))


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
