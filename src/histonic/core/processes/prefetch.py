"""Threads that work ahead of what uses their items."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Raised:
    error: BaseException


def prefetched(items: Iterator[T], ahead: int) -> Iterator[T]:
    """Run an iterator in a thread of its own, at most ``ahead`` items in front of the reader.

    Closing the returned generator, or an error in the reader's loop, ends the thread; it closes a generator
    that it runs.

    Example:
        >>> list(prefetched(iter("abc"), ahead=2))
        ['a', 'b', 'c']
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()
    end = object()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(end)
        except BaseException as error:  # noqa: BLE001 - handed over and raised by the reader
            put(_Raised(error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=run, daemon=True, name="histonic-prefetch")
    thread.start()
    try:
        while (item := waiting.get()) is not end:
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        thread.join()


def made_ahead(
    items: Iterable[T], make: Callable[[T], R], ahead: int, drop: Callable[[R], None]
) -> Iterator[R]:
    """What a function makes of items, in their order; threads make the next ones while one is used.

    Items are drawn by the reader's own thread, at most ``ahead`` of them before they are asked for.

    Args:
        items: What is made of.
        make: Called by threads.
        ahead: Most results that are made, or being made, in front of the reader.
        drop: Called with each result that the reader did not come to.

    Example:
        >>> list(made_ahead("abc", str.upper, 1, drop=print))
        ['A', 'B', 'C']
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(ahead, "histonic-ahead")
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        for made in waiting:
            if not made.cancelled() and made.exception() is None:
                drop(made.result())
