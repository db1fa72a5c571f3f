"""Tiles through an encoder on a GPU: copies and arithmetic overlap, and no batch waits for the one before."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Codes = npt.NDArray[np.float32]
AHEAD = 2
"""Batches whose copies and arithmetic are under way at the same time."""


def encode_on_gpu(network: nn.Module, device: torch.device) -> Callable[[npt.NDArray[np.uint8]], Codes]:
    """Encode on a GPU; as many threads as batches shall be under way may call it at once.

    Each thread has a stream and pinned memory of its own, and waits for its own batch alone, while the others
    fill the device.

    Args:
        network: Tiles uint8 ``(B, H, W, 3)`` to codes, on the device.
        device: The GPU.
    """
    streams: dict[int, torch.cuda.Stream] = {}

    def encode(tiles: npt.NDArray[np.uint8]) -> Codes:
        stream = streams.setdefault(threading.get_ident(), torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
        with torch.inference_mode(), torch.cuda.stream(stream):
            pinned = torch.from_numpy(np.ascontiguousarray(tiles)).pin_memory()
            codes = network(pinned.to(device, non_blocking=True))
            host = torch.empty(codes.shape, dtype=codes.dtype, pin_memory=True)
            host.copy_(codes, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(stream)
        done.synchronize()
        found: Codes = host.numpy()
        return found

    return encode
