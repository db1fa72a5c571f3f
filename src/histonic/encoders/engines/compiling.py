"""A process of its own that compiles an encoder: what the compiler needs in memory ends with it."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from histonic.encoders.base import load_encoder
from histonic.encoders.engines.program import Program

LIBRARIES = (".so", ".dylib")
SETTINGS = {
    "freezing": True,
    # Statistics read the same planes again and again: what is used twice is kept, not computed twice.
    "realize_opcount_threshold": 0,
    "realize_reads_threshold": 0,
}
"""Of the compiler: weights become constants."""


def compile_to(encoder: str, precision: str, batch: int, out: Path) -> None:
    """Compile the network of an encoder for batches of one size on one thread, and call it once.

    A program that would crash takes this process with it, not the one that has slides to compress.

    Args:
        encoder: File or name.
        precision: ``32`` or ``bf16``.
        batch: Tiles at a time.
        out: The shared library to write.

    Raises:
        TypeError: The encoder has no network.
        BrokenProgram: What was compiled cannot be loaded or called.
    """
    import torch._inductor as inductor  # seconds, and only here

    loaded = load_encoder(encoder, precision=precision)
    network = cast("nn.Module | None", getattr(loaded, "tile_network", None))
    if network is None:
        raise TypeError(f"{loaded.spec.name} has no network to compile")
    torch.set_num_threads(1)
    side = loaded.spec.tile_px
    tiles = torch.zeros(batch, side, side, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        package = Path(folder) / "package.pt2"
        with torch.no_grad(), inductor.config.patch(SETTINGS):
            network(tiles)  # constants that are made at first use are not to be made of stand-ins
            exported = torch.export.export(network, (tiles,))
            inductor.aoti_compile_and_package(exported, package_path=str(package))
        out.write_bytes(_library_of(package))
    Program(out, batch, loaded.spec.code_size, 1)(np.zeros(tiles.shape, np.uint8))


def _library_of(package: Path) -> bytes:
    with zipfile.ZipFile(package) as opened:
        names = [name for name in opened.namelist() if name.endswith(LIBRARIES)]
        if len(names) != 1:
            raise TypeError(f"the package holds {len(names)} libraries, not one")
        return opened.read(names[0])


if __name__ == "__main__":
    file, arithmetic, size, library = sys.argv[1:]
    compile_to(file, arithmetic, int(size), Path(library))
