"""Decoded stored tiles, kept as long as memory allows, so that a pass decodes each of them once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.core.processes.cores import usable_cores

Block = npt.NDArray[np.uint8]
DECODED_AHEAD = 16
FEW = 4
"""Blocks that the asking thread decodes itself: handing over each alone costs as much as decoding it."""


class Key(NamedTuple):
    """Which block: the stored level, the stored tile, and how many of its pixels become one along a side."""

    level: int
    tile: int
    factor: int = 1


class _Coming:
    """A block that a thread is about to decode.

    Attributes:
        block: Its pixels once they are there.
        error: What came instead of them.
        given_up: Whether the thread stopped before it came to it.
    """

    __slots__ = ("block", "error", "given_up")

    def __init__(self) -> None:
        self.block: Block | None = None
        self.error: BaseException | None = None
        self.given_up = False

    def is_over(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.block is not None or self.error is not None or self.given_up


class BlockCache:
    """Decoded blocks by key, the least recently used dropped first.

    Threads may share it, and do not wait for each other's decoding; but a block that one of them decodes
    already is waited for by the others.

    Args:
        decode: Gives the blocks of some keys one after the other; called from several threads at once.
        limit_bytes: Most bytes kept.
        threads: Threads that decode; None for as many as there are cores.

    Attributes:
        decoded: Blocks decoded so far.

    Example:
        >>> cache = BlockCache(lambda keys: (np.full(10, key.tile, np.uint8) for key in keys), 20)
        >>> [int(block[0]) for block in cache.fetch([Key(0, 5), Key(0, 6), Key(0, 5)])], cache.decoded
        ([5, 6, 5], 2)
    """

    def __init__(
        self,
        decode: Callable[[Sequence[Key]], Iterable[Block]],
        limit_bytes: int,
        threads: int | None = None,
    ) -> None:
        self.decoded = 0
        self.limit_bytes = limit_bytes
        self._decode = decode
        self._threads = threads or usable_cores()
        self._blocks: OrderedDict[Key, Block] = OrderedDict()
        self._coming: dict[Key, _Coming] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self._over = threading.Condition(self._lock)
        self._pool: ThreadPoolExecutor | None = None

    def fetch(self, keys: Sequence[Key]) -> list[Block]:
        """Blocks in the order of ``keys``; what is missing is decoded in that order, by several threads."""
        ready: dict[Key, Block] = {}
        while len(missing := [key for key in dict.fromkeys(keys) if key not in ready]):
            mine, theirs = self._shared_out(missing, ready)
            if mine:
                self._decode_all(mine, ready)
            for key, coming in theirs.items():
                block = self._wait_for(coming)
                if block is not None:  # else, with the next round, it is this thread's own
                    ready[key] = block
        return [ready[key] for key in keys]

    def _shared_out(
        self, keys: Sequence[Key], ready: dict[Key, Block]
    ) -> tuple[dict[Key, _Coming], dict[Key, _Coming]]:
        """Take what is kept; of the rest, what this thread is to decode, and what others decode already."""
        mine, theirs = {}, {}
        with self._lock:
            for key in keys:
                if key in self._blocks:
                    self._blocks.move_to_end(key)
                    ready[key] = self._blocks[key]
                elif key in self._coming:
                    theirs[key] = self._coming[key]
                else:
                    mine[key] = self._coming[key] = _Coming()
        return mine, theirs

    def _wait_for(self, coming: _Coming) -> Block | None:
        with self._over:
            self._over.wait_for(coming.is_over)
        if coming.error is not None:
            raise coming.error
        return coming.block

    def missing(self, keys: Iterable[Key]) -> set[Key]:
        """Those of the keys whose blocks are not kept."""
        with self._lock:
            return {key for key in keys if key not in self._blocks}

    def _decode_all(self, mine: dict[Key, _Coming], ready: dict[Key, Block]) -> None:
        try:
            self._hand_over(list(mine.items()))
        finally:
            with self._over:
                for key, coming in mine.items():
                    del self._coming[key]
                    coming.given_up = not coming.is_over()
                    if coming.block is not None:
                        ready[key] = coming.block
                        self._keep(key, coming.block)
                self._over.notify_all()

    def _hand_over(self, blocks: list[tuple[Key, _Coming]]) -> None:
        if len(blocks) < FEW or self._threads == 1:
            self._decode_part(blocks)
            return
        step = min(DECODED_AHEAD, max(2, -(-len(blocks) // self._threads)))
        pool = self._opened_pool()
        parts = [
            pool.submit(self._decode_part, blocks[start : start + step])
            for start in range(0, len(blocks), step)
        ]
        try:
            wait(parts, return_when=FIRST_EXCEPTION)
        finally:
            for part in parts:
                part.cancel()
            wait(parts)  # those that are at work already
        for part in parts:
            if not part.cancelled():
                part.result()

    def _opened_pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, "histonic-decode")
            return self._pool

    def _decode_part(self, blocks: Sequence[tuple[Key, _Coming]]) -> None:
        decoded: Iterator[Block] = iter(self._decode([key for key, _ in blocks]))
        for _, coming in blocks:
            try:
                coming.block = next(decoded)
            except BaseException as error:
                coming.error = error
                raise
        with self._over:
            self._over.notify_all()

    def _keep(self, key: Key, block: Block) -> None:
        self.decoded += 1
        self._blocks[key] = block
        self._bytes += block.nbytes
        self._drop_beyond(self.limit_bytes, at_least=1)

    def _drop_beyond(self, limit_bytes: int, at_least: int = 0) -> None:
        while self._bytes > limit_bytes and len(self._blocks) > at_least:
            _, dropped = self._blocks.popitem(last=False)
            self._bytes -= dropped.nbytes

    def clear_beyond(self, limit_bytes: int) -> None:
        """Drop all blocks if they take more than so many bytes."""
        with self._lock:
            if self._bytes > limit_bytes:
                self._drop_beyond(0)

    def close(self) -> None:
        """Drop all blocks and end the threads."""
        with self._lock:
            self._drop_beyond(-1)
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
