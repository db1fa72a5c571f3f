"""What the arithmetic of this machine is: its kind, in words, and whether it computes in bfloat16 quickly."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import torch

HALF_FLAGS = ("avx512_bf16", "amx_bf16")
"""Instructions for bfloat16 with which it was seen to be faster; those of ARM were not measured."""
KIND_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_fp16", "sve", "bf16")


@functools.cache
def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, as Linux tells it; elsewhere nothing is known."""
    try:
        lines = cpuinfo.read_text(encoding="ascii", errors="ignore").splitlines()
    except OSError:
        return frozenset()
    told = (line.partition(":") for line in lines if line.lower().startswith(("flags", "features")))
    return frozenset(next(told, ("", "", ""))[2].split())


def is_half_fast(device: str) -> bool:
    """Whether products in bfloat16 have instructions of their own there.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return any(flag in processor_flags() for flag in HALF_FLAGS)


def machine_kind(device: str) -> str:
    """The kind of machine within which the same engine gives the same bytes.

    Example:
        >>> machine_kind("cpu").split()[-2:] == ["torch", torch.__version__]
        True
    """
    if device.startswith("cuda"):
        what = torch.cuda.get_device_name(torch.device(device))
    else:
        known = [flag for flag in KIND_FLAGS if flag in processor_flags()]
        what = " ".join([platform.machine() or "unknown", *known])
    return f"{what} torch {torch.__version__}"
