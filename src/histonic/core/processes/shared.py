"""Memory that a process shares with those that it starts, gone when the last of them ends, even if killed."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

import numpy as np
import numpy.typing as npt

CAN_SHARE = os.name == "posix"
"""Whether a process can be given an open file of another."""


class SharedBytes:
    """A block of zeros that other processes see too when it is pickled for them.

    It has no name in any folder, so that a killed process leaves nothing behind, and no part in /dev/shm,
    which containers often keep small.

    Args:
        size: Bytes, at least 1.

    Raises:
        OSError: The system gives no such memory.

    Example:
        >>> block = SharedBytes(8)
        >>> block.view(0, (2, 2), np.dtype(np.float16))[:] = 1.5
        >>> block.view(4, (2,), np.dtype(np.float16)).tolist()
        [1.5, 1.5]
    """

    def __init__(self, size: int) -> None:
        self._attach(_nameless(), size)

    def _attach(self, handle: int, size: int) -> None:
        self.size = size
        try:
            if os.fstat(handle).st_size < size:
                os.ftruncate(handle, size)
            self._map = mmap.mmap(handle, size)
        except BaseException:
            os.close(handle)
            raise
        # The descriptor is what another process is given; it is closed with this object.
        self._handle = os.fdopen(handle, "rb", closefd=True)

    def view(self, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array that lies in the block.

        Args:
            start: First byte.
            shape: Of the array.
            dtype: Its numbers.
        """
        return np.ndarray(shape, dtype, self._map, start)

    def __reduce__(self) -> tuple[Callable[..., SharedBytes], tuple[Any, int]]:
        return _attached, (reduction.DupFd(self._handle.fileno()), self.size)


def _nameless() -> int:
    """A file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("histonic")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _attached(handle: Any, size: int) -> SharedBytes:
    block = SharedBytes.__new__(SharedBytes)
    block._attach(handle.detach(), size)
    return block
