"""What heavy colour augmentation is worth: train on one stain, test on another.

    python benchmarks/stain_shift.py HISTONIC_DATA --scratch SCRATCH --seeds 3

A mitosis classifier learns from the tiles of one source (MIDOG21 or TUPAC16) at each level of
augmentation. It is tested on the same source, on the same tiles with a simulated change of stain, and on the
other source. The table goes to standard output; finished trainings are reused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from histonic.data.tilesets import TileSetPlan, read_tile_set
from histonic.encoders.base import load_encoder
from histonic.nn.stain import perturb_stains
from histonic.stages.encoder_run import load_heads
from histonic.stages.tile_scores import TilePredictions, group_numbers, score_mean
from histonic.stages.train_encoder import train_encoder

SOURCES = ("MIDOG21", "TUPAC16")
LEVELS = ("basic", "bc", "hed-light", "hed-strong")
# More haematoxylin, less eosin and the reverse: within what laboratories differ by.
SHIFTS = {"bluer": ((1.35, 0.65, 1.0), (0.05, 0.0, 0.0)), "redder": ((0.65, 1.35, 1.0), (0.0, 0.05, 0.0))}
GEOMETRY = {"tile_px": 128, "mpp": 0.5}


def write_source(data: Path, scratch: Path, source: str) -> Path:
    """A table of the tiles of one source, split by slide as in the set."""
    folder = (data / "patches" / "breast_mitosis").resolve()
    table = pd.read_csv(folder / "tiles.csv")
    mine = table[table["path"].str.contains(source[:5])].copy()
    mine["path"] = [str(folder / path) for path in mine["path"]]
    path = scratch / f"{source}.csv"
    mine.to_csv(path, index=False)
    return path


def shifted(tiles: np.ndarray, how: str) -> np.ndarray:
    factor, addend = (torch.tensor([values]) for values in SHIFTS[how])
    pixels = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255
    changed = perturb_stains(pixels, factor.expand(len(pixels), 3), addend.expand(len(pixels), 3))
    return (changed * 255).round().byte().permute(0, 2, 3, 1).numpy()


def predict(run: Path, tiles: np.ndarray) -> np.ndarray:
    encoder, heads = (
        load_encoder(run / "encoder.safetensors", precision="bf16"),
        load_heads(run / "heads.safetensors"),
    )
    codes = np.concatenate([encoder.encode(tiles[at : at + 256]) for at in range(0, len(tiles), 256)])
    with torch.no_grad():
        return heads.predict(heads(torch.from_numpy(codes)))["mitosis"].numpy().astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--train-only", choices=SOURCES)
    arguments = parser.parse_args()
    scratch = arguments.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    sets, lines = {}, []
    for source in SOURCES:
        plan = TileSetPlan("mitosis", write_source(arguments.data, scratch, source), mpp=0.25, scale="fill")
        sets[source] = read_tile_set(plan, cache=scratch / "cache", **GEOMETRY)
    for source in [arguments.train_only] if arguments.train_only else SOURCES:
        other = SOURCES[1 - SOURCES.index(source)]
        own, strange = sets[source], sets[other]
        tests = {"same source": (own, own.tiles[own.rows("test")])}
        tests |= {f"{how} (simulated)": (own, shifted(own.tiles[own.rows("test")], how)) for how in SHIFTS}
        tests[f"other source ({other})"] = (strange, strange.tiles[strange.rows("test")])
        found: dict[str, dict[str, list[TilePredictions]]] = {}
        for level in LEVELS:
            for seed in range(arguments.seeds):
                run = train_encoder(
                    sets=[{"name": "mitosis", "path": own.plan.path, "mpp": 0.25, "scale": "fill"}],
                    out=scratch / "runs" / f"{source}-{level}-{seed}",
                    cache=scratch / "cache",
                    augment=level,
                    seed=seed,
                    max_epochs=arguments.epochs,
                )
                for name, (of, tiles) in tests.items():
                    rows, task = of.rows("test"), of.tasks[0]
                    judged = TilePredictions(
                        task,
                        of.targets[task.name][rows],
                        predict(run, np.asarray(tiles)),
                        group_numbers(of.group[rows]),
                    )
                    found.setdefault(level, {}).setdefault(name, []).append(judged)
        lines += [f"\n### Trained on {source}\n", "| augmentation | " + " | ".join(tests) + " |"]
        lines.append("| --- |" + " --- |" * len(tests))
        for level in LEVELS:
            cells = []
            for name in tests:
                score = score_mean(found[level][name], resamples=1000)[0]
                cells.append(f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]")
            lines.append(f"| {level} | " + " | ".join(cells) + " |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
