"""A process of its own that compiles an encoder: what the compiler needs in memory ends with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import torch
from torch import nn

from histonic.encoders.base import load_encoder


def compile_to(encoder: str, precision: str, batch: int, out: Path) -> None:
    """Compile the network of an encoder for batches of one size on one thread.

    Args:
        encoder: File or name.
        precision: ``32`` or ``bf16``.
        batch: Tiles at a time.
        out: The package to write, ``.pt2``.
    """
    import torch._inductor as inductor  # seconds, and only here

    loaded = load_encoder(encoder, precision=precision)
    network = cast("nn.Module | None", getattr(loaded, "tile_network", None))
    if network is None:
        raise TypeError(f"{loaded.spec.name} has no network to compile")
    torch.set_num_threads(1)
    side = loaded.spec.tile_px
    tiles = torch.zeros(batch, side, side, 3, dtype=torch.uint8)
    with torch.no_grad(), inductor.config.patch(SETTINGS):
        network(tiles)  # constants that are made at first use are not to be made of the compiler's stand-ins
        inductor.aoti_compile_and_package(torch.export.export(network, (tiles,)), package_path=str(out))


SETTINGS = {
    "freezing": True,
    # Statistics read the same pixels again and again: kept, not computed anew for each of them.
    "realize_opcount_threshold": 2,
    "realize_reads_threshold": 1,
}
"""Of the compiler: weights become constants."""

if __name__ == "__main__":
    file, arithmetic, size, package = sys.argv[1:]
    compile_to(file, arithmetic, int(size), Path(package))
