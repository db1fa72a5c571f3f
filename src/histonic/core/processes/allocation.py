"""A bound on what a library may allocate while it reads a file that may be damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # Not on Windows; there nothing is bounded.
    resource = None  # type: ignore[assignment]

STATM = Path("/proc/self/statm")


@contextmanager
def allocating_at_most(extra: int) -> Iterator[None]:
    """Let this process grow by so many bytes at most, where the system can bound it (Linux).

    For libraries that believe the lengths in a damaged file and allocate them before they look: they then
    fail with an error of their own. The bound holds for all threads, so it is for short steps only.

    Args:
        extra: Bytes beyond what is mapped now.

    Example:
        >>> import numpy as np
        >>> with allocating_at_most(1_000_000_000):
        ...     len(bytearray(1000))
        1000
    """
    if resource is None or not STATM.is_file():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(STATM.read_text().split()[0]) * resource.getpagesize()
    bound = mapped + extra
    if soft != resource.RLIM_INFINITY:
        bound = min(bound, soft)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
