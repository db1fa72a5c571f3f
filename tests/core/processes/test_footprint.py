"""Memory of this process and its descendants, as the system shows it."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from histonic.core.processes.footprint import Footprint, resident_bytes

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells")


def process(proc: Path, pid: int, kilobytes: int, children: str = "") -> None:
    thread = proc / str(pid) / "task" / str(pid)
    thread.mkdir(parents=True)
    (thread / "children").write_text(children)
    (proc / str(pid) / "status").write_text(f"Name:\ta\nVmHWM:\t  9999 kB\nVmRSS:\t  {kilobytes} kB\n")


def test_descendants_count(tmp_path: Path) -> None:
    process(tmp_path, 1, 100, "2 3 ")
    process(tmp_path, 2, 20)
    process(tmp_path, 3, 3, "4 ")
    process(tmp_path, 4, 1, "5 ")  # the last has ended meanwhile
    process(tmp_path, 9, 5000)
    assert resident_bytes(1, tmp_path) == 124 * 1024
    assert resident_bytes(7, tmp_path) == 0


@needs_proc
def test_a_child_is_seen() -> None:
    alone = resident_bytes(os.getpid())
    code = "data = bytearray(80_000_000); print('ready', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    both = resident_bytes(os.getpid())
    child.communicate(b"\n")
    assert both - alone > 70_000_000


@needs_proc
def test_the_peak_outlives_what_was_freed() -> None:
    before = resident_bytes(os.getpid())
    with Footprint(every=0.01) as footprint:
        # Not from the heap, which may hold as much already.
        with mmap.mmap(-1, 120_000_000) as data:
            data[::4096] = b"\1" * len(range(0, 120_000_000, 4096))
            limit = time.monotonic() + 10
            while footprint.peak_bytes < before + 100_000_000 and time.monotonic() < limit:
                time.sleep(0.01)
        assert resident_bytes(os.getpid()) < before + 100_000_000
    assert footprint.peak_bytes > before + 100_000_000
    assert footprint.seconds > 0 and footprint.own_s >= 0 and footprint.other_cores >= 0
