"""What was read lately, in a bounded number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable


class ByteCache:
    """Keeps values of known size and drops those that were not asked for longest.

    Safe for several threads.

    Args:
        most_bytes: All values together; what is larger alone is not kept.

    Example:
        >>> cache = ByteCache(10)
        >>> cache.put("a", b"12345"); cache.put("b", b"12345"); cache.get("a"); cache.put("c", b"12345")
        b'12345'
        >>> cache.get("b") is None, cache.held_bytes
        (True, 10)
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._held: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> bytes | None:
        """A value, or None."""
        with self._lock:
            value = self._held.get(key)
            if value is not None:
                self._held.move_to_end(key)
            return value

    def put(self, key: Hashable, value: bytes) -> None:
        """Keep a value."""
        with self._lock:
            before = self._held.pop(key, None)
            self.held_bytes -= len(before) if before is not None else 0
            if len(value) > self.most_bytes:
                return
            self._held[key] = value
            self.held_bytes += len(value)
            while self.held_bytes > self.most_bytes:
                _, dropped = self._held.popitem(last=False)
                self.held_bytes -= len(dropped)
