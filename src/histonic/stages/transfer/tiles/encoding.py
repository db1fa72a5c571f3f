"""The codes of a whole tile set, on all cores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from histonic.core.progress import Progress
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import Encoder
from histonic.encoders.engines.choice import start_encoding

BATCH = 256
AT_ONCE = 4 * BATCH


def encode_tiles(
    encoder: Encoder, tiles: TileSet, *, device: str, progress: Progress, stage: str
) -> npt.NDArray[np.float32]:
    """Codes ``(N, D)`` of all tiles of a set, in single precision.

    Args:
        encoder: Loaded for the device.
        tiles: The set.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Is told of the tiles that are done.
        stage: What it is told that is done.
    """
    count = len(tiles.tiles)
    codes = np.empty((count, encoder.spec.code_size), np.float32)
    progress.stage(stage, count)
    with start_encoding(
        encoder,
        device=device,
        precision="32",
        engine=None,
        tiles=count,
        batch=BATCH,
        first=np.array(tiles.tiles[:BATCH]),
        progress=progress,
    ) as pool:
        for start in range(0, count, AT_ONCE):
            part = np.array(tiles.tiles[start : start + AT_ONCE])
            codes[start : start + AT_ONCE] = pool.encode(part)
            progress.advance(len(part), encoder.spec.name)
    return codes
