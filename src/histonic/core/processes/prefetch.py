"""A thread that reads ahead of what uses its items."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Raised:
    error: BaseException


def prefetched(items: Iterator[T], ahead: int) -> Iterator[T]:
    """Run an iterator in a thread of its own, at most ``ahead`` items in front of the reader.

    Closing the returned generator, or an error in the reader's loop, ends the thread.

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
