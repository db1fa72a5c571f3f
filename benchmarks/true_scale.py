"""Whether an encoder sees a mitosis at the size that a slide shows it.

    python benchmarks/true_scale.py HISTONIC_DATA --encoders histonic-mtl [FILE ...]

Tiles of 128 px at 0.5 µm/px, made of the crops of the set breast_mitosis (48 px at 0.25 µm/px, 12 µm across):

- *blown up*: the crop fills the tile, 5.3 times as large as on a slide;
- *among crops*: a square of 6 x 6 crops without mitosis, each 24 px, laid side by side; of the four in the
  middle one is a crop with or without a mitosis; 128 px are cut from the middle;
- *in fields*: the crop, faded over 3 px at its border, in the middle of a random square of a real field
  (colon_glands, 0.62 µm/px).

Crops and fields stay in their split. AUROC on the test tiles of a linear probe (logistic regression on the
codes of the training tiles, penalty by the validation tiles) and of the encoder's own head for the set, if it
has one. The 95 % interval of an AUROC is within +-0.025 (DeLong).
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.tile_heads import heads_beside, load_heads
from histonic.slides.resample import average_blocks

SET = "breast_mitosis"
SIDE, CROP, GRID, FADE = 128, 24, 6, 3
FIELD_MPP, MPP = 0.62, 0.5
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
SPLITS = ("train", "val", "test")
WAYS = ("blown up", "among crops", "in fields")
UInt8 = npt.NDArray[np.uint8]


def read_crops(folder: Path) -> dict[str, tuple[UInt8, npt.NDArray[np.int64]]]:
    """By split the crops ``(N, 48, 48, 3)`` and whether each is a mitosis."""
    with (folder / "tiles.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for split in SPLITS:
        own = [row for row in rows if row["split"] == split]
        pixels = [np.asarray(Image.open(folder / row["path"]).convert("RGB")) for row in own]
        found[split] = np.stack(pixels), np.array([row["label"] == "mitosis" for row in own], int)
    return found


def read_fields(folder: Path) -> dict[str, list[UInt8]]:
    """By split the fields at 0.5 µm/px."""
    with (folder / "fields.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, list[UInt8]] = {split: [] for split in SPLITS}
    for row in rows:
        image = Image.open(folder / row["file"]).convert("RGB")
        wh = [round(side * FIELD_MPP / MPP) for side in image.size]
        if min(wh) >= SIDE:
            found[row["split"]].append(np.asarray(image.resize((wh[0], wh[1]), Image.Resampling.BILINEAR)))
    return found


def blown_up(crop: UInt8) -> UInt8:
    """The crop as large as the tile."""
    return np.asarray(Image.fromarray(crop).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def among_crops(crop: UInt8, rest: UInt8, rng: np.random.Generator) -> UInt8:
    """The crop among others."""
    chosen = [average_blocks(rest[rng.integers(len(rest))], 2) for _ in range(GRID * GRID)]
    middle = GRID // 2 - 1 + rng.integers(2, size=2)
    chosen[middle[0] * GRID + middle[1]] = average_blocks(crop, 2)
    rows = [np.concatenate(chosen[GRID * row : GRID * (row + 1)], axis=1) for row in range(GRID)]
    square = np.concatenate(rows)
    cut = (len(square) - SIDE) // 2
    return square[cut : cut + SIDE, cut : cut + SIDE]


def in_field(crop: UInt8, fields: list[UInt8], rng: np.random.Generator) -> UInt8:
    """The crop in a real field."""
    field = fields[rng.integers(len(fields))]
    top, left = (rng.integers(0, length - SIDE + 1) for length in field.shape[:2])
    tile = field[top : top + SIDE, left : left + SIDE].astype(np.float64)
    edge = np.minimum(np.arange(CROP), np.arange(CROP)[::-1]) + 0.5
    line = np.clip(edge / FADE, 0, 1)
    mask = np.minimum(line[:, None], line[None])[..., None]
    start = (SIDE - CROP) // 2
    part = tile[start : start + CROP, start : start + CROP]
    part += mask * (average_blocks(crop, 2) - part)
    return np.clip(tile.round(), 0, 255).astype(np.uint8)


def make_tiles(
    crops: dict[str, tuple[UInt8, npt.NDArray[np.int64]]], fields: dict[str, list[UInt8]], way: str
) -> dict[str, tuple[UInt8, npt.NDArray[np.int64]]]:
    """Tiles and labels by split."""
    made = {}
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng([7, WAYS.index(way), number])
        pixels, labels = crops[split]
        rest = pixels[labels == 0]
        tiles = []
        for crop in pixels:
            if way == "blown up":
                tiles.append(blown_up(crop))
            elif way == "among crops":
                tiles.append(among_crops(crop, rest, rng))
            else:
                tiles.append(in_field(crop, fields[split], rng))
        made[split] = np.stack(tiles), labels
    return made


def score(encoder: Encoder, name: str, tiles: dict[str, tuple[UInt8, Any]]) -> tuple[float, float | None]:
    """AUROC of the probe and of the encoder's own head."""
    codes = {split: encoder.encode(pixels).astype(np.float64) for split, (pixels, _) in tiles.items()}
    labels = {split: given for split, (_, given) in tiles.items()}
    fitted = [
        make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000)).fit(
            codes["train"], labels["train"]
        )
        for penalty in PENALTIES
    ]
    best = max(fitted, key=lambda each: roc_auc_score(labels["val"], each.decision_function(codes["val"])))
    probe = float(roc_auc_score(labels["test"], best.decision_function(codes["test"])))
    path = heads_beside(name)
    heads = None if path is None else load_heads(path)
    if heads is None or SET not in [task.name for task in heads.tasks]:
        return probe, None
    head = heads[SET]
    with torch.inference_mode():
        outputs = head(torch.from_numpy(codes["test"]).float()).flatten().numpy()
    sign = 1 if head.task.classes[-1] == "non_mitosis" else -1
    return probe, float(roc_auc_score(labels["test"], -sign * outputs))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoders", nargs="+", default=["histonic-mtl"])
    parser.add_argument("--ways", default=",".join(WAYS), help="of these, with commas")
    options = parser.parse_args()
    crops = read_crops(options.data / "patches" / SET)
    fields = read_fields(options.data / "fields" / "colon_glands")
    print("| encoder | tiles | test tiles | probe | own head |")
    print("| --- | --- | --- | --- | --- |")
    for way in options.ways.split(","):
        tiles = make_tiles(crops, fields, way)
        for name in options.encoders:
            probe, head = score(load_encoder(name), name, tiles)
            told = "" if head is None else f"{head:.3f}"
            count = len(tiles["test"][0])
            shown = os.fspath(Path(name).stem)
            print(f"| {shown} | {way} | {count} | {probe:.3f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
