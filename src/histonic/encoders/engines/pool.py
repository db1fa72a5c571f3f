"""Tiles through an encoder on all cores: each takes parts of its own, so that none waits for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from histonic.core.compressed import EncodingDescription

Codes = npt.NDArray[np.float32]
Tiles = npt.NDArray[np.uint8]
Encode = Callable[[Tiles], Codes]
Before = Callable[[Tiles], Tiles]


class PendingCodes:
    """Codes that are being computed, part by part."""

    def __init__(self, parts: Sequence[Future[Codes]], code_size: int) -> None:
        self._parts = parts
        self._code_size = code_size

    def result(self) -> Codes:
        """The codes ``(N, D)``, when all are there; raises what the encoder raised."""
        done = [part.result() for part in self._parts]
        return np.concatenate(done) if done else np.zeros((0, self._code_size), np.float32)

    def cancel(self) -> None:
        """Drop what was not begun."""
        for part in self._parts:
            part.cancel()


class EncodingPool:
    """An encoder at work on several threads, each with one core and whole parts of tiles.

    A network that spreads every layer over all cores waits after each of them for the slowest; where another
    process has a core for a while, all wait. Parts that each run on one core through all layers never wait.

    Args:
        encode: Codes of a part; called by several threads at once.
        description: Of how it is done.
        code_size: D.
        workers: Threads.
        threads: Threads of the arithmetic inside each of them; None leaves it as it is.
    """

    def __init__(
        self,
        encode: Encode,
        description: EncodingDescription,
        code_size: int,
        *,
        workers: int,
        threads: int | None = 1,
    ) -> None:
        self.description = description
        self.workers = workers
        self._encode = encode
        self._code_size = code_size
        self._threads_before = torch.get_num_threads()
        self._threads = threads
        self._pool = ThreadPoolExecutor(workers, "histonic-encode", self._begin)

    def _begin(self) -> None:
        # The number of threads is a matter of each thread that computes.
        if self._threads is not None:
            torch.set_num_threads(self._threads)

    def submit(self, tiles: Tiles, before: Before | None = None) -> PendingCodes:
        """Begin to encode tiles.

        Args:
            tiles: uint8 ``(N, H, W, 3)``; must not be changed until the codes are there.
            before: What is done to each part first, by the thread that encodes it; None: nothing.
        """
        encode = self._encode if before is None else lambda part: self._encode(before(part))
        size = self.description.batch
        parts = [
            self._pool.submit(encode, tiles[start : start + size]) for start in range(0, len(tiles), size)
        ]
        return PendingCodes(parts, self._code_size)

    def encode(self, tiles: Tiles) -> Codes:
        """Codes ``(N, D)`` float32 of tiles."""
        return self.submit(tiles).result()

    def close(self) -> None:
        """End the threads; what was not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)
        if self._threads is not None:
            torch.set_num_threads(self._threads_before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
