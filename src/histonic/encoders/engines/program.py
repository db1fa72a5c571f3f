"""A compiled encoder as a shared library, called so that Python's other threads run on meanwhile.

torch's own loader holds Python's lock while a package computes, so that two threads would take turns. The
library has a plain C interface (torch/csrc/inductor/aoti_runtime/interface.h), and so have the tensors that
it takes (aoti_torch/c/shim.h); functions called by ``ctypes`` let go of the lock.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

TORCH_NAMES = ("libtorch_cpu.so", "libtorch_cpu.dylib")
ON_CPU = 0
Codes = npt.NDArray[np.float32]


class BrokenProgram(Exception):
    """A library that cannot be loaded, or failed; the message says how."""


class Program:
    """A network compiled for batches of one size; several threads may call it at once.

    Args:
        library: The shared library.
        batch: Tiles that it was compiled for.
        code_size: D.
        at_once: Calls that may run at the same time.

    Raises:
        BrokenProgram: It cannot be loaded here.
    """

    def __init__(self, library: Path, batch: int, code_size: int, at_once: int) -> None:
        self._shape = (batch, code_size)
        self._container = ctypes.c_void_p()
        try:
            self._torch = _torch_library()
            self._library = ctypes.CDLL(str(library))
            create = self._library.AOTInductorModelContainerCreateWithDevice
            self._run = self._library.AOTInductorModelContainerRun
            failed = create(ctypes.byref(self._container), ctypes.c_size_t(at_once), b"cpu", None)
        except (OSError, AttributeError) as error:
            raise BrokenProgram(f"it cannot be loaded: {' '.join(str(error).split())[:300]}") from error
        if failed:
            raise BrokenProgram("it cannot be started")

    def __call__(self, tiles: npt.NDArray[np.uint8]) -> Codes:
        """Codes ``(B, D)`` of exactly one batch of tiles uint8 ``(B, H, W, 3)``.

        Raises:
            BrokenProgram: It failed, or gave something else.
        """
        given = np.ascontiguousarray(tiles)
        if len(given) != self._shape[0]:
            raise BrokenProgram(f"it was compiled for {self._shape[0]} tiles, not {len(given)}")
        # The tensor is a view of the array, and belongs to the program from here on.
        tensor = ctypes.c_void_p()
        self._check(
            self._torch.aoti_torch_create_tensor_from_blob(
                ctypes.c_void_p(given.ctypes.data),
                ctypes.c_int64(given.ndim),
                _numbers(given.shape),
                _numbers(given.strides),
                ctypes.c_int64(0),
                ctypes.c_int32(self._torch.aoti_torch_dtype_uint8()),
                ctypes.c_int32(ON_CPU),
                ctypes.c_int32(0),
                ctypes.byref(tensor),
            )
        )
        inputs, outputs = (ctypes.c_void_p * 1)(tensor), (ctypes.c_void_p * 1)()
        one = ctypes.c_size_t(1)
        self._check(self._run(self._container, inputs, one, outputs, one, None, None))
        codes = ctypes.c_void_p(outputs[0])
        try:
            return self._copied(codes)
        finally:
            self._torch.aoti_torch_delete_tensor_object(codes)

    def _copied(self, tensor: ctypes.c_void_p) -> Codes:
        count, kind = ctypes.c_int64(), ctypes.c_int32()
        data, strides = ctypes.c_void_p(), ctypes.POINTER(ctypes.c_int64)()
        self._check(self._torch.aoti_torch_get_numel(tensor, ctypes.byref(count)))
        self._check(self._torch.aoti_torch_get_dtype(tensor, ctypes.byref(kind)))
        self._check(self._torch.aoti_torch_get_strides(tensor, ctypes.byref(strides)))
        self._check(self._torch.aoti_torch_get_data_ptr(tensor, ctypes.byref(data)))
        in_order = count.value < 2 or (strides[0], strides[1]) == (self._shape[1], 1)
        if count.value != math.prod(self._shape) or kind.value != self._float32() or not in_order:
            raise BrokenProgram(f"it gave {count.value} numbers, not codes of {self._shape}")
        floats = ctypes.cast(data, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(floats, self._shape).copy()

    def _float32(self) -> int:
        return int(self._torch.aoti_torch_dtype_float32())

    def _check(self, failed: int) -> None:
        if failed:
            raise BrokenProgram("it failed while it ran")


def _torch_library() -> Any:
    """Torch's library, which is loaded already, by its functions in C."""
    folder = Path(torch.__file__).parent / "lib"
    for name in TORCH_NAMES:
        if (folder / name).exists():
            return ctypes.CDLL(str(folder / name))
    raise OSError(f"none of {', '.join(TORCH_NAMES)} lies in {folder}")


def _numbers(values: Sequence[int]) -> Any:
    return (ctypes.c_int64 * len(values))(*values)
