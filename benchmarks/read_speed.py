"""Tiles per second: histonic's tiff reader against one OpenSlide call per tile, in one run.

    python benchmarks/read_speed.py SLIDE [SLIDE ...] [--out benchmarks/read_speed.md]

Reads the same tissue tiles of 128 px at 0.5 µm/px (or the nearest whole-number multiple of a stored
resolution) through both readers, in turns, five times each, and prints medians and their ratio. Both use what
``histonic compress`` would use: batches of 256 cells in row-major order.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from histonic.core.grid import TileGrid
from histonic.slides.base import best_mpp, open_slide
from histonic.slides.tiles import walk_tiles
from histonic.slides.tissue.cells import cell_coverage
from histonic.slides.tissue.finder import find_tissue

REPEATS = 5
MOST_TILES = 4096


def seconds(path: Path, reader: str, grid: TileGrid, mask: np.ndarray) -> float:
    """Wall time of one pass with a freshly opened slide."""
    began = time.perf_counter()
    with open_slide(path, reader=reader, default_mpp=0.5) as slide:
        for _ in walk_tiles(slide, grid, mask, batch=256):
            pass
    return time.perf_counter() - began


def measure(path: Path) -> str:
    """One row of the table."""
    with open_slide(path, default_mpp=0.5) as slide:
        mpp = best_mpp(slide, 0.5)
        grid = TileGrid.over(slide.size_wh, slide_mpp=slide.mpp, tile_px=128, mpp=mpp)
        mask = cell_coverage(find_tissue(slide), grid) >= 0.25
    mask &= np.cumsum(mask).reshape(mask.shape) <= MOST_TILES
    times: dict[str, list[float]] = {"tiff": [], "openslide": []}
    for _ in range(REPEATS):
        for reader, taken in times.items():
            taken.append(seconds(path, reader, grid, mask))
    count = int(mask.sum())
    rates = {reader: count / np.median(taken) for reader, taken in times.items()}
    ratio = rates["tiff"] / rates["openslide"]
    return f"| {path.name} | {count} | {rates['openslide']:.0f} | {rates['tiff']:.0f} | {ratio:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    lines = [
        "| slide | tiles | openslide (tiles/s) | tiff (tiles/s) | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [measure(path) for path in options.slides]
    print("\n".join(lines))
    command = f"Command: `python benchmarks/{Path(__file__).name} SLIDE [SLIDE ...]`, median of {REPEATS}"
    options.out.write_text("\n".join(["# Reading tiles", "", command, "", *lines, ""]))


if __name__ == "__main__":
    main()
