"""Draw docs/augmentations.png, each level of augmentation upon one simulated tile: no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from histonic.nn.augmentation.augment import AUGMENT_LEVELS, augment
from histonic.simulate.slides import simulate_tissue

TILE_PX = 128
COLUMNS = 4
GAP_PX = 4
LABEL_PX = 110
COLOURS = 256


def tile() -> torch.Tensor:
    """One tile of simulated tissue at 0.5 microns per pixel, ``(1, 3, 128, 128)`` of 0..1."""
    tissue = simulate_tissue(512, np.random.default_rng(4))
    corner = tissue[192 : 192 + TILE_PX, 128 : 128 + TILE_PX]
    return torch.from_numpy(corner.copy()).permute(2, 0, 1)[None] / 255


def main() -> None:
    """A row for each level, a column for each draw."""
    original = tile()
    step = TILE_PX + GAP_PX
    size = (LABEL_PX + COLUMNS * step, len(AUGMENT_LEVELS) * step)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, (level, rule) in enumerate(AUGMENT_LEVELS.items()):
        pen.text((6, row * step + TILE_PX // 2 - 9), level, "black", font)
        generator = torch.Generator().manual_seed(1)
        changed = augment(original.repeat(COLUMNS, 1, 1, 1), rule, generator)
        for column, one in enumerate(changed):
            pixels = (one.permute(1, 2, 0) * 255).round().byte().numpy()
            sheet.paste(Image.fromarray(pixels), (LABEL_PX + column * step, row * step))
    # A palette: noise does not compress, and the file travels with the docs.
    few = sheet.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE)
    few.save(Path(__file__).with_name("augmentations.png"), optimize=True)


if __name__ == "__main__":
    main()
