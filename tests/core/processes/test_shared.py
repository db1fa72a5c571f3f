"""One copy of a block for all processes that are started with it, and none left when they are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.processes.shared import CAN_SHARE, SharedBytes

BYTES = np.dtype(np.uint8)
pytestmark = pytest.mark.skipif(not CAN_SHARE, reason="this system gives no process another one's files")


def double(block: SharedBytes, ready: Any) -> None:
    """The work of another process; must stand in a module."""
    block.view(2, (3,), BYTES)[:] *= 2
    ready.set()
    signal.pause()


def test_another_process_works_on_the_same_bytes_and_may_be_killed() -> None:
    before = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else set()
    block = SharedBytes(8)
    block.view(0, (8,), BYTES)[:] = np.arange(8)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=double, args=(block, ready), daemon=True)
    other.start()
    assert ready.wait(30)
    other.kill()
    other.join()
    assert block.view(0, (8,), BYTES).tolist() == [0, 1, 4, 6, 8, 5, 6, 7]
    del block
    if before:
        assert not [name for name in os.listdir("/proc/self/fd") if _names_memory(name)]


def _names_memory(handle: str) -> bool:
    try:
        return "histonic" in os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return False


def test_a_view_keeps_the_bytes_alive() -> None:
    view = SharedBytes(4).view(0, (2,), np.dtype(np.float16))
    view[:] = 3
    assert view.tolist() == [3, 3]
