"""Slides for the benchmarks: many small ones, or one of a gigapixel written band by band."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from histonic.simulate.slides import simulate_tissue
from histonic.slides.formats.pyramid import write_pyramid

BLOCK_PX = 2048
TISSUE_SHARE = 0.3


def gigapixel_wh(gigapixels: float) -> tuple[int, int]:
    """Width and height in whole blocks: 1 gigapixel is 32768 x 30720."""
    cols = round(16 * gigapixels**0.5)
    rows = round(15 * gigapixels**0.5)
    return cols * BLOCK_PX, rows * BLOCK_PX


def write_gigapixel_slide(path: Path, gigapixels: float) -> None:
    """Write a slide at 0.5 µm/px of which three tenths are tissue; skipped if it is there."""
    if path.exists():
        return
    width, height = gigapixel_wh(gigapixels)
    tissue = simulate_tissue(BLOCK_PX, np.random.default_rng(1))
    rng = np.random.default_rng(0)

    def bands() -> Iterator[np.ndarray]:
        for _ in range(height // BLOCK_PX):
            band = np.full((BLOCK_PX, width, 3), 243, np.uint8)
            for col in range(width // BLOCK_PX):
                if rng.random() < TISSUE_SHARE:
                    turned = np.rot90(tissue, int(rng.integers(4)))
                    band[:, col * BLOCK_PX : (col + 1) * BLOCK_PX] = turned
            yield band

    write_pyramid(path, bands(), size_wh=(width, height), mpp=0.5)


def write_tissue_slides(folder: Path, count: int, side_px: int = 1536) -> None:
    """Write slides ``s00.tif`` ... of simulated tissue on glass at 0.5 µm/px, no two alike."""
    for number in range(count):
        image = np.full((side_px, side_px, 3), 243, np.uint8)
        inner = side_px // 8
        tissue = simulate_tissue(side_px - 2 * inner, np.random.default_rng(number))
        image[inner : side_px - inner, inner : side_px - inner] = tissue
        write_pyramid(folder / f"s{number:02d}.tif", image, mpp=0.5)
