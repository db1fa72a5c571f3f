"""Freed memory stays with the process once it has been asked for."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

KEPT = """
import numpy as np
from histonic.core.processes.memory import keep_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if {keep}:
    keep_memory()
before = resident()
block = np.ones(100 << 20, np.uint8)
del block
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
def test_a_freed_block_is_kept() -> None:
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", KEPT.format(keep=keep)])) for keep in (True, False)
    )
    assert kept > 90 << 20 and returned < 10 << 20
