"""Memory of this process: how much it may still take, and what it does with what it has freed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from histonic.core.processes.cores import CGROUP

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Names in malloc.h."""
KEPT_BYTES = 1 << 30
MEMINFO, OWN_GROUP = Path("/proc/meminfo"), Path("/proc/self/cgroup")


def keep_memory(heaps: int = 0) -> None:
    """Let the C library keep large blocks that are freed, instead of handing them back to the system.

    Each batch of tiles or maps asks for tens of megabytes anew; with glibc's defaults the system then clears
    every page of them each time, which can take longer than the arithmetic. Elsewhere this does nothing.

    Args:
        heaps: Heaps that all threads share which begin after this call. What one keeps serves no other, and
            the library would make up to eight a core. 1 also keeps what threads free, and is good where few
            threads ask for few and large blocks. 0 leaves it to the library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # Older versions take no more than 32 MiB; where they refuse, nothing must be set.
    if mallopt is not None and (mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) or mallopt(M_MMAP_THRESHOLD, 32 << 20)):
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        if heaps:
            mallopt(M_ARENA_MAX, heaps)


def release_memory() -> None:
    """Hand back to the system what was freed and kept (:func:`keep_memory`), where the C library is glibc.

    Every thread that ever asked for memory has a heap of its own, and what one keeps serves no other: of many
    slides in a row each would add a little. Between slides the pages cost a few milliseconds to get again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def free_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP, own_group: Path = OWN_GROUP) -> int | None:
    """Memory that this process can still take without anything being swapped out or ended.

    Args:
        meminfo: Where the system says what is available (Linux); elsewhere half of what is built in counts.
        cgroup: Where the system shows the limits of containers and batch jobs (version 1 or 2).
        own_group: Which of them are this process's own.

    Returns:
        Bytes; None if the system does not tell.

    Example:
        >>> free = free_bytes()
        >>> free is None or free > 0
        True
    """
    bounds = [*_groups_left(cgroup, own_group)]
    available = _available(meminfo)
    if available is not None:
        bounds.append(available)
    return max(0, min(bounds)) if bounds else None


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _groups_left(cgroup: Path, own_group: Path) -> Iterator[int]:
    """What is left below the limit of each group that this process is in."""
    for folder, limit, used, cache in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for group in _group_folders(folder, own_group):
            try:
                most = int((group / limit).read_text())
                now = int((group / used).read_text())
            except (OSError, ValueError):  # "max" is no limit
                continue
            # Pages of files that nobody looked at of late are given up for what is asked for.
            yield most - max(0, now - _statistic(group / "memory.stat", cache))


def _group_folders(folder: Path, own_group: Path) -> list[Path]:
    """The folder of all groups, and those from it down to this process's group."""
    found = [folder]
    try:
        lines = own_group.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, kinds, path = (*line.split(":", 2), "", "")[:3]
        if kinds in ("", "memory"):
            for part in Path(path.lstrip("/")).parts:
                if part != ".." and (found[-1] / part).is_dir():
                    found.append(found[-1] / part)
    return found


def _statistic(path: Path, name: str) -> int:
    try:
        rows = (line.split() for line in path.read_text().splitlines())
        return next(int(row[1]) for row in rows if row and row[0] == name)
    except (OSError, StopIteration, ValueError, IndexError):
        return 0
