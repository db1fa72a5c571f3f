"""Tiles of images of rectangles, for encoders to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.core.files import replacing_folder, write_csv
from histonic.simulate.low_signal.rectangles import RectangleImages

MOSTLY = 0.6
"""Share of a digit that has to lie in a tile for the tile to show it."""
PARTLY = "part"
"""Label of a tile that holds ink, but no digit mostly."""
VALIDATION_SHARE = 0.3
COLUMNS = ("path", "label", "split", "group", "slide", "x", "y")


def tile_labels(
    corners: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], places: int, digit_px: int
) -> npt.NDArray[np.int64]:
    """The class of the digit that a tile mostly shows, ``(places, places)``; -1 where none does.

    Args:
        corners: ``(n, 2)`` x and y of the digits.
        kinds: ``(n,)`` their classes.
        places: Tiles along a side.
        digit_px: Side of a digit and of a tile.

    Example:
        >>> tile_labels(np.array([[2, 0], [25, 20]]), np.array([7, 3]), 4, 10).tolist()[0]
        [7, -1, -1, -1]
    """
    shown = np.full((places, places), -1, np.int64)
    most = np.zeros((places, places))
    for (x, y), kind in zip(corners.tolist(), kinds.tolist(), strict=True):
        for row in {y // digit_px, min((y + digit_px - 1) // digit_px, places - 1)}:
            for col in {x // digit_px, min((x + digit_px - 1) // digit_px, places - 1)}:
                down = digit_px - abs(y - row * digit_px)
                right = digit_px - abs(x - col * digit_px)
                share = down * right / digit_px**2
                if share > most[row, col]:
                    most[row, col] = share
                    shown[row, col] = kind if share >= MOSTLY else -1
    return shown


def write_tiles(out: Path, images: RectangleImages, count: int, seed: int) -> Path:
    """Write a tile set of random tiles that hold ink, all or nothing; what is there is kept.

    Args:
        out: Folder.
        images: Whose tiles.
        count: How many, at most.
        seed: Of the draw.

    Returns:
        The table of the set.

    Raises:
        OutputError: It cannot be written.
    """
    table = out / "tiles.csv"
    if table.is_file():
        return table
    side, places = images.plan.digit_px, images.plan.places
    rng = np.random.default_rng([seed, 83])
    validating = len(images) - max(1, round(VALIDATION_SHARE * len(images)))
    rows, each = [], -(-count // len(images))
    with replacing_folder(out) as partial:
        for number in range(len(images)):
            pixels = images[number].pixels
            shown = tile_labels(*images.layout(number), places, side)
            blocks = pixels.reshape(places, side, places, side).transpose(0, 2, 1, 3)
            inked = np.argwhere(blocks.any(axis=(2, 3)))
            for row, col in inked[rng.permutation(len(inked))[:each]].tolist():
                name = f"{number:05d}-{row:04d}-{col:04d}.png"
                Image.fromarray(blocks[row, col].repeat(3).reshape(side, side, 3)).save(partial / name)
                label = PARTLY if shown[row, col] < 0 else f"digit {shown[row, col]}"
                split = "train" if number < validating else "val"
                group = f"image-{number:05d}"
                facts = (name, label, split, group, group, col * side, row * side)
                rows.append(dict(zip(COLUMNS, facts, strict=True)))
        write_csv(partial / "tiles.csv", COLUMNS, rows)
    return table
