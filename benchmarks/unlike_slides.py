"""How often slides of the same kind are called unlike those of a training, and slides of another stain.

    python benchmarks/unlike_slides.py HISTONIC_DATA [--encoder histonic-mtl] [--cohorts 5] [--tiles 10]

A slide is so many tiles of a set, no tile on two slides, all stained a little stronger or weaker
(haematoxylin and eosin, each by 0.85 to 1.15 for the slide). A training cohort has the slides of half of the
training tiles, at most 100. Of as many new slides, of the other half, the shares are shown that are called
unlike the training: with the same range of stain, and with both stains multiplied further, as in
``stain_shift.py``; and of slides of the set's test tiles, which some sets have from other laboratories.
Means over cohorts.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from histonic.encoders.base import Encoder, load_encoder
from histonic.models.familiarity import fit_familiarity
from histonic.nn.stain import perturb_stains

SETS = ("lymph_node_metastasis", "colorectal_diagnosis", "lung_carcinoma", "oral_carcinoma")
MOST = 100
USUAL = 0.15
SHIFTS = {
    "the same": (1.0, 1.0),
    "bluer": (1.2, 0.8),
    "redder": (0.8, 1.2),
    "much bluer": (1.4, 0.6),
    "much redder": (0.6, 1.4),
    "paler": (0.7, 0.7),
    "darker": (1.4, 1.4),
}
TEST = "the same, test tiles"
UInt8 = npt.NDArray[np.uint8]


def read_tiles(folder: Path, split: str, side: int, most: int) -> UInt8:
    """Tiles of a split at the encoder's side, at most so many."""
    with (folder / "tiles.csv").open(encoding="utf-8") as file:
        rows = [row["path"] for row in csv.DictReader(file) if row["split"] == split]
    chosen = np.random.default_rng(0).permutation(rows)[:most]
    return np.stack(
        [
            np.asarray(
                Image.open(folder / path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            )
            for path in chosen
        ]
    )


def slide_codes(
    encoder: Encoder, tiles: UInt8, each: int, shift: tuple[float, float], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Mean codes of slides of ``each`` tiles, no tile on two of them."""
    found = []
    order = rng.permutation(len(tiles))
    for number in range(min(MOST, len(tiles) // each)):
        rows = order[number * each : (number + 1) * each]
        usual = rng.uniform(1 - USUAL, 1 + USUAL, 2)
        factor = torch.tensor([[usual[0] * shift[0], usual[1] * shift[1], 1.0]], dtype=torch.float32)
        pixels = torch.from_numpy(tiles[rows]).permute(0, 3, 1, 2).float() / 255
        stained = perturb_stains(pixels, factor.expand(each, 3), torch.zeros(each, 3))
        shown = stained.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        found.append(encoder.encode(shown).astype(np.float64).mean(0))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", default="histonic-mtl")
    parser.add_argument("--cohorts", type=int, default=5)
    parser.add_argument("--tiles", type=int, default=10, help="on a slide")
    parser.add_argument("--sets", nargs="+", default=[*SETS])
    options = parser.parse_args()
    encoder = load_encoder(options.encoder)
    print("| set | training slides | " + " | ".join([*SHIFTS, TEST]) + " |")
    print("| --- | --- |" + " --- |" * (len(SHIFTS) + 1))
    most = 2 * MOST * options.tiles
    for place, name in enumerate(options.sets):
        folder = options.data / "patches" / name
        train, test = (read_tiles(folder, split, encoder.spec.tile_px, most) for split in ("train", "test"))
        shares: dict[str, list[float]] = {shift: [] for shift in (*SHIFTS, TEST)}
        for cohort in range(options.cohorts):
            rng = np.random.default_rng([cohort, place])
            order = rng.permutation(len(train))
            first, second = train[order[: len(train) // 2]], train[order[len(train) // 2 :]]
            own = slide_codes(encoder, first, options.tiles, (1.0, 1.0), rng)
            known = fit_familiarity(own, [str(number) for number in range(len(own))])
            if known is None:
                raise SystemExit("too few slides")
            for shift, factors in {**SHIFTS, TEST: (1.0, 1.0)}.items():
                new = slide_codes(encoder, test if shift == TEST else second, options.tiles, factors, rng)
                shares[shift].append(float((known.distances(new) > 1).mean()))
        print(
            f"| {name} | {len(own)} | "
            + " | ".join(f"{np.mean(each):.1%}" for each in shares.values())
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
