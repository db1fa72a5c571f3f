"""What this process and those it started take of the machine, and how busy others keep it meanwhile."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
EVERY_S = 0.1


def resident_bytes(pid: int, proc: Path = PROC) -> int:
    """Resident memory of a process and all its descendants, pages that they share counted in each.

    Args:
        pid: The process.
        proc: Where the system shows its processes (Linux).

    Returns:
        0 where the system does not tell, or the process is gone.

    Example:
        >>> resident_bytes(-1)
        0
    """
    total = 0
    waiting, seen = [pid], set()
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        total += _own_bytes(proc / str(each))
        waiting += children(each, proc)
    return total


def _own_bytes(folder: Path) -> int:
    try:
        lines = (folder / "status").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmRSS:")), "0")
    return int(kilobytes) * 1024


def children(pid: int, proc: Path = PROC) -> list[int]:
    """Processes that a process has started; none where the system does not tell."""
    found: list[int] = []
    try:
        for thread in (proc / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except OSError:
        return found
    return found


def _busy_s(proc: Path) -> float | None:
    """Seconds of all cores that all programs have worked since the machine started."""
    try:
        fields = (proc / "stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, irq, soft = map(int, fields[:7])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + soft) / TICKS


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Footprint:
    """Measures while its block runs.

    Args:
        every: Seconds between two looks at the memory.

    Attributes:
        seconds: Wall time of the block.
        own_s: Seconds of cores that this process, and those of its children that have ended, worked.
        peak_bytes: Most resident memory seen of this process and its descendants together; 0 where the
            system does not tell.
        other_cores: Cores that other programs kept busy on average; 0 where the system does not tell.

    Example:
        >>> with Footprint() as footprint:
        ...     _ = sum(range(1000))
        >>> footprint.seconds > 0
        True
    """

    def __init__(self, every: float = EVERY_S) -> None:
        self.seconds = self.own_s = self.other_cores = 0.0
        self.peak_bytes = 0
        self._every = every
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._began, self._own, self._busy = time.perf_counter(), _own_s(), _busy_s(PROC)
        self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="histonic-footprint")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self.seconds = time.perf_counter() - self._began
        self.own_s = _own_s() - self._own
        busy = _busy_s(PROC)
        if busy is not None and self._busy is not None:
            self.other_cores = max(0.0, (busy - self._busy - self.own_s) / self.seconds)

    def _watch(self) -> None:
        while not self._ended.wait(self._every):
            self._look()

    def _look(self) -> None:
        self.peak_bytes = max(self.peak_bytes, resident_bytes(os.getpid()))
