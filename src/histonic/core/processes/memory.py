"""What the process does with memory that it has freed."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names in malloc.h."""
KEPT_BYTES = 1 << 30


def keep_memory() -> None:
    """Let the C library keep large blocks that are freed, instead of handing them back to the system.

    Each batch of tiles or maps asks for tens of megabytes anew; with glibc's defaults the system then clears
    every page of them each time, which can take longer than the arithmetic. Elsewhere this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # Older versions take no more than 32 MiB; where they refuse, nothing must be set.
    if mallopt is not None and (mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) or mallopt(M_MMAP_THRESHOLD, 32 << 20)):
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
