"""How alike copies of a slide are, and how alike different slides: where the audit's threshold comes from.

    python benchmarks/duplicate_slides.py SLIDES [--slides 12] > benchmarks/duplicate_slides.md

SLIDES is a folder with slides of one kind, such as those of ``histonic demo`` or a mosaic: all in one stain
and of nearly the same outline, which is the hard case. Each is turned, compressed again, stained otherwise,
given another margin and scaled, described from its thumbnail, and compared with itself; then all are
compared with each other.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from histonic.core.compressed import orient
from histonic.core.grid import TileGrid
from histonic.nn.stain import perturb_stains
from histonic.slides.base import open_slide
from histonic.slides.formats.array import ArraySlide
from histonic.slides.likeness import Appearance, appearance_of, measure_likeness
from histonic.slides.thumbnail import thumbnail
from histonic.slides.tissue.cells import cell_coverage
from histonic.slides.tissue.finder import find_tissue
from histonic.slides.tissue.rule import TissueRule

RULE = TissueRule(8.0, 20_000, 40_000)
PAIRS = 300 * 299 // 2
"""Of a cohort of 300 slides: so many can be alike by chance."""


def recompress(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def appearance(picture: np.ndarray, mpp: float) -> Appearance | None:
    """The appearance as compress keeps it."""
    slide = ArraySlide(np.ascontiguousarray(picture), mpp=mpp)
    grid = TileGrid.over(slide.size_wh, slide_mpp=mpp, tile_px=128, mpp=0.5)
    mask = cell_coverage(find_tissue(slide, RULE), grid) >= 0.25
    if not mask.any():
        return None
    return appearance_of(thumbnail(slide), grid, mask)


def restain(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    factor = torch.tensor(rng.uniform(0.85, 1.15, (1, 3))).float()
    addend = torch.tensor(rng.uniform(-0.02, 0.02, (1, 3))).float()
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    return (perturb_stains(pixels, factor, addend)[0].permute(1, 2, 0) * 255).round().byte().numpy()


def copies(
    picture: np.ndarray, mpp: float, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, float]]:
    turn = int(rng.integers(1, 8))
    yield "turned or mirrored", orient(picture, turn, (0, 1)), mpp
    yield "JPEG quality 30", recompress(picture, 30), mpp
    yield "other stain", restain(picture, rng), mpp
    turned = recompress(orient(picture, turn, (0, 1)), 50)
    yield "turned, JPEG quality 50, other stain", restain(turned, rng), mpp
    wide = np.full((picture.shape[0] + 300, picture.shape[1] + 170, 3), picture[:4, :4].max(), np.uint8)
    wide[200 : 200 + picture.shape[0], 90 : 90 + picture.shape[1]] = picture
    yield "other margin, turned", orient(wide, turn, (0, 1)), mpp
    size = (picture.shape[1] * 4 // 5, picture.shape[0] * 4 // 5)
    yield "scaled by 0.8", np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)), mpp / 0.8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", type=Path)
    parser.add_argument("--slides", dest="count", type=int, default=12)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    appearances: list[Appearance] = []
    found: dict[str, list[tuple[float, float, bool]]] = {}
    for path in sorted(options.slides.glob("*.tif"))[: options.count]:
        with open_slide(path) as slide:
            picture, mpp = slide.read((0, 0), tuple(slide.size_wh), slide.mpp), slide.mpp
        own = appearance(picture, mpp)
        if own is None:
            continue
        appearances.append(own)
        for name, copy, copy_mpp in copies(picture, mpp, rng):
            other = appearance(copy, copy_mpp)
            likeness = None if other is None else measure_likeness(own, other)
            if likeness is not None:
                found.setdefault(name, []).append((likeness.texture, likeness.outline, likeness.same(PAIRS)))
    print("# Likeness of copies and of different slides\n")
    print(f"Command: `python benchmarks/duplicate_slides.py SLIDES --slides {options.count}`\n")
    print("| pair | pairs | least texture | median texture | least outline | called the same |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, rows in found.items():
        values = np.array(rows, dtype=float)
        print(
            f"| {name} | {len(rows)} | {values[:, 0].min():.2f} | {np.median(values[:, 0]):.2f} "
            f"| {values[:, 1].min():.2f} | {values[:, 2].mean():.0%} |"
        )
    pairs = [measure_likeness(one, other) for k, one in enumerate(appearances) for other in appearances[:k]]
    largest = max(pair.texture for pair in pairs)
    same = sum(pair.same(PAIRS) for pair in pairs)
    print(
        f"\nDifferent slides: {len(pairs)} pairs, greatest texture {largest:.2f}, greatest outline "
        f"{max(pair.outline for pair in pairs):.2f}, {same} called the same."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
