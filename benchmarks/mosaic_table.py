"""Encoders and aggregators on slides of real tissue whose right answer is known.

    python benchmarks/encoder_table.py HISTONIC_DATA --scratch ENCODERS --seeds 3
    python benchmarks/mosaic_table.py HISTONIC_DATA --encoders ENCODERS --scratch SCRATCH --seeds 3

Lays the tiles of two sets out as cohorts (80 patients of training tiles, 24 or 16 of test tiles), compresses
each cohort with every encoder, trains on the training patients and scores the test patients. The encoders
that are trained here are those of encoder_table.py; that of "this task left out" never saw the tile set.
Finished parts are reused; ``--shard i/n`` lets several processes share the work, ``--until compress`` stops
before training. The tables go to standard output.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from histonic import compress, simulate_mosaic, train_slides
from histonic.runs.predictions import read_predictions
from histonic.runs.run import read_facts
from histonic.stages.encoder.imported import import_encoder
from histonic.stages.evaluate.evaluate import EVALUATORS

SETS: dict[str, dict[str, Any]] = {
    "breast_mitosis": {
        "mpp_of_tiles": 0.25,
        "scale_of_tiles": "compose",
        "lesion": ("mitosis",),
        "background": ("non_mitosis",),
        "patients": 80,
        "test_patients": 24,
    },
    "colorectal_diagnosis": {
        "scale_of_tiles": "fill",
        "lesion": ("adenocarcinoma",),
        "background": ("healthy",),
        "patients": 80,
        "test_patients": 16,
    },
}
"""As many test patients as leave each a dozen and more test tiles of his own; patients share none.

Mitoses are laid at their true scale on crops of their own kind without one."""
CELLS = 16
KINDS: dict[str, dict[str, Any]] = {
    "needle, 5 %": {"kind": "needle", "lesion_share": 0.05},
    "needle, 20 %": {"kind": "needle", "lesion_share": 0.2},
    "fraction": {"kind": "fraction"},
    "survival": {"kind": "survival"},
    "arrangement": {"kind": "arrangement"},
}
TARGETS = {
    "needle": "lesion:binary",
    "fraction": "fraction:regression",
    "arrangement": "arrangement:binary",
    "survival": "os:survival:os_months,os_event",
}
ENCODERS = {
    "colour": "colour",
    "released BiGAN": "encoder_bigan.h5",
    "released multitask-4": "encoder_multitask-4.h5",
    "ours, unsupervised (BiGAN)": "runs/bigan-{seed}/encoder.safetensors",
    "ours, multitask, this task left out": "runs/without-{set}-{seed}/encoder.safetensors",
    "ours, multitask": "histonic-mtl",
    "histonic-lite": "histonic-lite",
}
AGAINST = ("ours, multitask", "ours, multitask, this task left out", "histonic-lite")
RESAMPLES = 2000
PAIR = ("convnet", "abmil")
EVERY = ("convnet", "abmil", "mean", "max", "clam", "dsmil", "transmil")
"""Aggregators that are tried on the arrangement, where only a model that sees places can learn."""


@dataclass(frozen=True)
class Cell:
    """One training: cohort, encoder, aggregator."""

    set: str
    kind: str
    seed: int
    encoder: str
    aggregator: str

    @property
    def cohort(self) -> str:
        """Folder of the slides."""
        return f"{self.set}/{self.kind.replace(', ', '-').replace(' %', '')}-{self.seed}"

    @property
    def key(self) -> str:
        """Folder of the maps and runs."""
        encoder = self.encoder.replace(" ", "-").replace(",", "").replace("(", "").replace(")", "")
        return f"{self.cohort}/{encoder}"


def cells(arguments: argparse.Namespace) -> list[Cell]:
    """Every training; whole seeds one after the other, so that an unfinished table is a fair one."""
    found, encoders = [], arguments.only
    for seed in range(arguments.seeds):
        for name in arguments.sets:
            for kind in arguments.kinds:
                if kind == "arrangement" and "ours, multitask" not in encoders:
                    continue
                if kind == "arrangement":
                    if name == arguments.sets[0]:
                        found += [Cell(name, kind, seed, "ours, multitask", each) for each in EVERY]
                    continue
                found += [Cell(name, kind, seed, encoder, each) for encoder in encoders for each in PAIR]
    return found


def make_store(cell: Cell, arguments: argparse.Namespace) -> Path:
    """The cohort's slides (once) and their maps (once an encoder)."""
    folder = arguments.scratch / cell.cohort
    simulate_mosaic(
        tiles=arguments.data / "patches" / cell.set,
        **SETS[cell.set],
        **KINDS[cell.kind],
        cells=CELLS,
        seed=cell.seed,
        out=folder / "cohort",
        cache=arguments.scratch / "cache",
    )
    store = arguments.scratch / cell.key / "store"
    result = compress(
        slides=(folder / "cohort" / "slides",),
        encoder=encoder_of(cell, arguments),
        out=store,
        device="cpu",
        precision="32" if cell.encoder == "histonic-lite" else "bf16",
    )
    if result.failures:
        raise SystemExit(f"{store}: {result.failures}")
    return store


def encoder_of(cell: Cell, arguments: argparse.Namespace) -> str:
    found = ENCODERS[cell.encoder].format(seed=cell.seed, set=cell.set)
    if found.startswith("runs/"):
        return str(arguments.encoders / found)
    if found.endswith(".h5"):
        path = arguments.scratch / "encoders" / Path(found).with_suffix(".safetensors").name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            import_encoder(arguments.data / "encoders" / found, path)
        return str(path)
    return found


def train(cell: Cell, store: Path, arguments: argparse.Namespace) -> Path:
    out = arguments.scratch / cell.key / cell.aggregator
    train_slides(
        store=store,
        labels=arguments.scratch / cell.cohort / "cohort" / "labels.csv",
        target=(TARGETS[KINDS[cell.kind]["kind"]],),
        aggregator=cell.aggregator,
        initialisations=1,
        seed=cell.seed,
        device="cpu",
        out=out,
    )
    return out


def test_scores(cell: Cell, arguments: argparse.Namespace) -> np.ndarray | None:
    """The leading metric of the test patients: its value, then on resamples of them; None if not trained."""
    run = arguments.scratch / cell.key / cell.aggregator
    if not (run / "run.json").is_file():
        return None
    task = read_facts(run).tasks[0]
    evaluated = EVALUATORS[task.kind](read_predictions(run, task))
    n = len(evaluated.fold)
    # Every encoder and aggregator on the same resamples of a cohort's patients.
    rng = np.random.default_rng(zlib.crc32(cell.cohort.encode()))
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    counts = np.concatenate([np.ones((1, n)), drawn])
    return np.asarray(evaluated.measures[0].statistic(counts))


def told(values: np.ndarray) -> str:
    """Value and 95 % interval."""
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return f"{values[0]:.2f} ({low:.2f} to {high:.2f})"


def mean_of(found: dict[Cell, np.ndarray], wanted: list[Cell]) -> np.ndarray | None:
    """Mean over trainings; None if one of them is absent."""
    return np.mean([found[cell] for cell in wanted], axis=0) if all(c in found for c in wanted) else None


def tables(every: list[Cell], arguments: argparse.Namespace) -> list[str]:
    """The tables in markdown, of whole seeds only."""
    found = {cell: scores for cell in every if (scores := test_scores(cell, arguments)) is not None}
    kinds = [kind for kind in arguments.kinds if kind != "arrangement"]
    seeds = [s for s in range(arguments.seeds) if all(c in found for c in every if c.seed == s)]
    lines = [f"Seeds: {len(seeds)}. {sum(cell.seed in seeds for cell in found)} trainings.", ""]
    for name in arguments.sets:
        lines += [f"### {name}", "", "| encoder | aggregator | " + " | ".join(kinds) + " | mean |"]
        lines.append("| --- | --- |" + " --- |" * (len(kinds) + 1))
        for encoder in arguments.only:
            for aggregator in PAIR:
                row = [
                    mean_of(found, [Cell(name, kind, seed, encoder, aggregator) for seed in seeds])
                    for kind in kinds
                ]
                texts = [told(each) for each in [*row, np.mean(row, axis=0)]]
                lines.append(f"| {encoder} | {aggregator} | " + " | ".join(texts) + " |")
        lines.append("")
    lines += ["### Mean of the sets, all questions and both aggregators", ""]
    against = [name for name in AGAINST if name in arguments.only]
    lines.append("| encoder | mean | " + " | ".join(f"{name}, minus it" for name in against) + " |")
    lines.append("| --- | --- |" + " --- |" * len(against))
    means = {
        encoder: mean_of(
            found, [c for c in every if c.encoder == encoder and c.seed in seeds and c.kind in kinds]
        )
        for encoder in arguments.only
    }
    ours = [means[name] for name in against]
    for encoder, values in means.items():
        gains = [told(each - values) if each is not values else "" for each in ours]
        lines.append(f"| {encoder} | {told(values)} | {' | '.join(gains)} |")
    if "arrangement" not in arguments.kinds or "ours, multitask" not in arguments.only:
        return lines
    lines += ["", "### Arrangement", "", "| aggregator | AUROC |", "| --- | --- |"]
    for aggregator in EVERY:
        cells_here = [
            c for c in every if c.kind == "arrangement" and c.aggregator == aggregator and c.seed in seeds
        ]
        lines.append(f"| {aggregator} | {told(mean_of(found, cells_here))} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoders", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[*ENCODERS], default=[*ENCODERS], metavar="ENCODER")
    parser.add_argument("--sets", nargs="+", choices=[*SETS], default=[*SETS])
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=[*KINDS], metavar="KIND")
    parser.add_argument("--shard", default="1/1")
    parser.add_argument("--until", choices=("compress", "train"), default="train")
    arguments = parser.parse_args()
    index, parts = (int(part) for part in arguments.shard.split("/"))
    every = cells(arguments)
    stores = sorted({each.key for each in every}, key=[each.key for each in every].index)
    for cell in every:
        if stores.index(cell.key) % parts != index - 1:
            continue
        print(cell.key, cell.aggregator, flush=True)
        store = make_store(cell, arguments)
        if arguments.until == "train":
            train(cell, store, arguments)
    if parts == 1 and arguments.until == "train":
        print("\n".join(tables(every, arguments)))


if __name__ == "__main__":
    main()
