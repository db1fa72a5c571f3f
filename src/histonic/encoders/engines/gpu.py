"""Tiles through an encoder on a GPU: copies and arithmetic overlap, and no batch waits for the one before."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from histonic.nn.pixels import tensor_of

Codes = npt.NDArray[np.float32]
Tiles = npt.NDArray[np.uint8]
AHEAD = 3
"""Batches whose copies and arithmetic are under way at the same time."""


def encode_on_gpu(
    network: Callable[[Tensor], Tensor], device: torch.device, batch: int
) -> Callable[[Tiles], Codes]:
    """Encode on a GPU; as many threads as batches shall be under way may call it at once.

    Each thread has a stream and pinned memory of its own, and waits for its own batch alone, while the others
    fill the device.

    Args:
        network: Tiles uint8 ``(B, H, W, 3)`` to codes, on the device.
        device: The GPU.
        batch: Tiles at a time; fewer are filled up, so that the network sees one shape only.
    """
    own = threading.local()

    def encode(tiles: Tiles) -> Codes:
        if not hasattr(own, "stream"):
            own.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            own.tiles = torch.zeros((batch, *tiles.shape[1:]), dtype=torch.uint8, pin_memory=True)
        own.tiles[: len(tiles)].copy_(tensor_of(tiles))
        with torch.inference_mode(), torch.cuda.stream(own.stream):
            codes = network(own.tiles.to(device, non_blocking=True))
            host = torch.empty(codes.shape, dtype=codes.dtype, pin_memory=True)
            host.copy_(codes, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(own.stream)
        done.synchronize()
        found: Codes = host.numpy()[: len(tiles)]
        return found

    return encode
