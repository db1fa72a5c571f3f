"""What many labs run to encode a slide: one ``read_region`` a tile, a DataLoader, a network in a loop.

Written for comparison, after the pattern of the scripts that are in wide use: coordinates are known,
OpenSlide reads one tile at a time in two worker processes, the network takes batches as they come. Two lines
make the faster variant: autocast to bfloat16 and ``torch.compile``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

BATCH = 64
WORKERS = 2


class RegionTiles(Dataset[Tensor]):
    """Tiles of a slide, one call of OpenSlide each; the file is opened once in every worker."""

    def __init__(self, path: Path, corners: list[tuple[int, int]], tile_px: int, read_px: int) -> None:
        self.path, self.corners = path, corners
        self.tile_px, self.read_px = tile_px, read_px
        self.slide: Any = None

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> Tensor:
        if self.slide is None:
            self.slide = openslide.OpenSlide(str(self.path))
        size = (self.read_px, self.read_px)
        image = self.slide.read_region(self.corners[index], 0, size).convert("RGB")
        if self.read_px != self.tile_px:
            image = image.resize((self.tile_px, self.tile_px))
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def encode_by_script(
    network: nn.Module,
    path: Path,
    corners: list[tuple[int, int]],
    *,
    tile_px: int,
    read_px: int,
    fast: bool,
    out: Path,
) -> float:
    """Seconds to encode all tiles and to save the codes; a fast network is compiled before the clock starts.

    Args:
        network: Tiles ``(B, 3, H, W)`` scaled to -1..1, to codes ``(B, D)``.
        path: The slide.
        corners: Top-left corners of the tiles in pixels of level 0.
        tile_px: Side of the tiles.
        read_px: The same in pixels of level 0.
        fast: Autocast to bfloat16 and ``torch.compile``.
        out: Where the codes go.
    """
    run: Any = torch.compile(network) if fast else network
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
        if fast:
            for size in {BATCH, len(corners) % BATCH or BATCH}:
                run(torch.zeros(size, 3, tile_px, tile_px))
        began = time.perf_counter()
        loader = DataLoader(RegionTiles(path, corners, tile_px, read_px), BATCH, num_workers=WORKERS)
        codes = [run(batch.float() / 127.5 - 1).float() for batch in loader]
        np.save(out, torch.cat(codes).numpy())
        return time.perf_counter() - began
