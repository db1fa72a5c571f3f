"""Two stains of a patient, joined: against each alone, with all slides and with some missing.

    python benchmarks/joined_parts.py --scratch SCRATCH --patients 60 --seeds 2

Simulated patients have a slide in H&E and one in Ki-67, of which only one tells the label (``histonic
simulate stains``). Each stain is compressed with an encoder of its own, and networks are trained on each
alone and on both, with the same settings. AUROC by patient, out of fold, with 95 % intervals; means over
seeds. Maps and runs are kept in the scratch folder and used again; the table goes to standard output.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from histonic.metrics.discrimination.labels import auroc
from histonic.simulate.two_stains import PARTS, simulate_two_stains
from histonic.stages.compress.compress import compress
from histonic.stages.train.train import train_slides

ENCODERS = {"he": "histonic-mtl", "ki67": "colour"}
"""Of other code sizes: 128 and 18 numbers."""
RESAMPLES = 1000


def cohort(scratch: Path, patients: int, seed: int, signal: str, missing: float, side_px: int) -> Path:
    folder = scratch / f"{signal}-{missing:g}-{patients}-{seed}-{side_px}"
    made = simulate_two_stains(
        folder,
        patients=patients,
        signal=signal,
        missing=missing,
        seed=seed,
        side_px=side_px,  # type: ignore[arg-type]
    )
    for part, slides in made.slides_dirs.items():
        result = compress(slides=[slides], encoder=ENCODERS[part], out=folder / "maps" / part, device="cpu")
        if result.failures:
            raise SystemExit(f"{part}: {result.failures[0].reason}")
    return folder


def scored(folder: Path, part: str, aggregator: str, seed: int) -> tuple[float, float, float, int]:
    """AUROC with the ends of its interval, and patients."""
    store = folder / "maps" / part if part else folder / "maps"
    run = train_slides(
        store=store,
        labels=folder / "labels.csv",
        target=["proliferating:binary"],
        out=folder / f"run-{aggregator}-{part or 'both'}",
        aggregator=aggregator,
        initialisations=1,
        max_epochs=60,
        seed=seed,
        device="cpu",
    )
    table = pd.read_csv(run / "predictions" / "proliferating.csv")
    truth, value = (table["truth"] == "yes").to_numpy(), table["p_yes"].to_numpy()
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(truth), len(truth))
        if truth[rows].any() and not truth[rows].all():
            drawn.append(auroc(truth[rows], value[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(auroc(truth, value)), float(low), float(high), len(truth)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--side-px", type=int, default=640)
    parser.add_argument("--signals", nargs="*", default=list(PARTS))
    parser.add_argument("--missing", nargs="*", type=float, default=[0.0, 0.3])
    parser.add_argument("--aggregators", nargs="*", default=["mean", "abmil"])
    given = parser.parse_args()
    print("| signal in | missing | aggregator | H&E alone | Ki-67 alone | both |")
    print("| --- | --- | --- | --- | --- | --- |")
    for signal in given.signals:
        for missing in given.missing:
            folders = [
                cohort(given.scratch, given.patients, seed, signal, missing, given.side_px)
                for seed in range(given.seeds)
            ]
            for aggregator in given.aggregators:
                cells = []
                for part in (*PARTS, ""):
                    found = [scored(each, part, aggregator, seed) for seed, each in enumerate(folders)]
                    value, low, high, patients = (float(np.mean(each)) for each in zip(*found, strict=True))
                    cells.append(f"{value:.3f} [{low:.3f}, {high:.3f}], n {patients:.0f}")
                print(f"| {signal} | {missing:.0%} | {aggregator} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
