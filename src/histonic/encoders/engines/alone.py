"""How fast an encoder is alone, on tiles that lie in memory: the floor of a compression."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from histonic.encoders.engines.pool import EncodingPool, PendingCodes


def rate_alone(pool: EncodingPool, tile_px: int, seconds: float) -> float:
    """Tiles per second of an encoder at work that never waits for tiles.

    Args:
        pool: The encoder at work.
        tile_px: Side of its tiles.
        seconds: How long to measure; at least two rounds on all threads are.

    Returns:
        Tiles per second.
    """
    count = pool.description.batch * pool.workers
    tiles = np.random.default_rng(0).integers(0, 256, (count, tile_px, tile_px, 3), dtype=np.uint8)
    pool.encode(tiles)  # what is made ready at the first call counts nothing
    under_way: deque[PendingCodes] = deque([pool.submit(tiles), pool.submit(tiles)])
    began, done = time.perf_counter(), 0
    while under_way:
        under_way.popleft().result()
        done += count
        if time.perf_counter() - began < seconds:
            under_way.append(pool.submit(tiles))
    return done / (time.perf_counter() - began)
