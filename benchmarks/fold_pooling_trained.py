"""The leading metric of real trainings on sites with other rates of the outcome, counted again pair by pair.

    python benchmarks/fold_pooling_trained.py [--patients 100] [--write]

Writes maps of random codes, of which two channels know the outcome or nothing does, for patients of four
sites whose outcome rates are 10, 35, 65 and 90 %. Trains every kind of target with site folds and with random
folds, and prints the leading number with its interval, the same number from the table of predictions by its
definition (pairs, or disagreements, of patients of one fold), the pooled number, and the report's verdict.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from histonic import evaluate_run, train_slides
from histonic.core.compressed import CompressedSlide, MapSettings, SlideDescription
from histonic.core.grid import TileGrid
from histonic.core.settings import TissueSettings
from histonic.core.task import Task
from histonic.data.maps.store import encoder_path
from histonic.data.maps.writer import write_map
from histonic.encoders.base import describe, load_encoder
from histonic.stages.evaluate.chance import judge

TABLE = Path(__file__).with_suffix(".md")
RATES = (0.1, 0.35, 0.65, 0.9)
CHANNELS, SIDE = 18, 6
TARGETS = {
    "binary": "y:binary:binary:positive=yes",
    "multiclass": "y:multiclass:multiclass",
    "ordinal": "y:ordinal:ordinal",
    "regression": "y:regression:value",
    "survival": "y:survival:time,event",
}
HEAD = (
    "| target | folds | slides know | leading metric | interval | by definition | pooled | verdict |\n"
    + "| --- " * 8
    + "|"
)


def write_cohort(folder: Path, patients: int, knows: bool) -> None:
    rng = np.random.default_rng(3)
    encoder = load_encoder("colour")
    site = np.arange(patients) % len(RATES)
    rate, hidden = np.array(RATES)[site], rng.normal(size=patients)
    two = rng.binomial(2, rate)
    time, end = rng.exponential(np.exp(-2 * rate - hidden)), rng.exponential(1.0, patients)
    binary = rng.random(patients) < rate
    grid = TileGrid.over((SIDE * 128, SIDE * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    for number in range(patients):
        codes = rng.normal(size=(CHANNELS, SIDE, SIDE))
        if knows:
            codes[0] += binary[number] + 0.5 * two[number]
            codes[1] += hidden[number]
        name = f"p{number:03d}"
        mask = np.ones((SIDE, SIDE), bool)
        about = (describe(encoder), SlideDescription(fingerprint=name))
        slide = CompressedSlide(
            name, codes.astype(np.float16), mask, grid, *about, settings=MapSettings(tissue=TissueSettings())
        )
        write_map(folder / "store" / f"{name}.zarr", slide)
    encoder.save(encoder_path(folder / "store"))
    names = [f"p{number:03d}" for number in range(patients)]
    table = {
        "patient_id": names,
        "slide_id": names,
        "site": [f"site {k}" for k in site],
        "binary": np.where(binary, "yes", "no"),
        "multiclass": np.array(["adeno", "clear", "mixed"])[two],
        "ordinal": np.array(["low", "mid", "high"])[two],
        "value": (20 * rate + 4 * hidden).round(2),
        "time": (12 * np.minimum(time, end)).round(2) + 0.01,
        "event": (time <= end).astype(int),
    }
    pd.DataFrame(table).to_csv(folder / "labels.csv", index=False)


def by_definition(task: Task, rows: pd.DataFrame) -> float:
    """The leading number from the table of predictions, without the package's functions."""
    folds = [part for _, part in rows.groupby("fold")]
    if task.kind in ("binary", "multiclass"):
        names = [task.classes[1]] if task.kind == "binary" else task.classes
        return float(np.mean([_areas(folds, name) for name in names]))
    if task.kind == "ordinal":
        place = {name: at for at, name in enumerate(task.classes)}
        seen = chance = 0.0
        for part in folds:
            truth, called = (part[name].map(place).to_numpy() for name in ("truth", "predicted"))
            seen += np.sum((truth - called) ** 2)
            apart = (truth[:, None] - called) ** 2
            chance += (apart.sum() - np.trace(apart)) / (len(part) - 1)
        return float(1 - seen / chance)
    if task.kind == "survival":
        right = pairs = 0.0
        for part in folds:
            time, event, risk = (part[name].to_numpy(float) for name in ("time", "event", "risk"))
            known = (event[:, None] == 1) & (
                (time[:, None] < time) | ((time[:, None] == time) & (event == 0))
            )
            right += np.sum(known * ((risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)))
            pairs += known.sum()
        return float(right / pairs)
    sums = np.zeros(3)
    for part in folds:
        one, other = (
            np.sign(np.subtract.outer(*2 * [part[name].to_numpy()])) for name in ("truth", "predicted")
        )
        for at, (a, b) in enumerate(((one, other), (one, one), (other, other))):
            # All triples less those whose second and third patient are the same.
            sums[at] += (np.sum(a.sum(axis=1) * b.sum(axis=1)) - np.sum(a * b)) / (len(part) - 2)
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))


def _areas(folds: list[pd.DataFrame], name: str) -> float:
    right = pairs = 0.0
    for part in folds:
        score, positive = part[f"p_{name}"].to_numpy(), (part["truth"] == name).to_numpy()
        above = score[positive][:, None] - score[~positive]
        right += np.sum(above > 0) + 0.5 * np.sum(above == 0)
        pairs += above.size
    return right / pairs


def row(folder: Path, kind: str, split: str, knows: bool) -> str:
    run = train_slides(
        store=folder / "store",
        labels=folder / "labels.csv",
        target=(TARGETS[kind],),
        out=folder / f"{kind}-{split}",
        split=split,
        folds=4,
        initialisations=1,
        max_epochs=12,
        device="cpu",
    )
    found = evaluate_run(run)[0]
    leading = found.scores[0]
    pooled = next(score for score in found.scores if score.name == f"{leading.name}, folds pooled")
    rows = pd.read_csv(run / "predictions" / "y.csv", dtype={"truth": str} if found.task.classes else None)
    return (
        f"| {kind} | {'whole sites' if split == 'site' else 'random'} | "
        f"{'something' if knows else 'nothing'} | "
        f"{leading.name} {leading.value:.3f} | {leading.low:.3f} to {leading.high:.3f} | "
        f"{by_definition(found.task, rows):.3f} | {pooled.value:.3f} | {judge([leading], [True])[0].word} |"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--write", action="store_true", help=f"write the table to {TABLE.name}")
    options = parser.parse_args()
    print(HEAD)
    lines = [HEAD]
    for knows in (False, True):
        with tempfile.TemporaryDirectory() as name:
            write_cohort(Path(name), options.patients, knows)
            for kind in TARGETS:
                for split in ("site", "random"):
                    lines.append(row(Path(name), kind, split, knows))
                    print(lines[-1], flush=True)
    if options.write:
        about = (
            "# Real trainings on sites with other rates of the outcome\n\n"
            f"`python benchmarks/fold_pooling_trained.py --patients {options.patients}`; what the columns "
            "mean stands in the script.\n\n"
        )
        TABLE.write_text(about + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
