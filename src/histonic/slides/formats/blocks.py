"""Decoded stored tiles, kept as long as memory allows, so that a pass decodes each of them once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

Key = tuple[int, int]
Block = npt.NDArray[np.uint8]
DECODE_THREADS = 2
DECODED_AHEAD = 16


class BlockCache:
    """Decoded blocks by (level, index), the least recently used dropped first; threads may share it.

    Args:
        decode: Makes the block of a key; called from several threads at once.
        limit_bytes: Most bytes kept.
        threads: Threads that decode.

    Attributes:
        decoded: Blocks decoded so far.

    Example:
        >>> cache = BlockCache(lambda key: np.full(10, key[1], np.uint8), limit_bytes=20)
        >>> [int(block[0]) for block in cache.fetch([(0, 5), (0, 6), (0, 5)])], cache.decoded
        ([5, 6, 5], 2)
    """

    def __init__(
        self, decode: Callable[[Key], Block], limit_bytes: int, threads: int = DECODE_THREADS
    ) -> None:
        self.decoded = 0
        self.limit_bytes = limit_bytes
        self._decode = decode
        self._threads = threads
        self._blocks: OrderedDict[Key, Block] = OrderedDict()
        self._bytes = 0
        self._lock = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None

    def fetch(self, keys: Sequence[Key]) -> list[Block]:
        """Blocks in the order of ``keys``; what is missing is decoded in that order, by several threads."""
        with self._lock:
            ready = {key: self._blocks[key] for key in keys if key in self._blocks}
            for key in ready:
                self._blocks.move_to_end(key)
            missing = [key for key in dict.fromkeys(keys) if key not in ready]
            for key, block in zip(missing, self._decode_all(missing), strict=True):
                ready[key] = block
                self._keep(key, block)
            return [ready[key] for key in keys]

    def missing(self, keys: Iterable[Key]) -> set[Key]:
        """Those of the keys whose blocks are not kept."""
        with self._lock:
            return {key for key in keys if key not in self._blocks}

    def _decode_all(self, keys: list[Key]) -> list[Block]:
        if len(keys) < 2 * self._threads:
            return [self._decode(key) for key in keys]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "histonic-decode")
        # Several tiles a task: handing over each tile alone costs as much as decoding it.
        step = min(DECODED_AHEAD, -(-len(keys) // self._threads))
        parts = [keys[start : start + step] for start in range(0, len(keys), step)]
        return [block for blocks in self._pool.map(self._decode_part, parts) for block in blocks]

    def _decode_part(self, keys: list[Key]) -> list[Block]:
        return [self._decode(key) for key in keys]

    def _keep(self, key: Key, block: Block) -> None:
        self.decoded += 1
        self._blocks[key] = block
        self._bytes += block.nbytes
        while self._bytes > self.limit_bytes and len(self._blocks) > 1:
            _, dropped = self._blocks.popitem(last=False)
            self._bytes -= dropped.nbytes

    def close(self) -> None:
        """Drop all blocks and end the threads."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0
            if self._pool is not None:
                self._pool.shutdown()
                self._pool = None
