"""Ranges of a file that lie near each other, read by one call, as disks on a network answer few calls."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

MOST_GAP_BYTES = 65_536
MOST_SPAN_BYTES = 1_000_000
Range = tuple[int, int]


def joined_spans(
    ranges: Iterable[Range], gap: int = MOST_GAP_BYTES, most: int = MOST_SPAN_BYTES
) -> list[Range]:
    """Spans (start, stop) that hold some ranges (offset, count), each range in one span.

    Args:
        ranges: In any order; they may overlap.
        gap: Most bytes that are read in vain between two ranges.
        most: Most bytes of a span of several ranges.

    Example:
        >>> joined_spans([(100, 20), (0, 50), (60, 30)], gap=10), joined_spans([(0, 50), (50, 50)], most=60)
        ([(0, 120)], [(0, 50), (50, 100)])
    """
    spans: list[Range] = []
    for offset, count in sorted(set(ranges)):
        stop = offset + count
        if spans and offset - spans[-1][1] <= gap and max(stop, spans[-1][1]) - spans[-1][0] <= most:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((offset, stop))
    return spans


class NearReads:
    """Gives bytes of ranges that were named before, in their order; near ones were read by one call.

    Args:
        read: Gives bytes from an offset on, so many; fewer at the end of the file.
        ranges: Those that will be asked for.
        held: Most spans kept at a time.

    Example:
        >>> file, calls = bytes(range(100)), []
        >>> near = NearReads(lambda at, n: (calls.append((at, n)), file[at : at + n])[1], [(10, 3), (20, 2)])
        >>> list(near(10, 3)), list(near(20, 2)), calls
        ([10, 11, 12], [20, 21], [(10, 12)])
    """

    def __init__(self, read: Callable[[int, int], bytes], ranges: Iterable[Range], held: int = 1) -> None:
        self._read = read
        self._spans = joined_spans(ranges)
        self._starts = [start for start, _ in self._spans]
        self._most_held = held
        self._held: OrderedDict[int, bytes] = OrderedDict()

    def __call__(self, offset: int, count: int) -> bytes:
        """Bytes of a range that was named."""
        start, stop = self._spans[bisect_right(self._starts, offset) - 1]
        data = self._held.get(start)
        if data is None:
            while len(self._held) >= self._most_held:
                self._held.popitem(last=False)
            data = self._held[start] = self._read(start, stop - start)
        return data[offset - start : offset - start + count]


def read_at(handle: Any, offset: int, count: int) -> bytes:
    """Bytes of an open file from ``offset`` on, fewer at its end; threads may read at the same time."""
    if not hasattr(os, "pread"):
        with handle.lock:
            handle.seek(offset)
            return bytes(handle.read(count))
    data = os.pread(handle.fileno(), count, offset)
    # Some file systems give less than there is.
    while len(data) < count and (more := os.pread(handle.fileno(), count - len(data), offset + len(data))):
        data += more
    return data
