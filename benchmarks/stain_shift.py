"""What heavy colour augmentation is worth: train on one stain, test on another.

    python benchmarks/stain_shift.py HISTONIC_DATA --scratch SCRATCH --seeds 3

Networks begin with the weights of the released BiGAN encoder and learn one task at each level of
augmentation: metastasis in lymph nodes, and mitosis from the tiles of one source (MIDOG21 or TUPAC16). They
are tested on the same source, on the same tiles with simulated changes of stain, and on the other source.
All levels change shapes alike (scaling, elastic, blur, noise), so that colour alone differs. The tables go to
standard output; finished trainings are reused.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import TileSet, read_tile_set
from histonic.encoders.base import load_encoder
from histonic.encoders.tile_heads import load_heads
from histonic.metrics.inference.intervals import bootstrap
from histonic.nn.stain import perturb_stains
from histonic.stages.encoder.imported import import_encoder
from histonic.stages.encoder.train import train_encoder
from histonic.stages.transfer.tiles.scores import TilePredictions, group_numbers, tile_measures

LEVELS = ("morphology", "hed-strong")
# Factors on haematoxylin, eosin and the residual.
SHIFTS = {
    "bluer": (1.2, 0.8, 1.0),
    "redder": (0.8, 1.2, 1.0),
    "much bluer": (1.4, 0.6, 1.0),
    "much redder": (0.6, 1.4, 1.0),
    "paler": (0.7, 0.7, 0.7),
    "darker": (1.4, 1.4, 1.4),
}
GEOMETRY = {"tile_px": 128, "mpp": 0.5}
MEASURES = ("Balanced accuracy", "AUROC")


@dataclass(frozen=True)
class Source:
    """Tiles that one network learns from, and another source of the same task, if there is one."""

    name: str
    settings: dict
    other: str = ""


def sources(data: Path, scratch: Path) -> dict[str, Source]:
    mitosis = {"name": "mitosis", "mpp": 0.25, "scale": "fill"}
    nodes = (data / "patches" / "lymph_node_metastasis").resolve()
    return {
        "lymph": Source("lymph", {"name": "metastasis", "path": nodes, "mpp": 0.97}),
        "MIDOG21": Source("MIDOG21", {**mitosis, "path": write_source(data, scratch, "MIDOG21")}, "TUPAC16"),
        "TUPAC16": Source("TUPAC16", {**mitosis, "path": write_source(data, scratch, "TUPAC16")}, "MIDOG21"),
    }


def write_source(data: Path, scratch: Path, source: str) -> Path:
    """A table of the tiles of one source, split by slide as in the set."""
    folder = (data / "patches" / "breast_mitosis").resolve()
    table = pd.read_csv(folder / "tiles.csv")
    mine = table[table["path"].str.contains(source[:5])].copy()
    mine["path"] = [str(folder / path) for path in mine["path"]]
    path = scratch / f"{source}.csv"
    mine.to_csv(path, index=False)
    return path


def read(source: Source, cache: Path) -> TileSet:
    return read_tile_set(TileSetSettings(**source.settings), cache=cache, **GEOMETRY)


def shifted(tiles: np.ndarray, how: str) -> np.ndarray:
    factor, addend = torch.tensor([SHIFTS[how]]), torch.zeros(1, 3)
    parts = []
    for at in range(0, len(tiles), 256):
        pixels = torch.from_numpy(np.array(tiles[at : at + 256])).permute(0, 3, 1, 2).float() / 255
        changed = perturb_stains(pixels, factor.expand(len(pixels), 3), addend.expand(len(pixels), 3))
        parts.append((changed * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


def predict(run: Path, tiles: np.ndarray) -> np.ndarray:
    encoder = load_encoder(run / "encoder.safetensors", precision="bf16")
    heads = load_heads(run / "heads.safetensors")
    parts = [encoder.encode(np.asarray(tiles[at : at + 256])) for at in range(0, len(tiles), 256)]
    with torch.no_grad():
        (found,) = heads.predict(heads(torch.from_numpy(np.concatenate(parts)))).values()
    return found.numpy().astype(float)


def released(arguments: argparse.Namespace) -> Path:
    """The authors' unsupervised encoder, converted once."""
    path = arguments.scratch / "bigan.safetensors"
    if not path.is_file():
        import_encoder(arguments.data / "encoders" / "encoder_bigan.h5", path)
    return path


def train(source: Source, level: str, seed: int, arguments: argparse.Namespace) -> Path:
    return train_encoder(
        sets=[source.settings],
        out=arguments.scratch / "runs" / f"{source.name}-{level}-{seed}",
        cache=arguments.scratch / "cache",
        augment=level,
        seed=seed,
        max_epochs=arguments.epochs,
        trunk="nic",
        weights=released(arguments),
        learning_rate=0.001,
        decay="cosine",
    )


def measured(models: list[TilePredictions], number: int) -> str:
    """Mean over seeds of a measure with a 95 % interval; tiles of a group are drawn together."""
    group = models[0].group

    def statistic(counts: np.ndarray) -> np.ndarray:
        return np.mean([tile_measures(model)[number].statistic(counts[:, group]) for model in models], axis=0)

    groups = int(group.max()) + 1
    low, high = np.nanquantile(
        bootstrap([statistic], groups, 1000, np.random.default_rng(11))[0], [0.025, 0.975]
    )
    return f"{float(statistic(np.ones((1, groups)))[0]):.3f} [{low:.3f}, {high:.3f}]"


def judge(source: Source, everything: dict[str, Source], arguments: argparse.Namespace) -> str:
    """The tables of the networks of one source."""
    own = read(source, arguments.scratch / "cache")
    rows = own.rows("test")
    tests = {"same": (own, partial(np.asarray, own.tiles[rows]))}
    tests |= {how: (own, partial(shifted, own.tiles[rows], how)) for how in SHIFTS}
    if source.other:
        strange = read(everything[source.other], arguments.scratch / "cache")
        tests[source.other] = (strange, partial(np.asarray, strange.tiles[strange.rows("test")]))
    found: dict[tuple[str, str], list[TilePredictions]] = {}
    runs = {
        (level, seed): train(source, level, seed, arguments)
        for seed in range(arguments.seeds)
        for level in arguments.levels
    }
    for name, (of, make) in tests.items():
        tiles, test, task = make(), of.rows("test"), of.tasks[0]
        for (level, _), run in runs.items():
            truth, group = of.targets[task.name][test], group_numbers(of.group[test])
            judged = TilePredictions(task, truth, predict(run, tiles), group)
            found.setdefault((level, name), []).append(judged)
    lines = []
    for number, measure in enumerate(MEASURES):
        lines += [
            f"\n### Trained on {source.name}: {measure}\n",
            "| augmentation | " + " | ".join(tests) + " |",
        ]
        lines.append("| --- |" + " --- |" * len(tests))
        for level in arguments.levels:
            cells = [measured(found[level, name], number) for name in tests]
            lines.append(f"| {level} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    parser.add_argument("--only", help="one source: lymph, MIDOG21 or TUPAC16")
    arguments = parser.parse_args()
    arguments.scratch = arguments.scratch.resolve()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    everything = sources(arguments.data, arguments.scratch)
    for name, source in everything.items():
        if arguments.only in (None, name):
            print(judge(source, everything, arguments), flush=True)


if __name__ == "__main__":
    main()
