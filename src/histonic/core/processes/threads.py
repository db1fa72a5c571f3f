"""The same work for many items, several at once, with results in the order of the items."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""Items a thread that are begun or done before the reader has taken the first of them."""


def mapped_by_threads(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Results of the items in their order, worked out by several threads, a little ahead of the reader.

    An error of an item is raised where its result would come. Closing the returned generator, or an error in
    the reader's loop, begins nothing more, and waits for nothing: what a thread is at ends with the process
    at the latest.

    Args:
        work: Called once for each item, by several threads at once.
        items: Taken one by one, as far ahead as threads need them.
        threads: How many work, at least 1.

    Example:
        >>> list(mapped_by_threads(str.upper, "abc", threads=2))
        ['A', 'B', 'C']
    """
    jobs: queue.SimpleQueue[tuple[Future[R], T] | None] = queue.SimpleQueue()
    stopped = threading.Event()
    begun = 0
    waiting: deque[Future[R]] = deque()

    def run() -> None:
        while (job := jobs.get()) is not None and not stopped.is_set():
            result, item = job
            try:
                result.set_result(work(item))
            except BaseException as error:  # noqa: BLE001 - raised where the reader takes the result
                result.set_exception(error)

    try:
        for item in items:
            waiting.append(Future())
            jobs.put((waiting[-1], item))
            if begun < threads:
                begun += 1
                # Not an executor: the interpreter waits for its threads before it ends.
                threading.Thread(target=run, daemon=True, name="histonic-work").start()
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stopped.set()
        for _ in range(begun):
            jobs.put(None)
