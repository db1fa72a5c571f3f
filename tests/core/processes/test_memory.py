"""Freed memory stays with the process once it has been asked for; limits of containers and jobs are known."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from histonic.core.processes.memory import free_bytes

KEPT = """
import threading
import numpy as np
from histonic.core.processes.memory import keep_memory, release_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if {keep}:
    keep_memory(int({threads}))
release = {release}
before = resident()

def work():
    block = np.ones(100 << 20, np.uint8)
    del block

if {threads}:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
if release:
    release_memory()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
@pytest.mark.parametrize("threads", [False, True])
def test_a_freed_block_is_kept(threads: bool) -> None:
    kept, returned = (resident(keep=keep, threads=threads, release=False) for keep in (True, False))
    assert kept > 90 << 20 and returned < 10 << 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
@pytest.mark.parametrize("threads", [False, True])
def test_what_was_kept_can_be_handed_back(threads: bool) -> None:
    assert resident(keep=True, threads=threads, release=True) < 10 << 20


def resident(**settings: bool) -> int:
    """Bytes that a process has more after it freed a block."""
    return int(subprocess.check_output([sys.executable, "-c", KEPT.format(**settings)]))


def system(folder: Path, available: int) -> dict[str, Path]:
    """Files like those of a Linux system, with so many KiB available."""
    (folder / "meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable:   {available} kB\n")
    (folder / "own").write_text("0::/jobs/job7\n")
    (folder / "groups" / "jobs" / "job7").mkdir(parents=True)
    return {"meminfo": folder / "meminfo", "cgroup": folder / "groups", "own_group": folder / "own"}


def limit(group: Path, most: str, used: int, cache: int = 0) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\n")


def test_without_limits_what_is_available_is_free(tmp_path: Path) -> None:
    files = system(tmp_path, 2000)
    limit(tmp_path / "groups", "max", 1)
    assert free_bytes(**files) == 2000 * 1024


def test_the_tightest_group_bounds_what_is_free(tmp_path: Path) -> None:
    files = system(tmp_path, 2000)
    limit(tmp_path / "groups" / "jobs", "900000", 100_000)
    assert free_bytes(**files) == 800_000
    # Its cache of files would be given up.
    limit(tmp_path / "groups" / "jobs" / "job7", "700000", 500_000, cache=100_000)
    assert free_bytes(**files) == 300_000
    limit(tmp_path / "groups" / "jobs" / "job7", "700000", 800_000)
    assert free_bytes(**files) == 0


def test_the_first_version_of_control_groups_is_read(tmp_path: Path) -> None:
    files = system(tmp_path, 2000)
    files["own_group"].write_text("4:memory:/box\n5:cpu:/other\n")
    group = tmp_path / "groups" / "memory" / "box"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("600000")
    (group / "memory.usage_in_bytes").write_text("200000")
    (group / "memory.stat").write_text("total_inactive_file 50000\n")
    assert free_bytes(**files) == 450_000


def test_damaged_files_bound_nothing(tmp_path: Path) -> None:
    files = system(tmp_path, 2000)
    limit(tmp_path / "groups" / "jobs", "lots", 3)
    assert free_bytes(**files) == 2000 * 1024
    files["meminfo"].write_text("MemAvailable:\n")
    built_in = free_bytes(**files)
    assert built_in is None or built_in > 1 << 20
