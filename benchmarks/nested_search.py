"""Time and memory of a nested search on a cohort of the usual size.

    python benchmarks/nested_search.py --scratch SCRATCH

200 patients with one map of 128 x 100 x 100 each (noise, and a weak severity in two channels), 5 folds, 4
combinations of settings searched inside every fold. Prints minutes, peak memory and what was found. The run
resumes: the same command goes on where it was stopped, and then prints the time of the last part only.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from histonic import evaluate_run, train_slides
from histonic.app.terminal.progress import TerminalProgress
from histonic.core.compressed import CompressedSlide, SlideDescription
from histonic.core.grid import TileGrid
from histonic.data.maps.store import encoder_path
from histonic.data.maps.writer import write_map
from histonic.encoders.base import describe, load_encoder

PATIENTS, SIDE, WORKERS = 200, 100, 2
SEARCH = {"aggregator": "convnet,abmil", "learning_rate": "0.01,0.001"}


def make_store(folder: Path) -> None:
    """Maps as large as those of slides of 6 x 6 mm; half of each is tissue."""
    encoder = load_encoder("histonic-mtl")
    rng = np.random.default_rng(0)
    grid = TileGrid.over((SIDE * 128, SIDE * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    mask = np.hypot(x, y) < 0.4 * SIDE
    rows = []
    for number in range(PATIENTS):
        severity = rng.normal()
        codes = rng.normal(size=(encoder.spec.code_size, SIDE, SIDE)).astype(np.float32)
        codes[:2] += 0.3 * severity
        name = f"s{number:03d}"
        made = CompressedSlide(
            name,
            (codes * mask).astype(np.float16),
            mask,
            grid,
            describe(encoder),
            SlideDescription(fingerprint=name),
        )
        write_map(folder / "store" / f"{name}.zarr", made)
        rows.append({"patient_id": f"P{number:03d}", "slide_id": name, "score": severity + rng.normal()})
    encoder.save(encoder_path(folder / "store"))
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    arguments = parser.parse_args()
    folder = arguments.scratch
    if not (folder / "labels.csv").is_file():
        make_store(folder)
    begun = time.perf_counter()
    with TerminalProgress() as progress:
        run = train_slides(
            store=folder / "store",
            labels=folder / "labels.csv",
            target=("score:regression",),
            out=folder / "run",
            folds=5,
            initialisations=1,
            search=SEARCH,
            workers=WORKERS,
            device="cpu",
            progress=progress,
        )
    minutes = (time.perf_counter() - begun) / 60
    parent, worker = (
        resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    history = pd.read_csv(run / "history.csv")
    score = evaluate_run(run, resamples=1000)[0].scores[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"minutes: {minutes:.1f}")
    print(f"peak memory, GiB: {parent:.2f}, and each of {WORKERS} workers at most {worker:.2f}")
    print(f"epochs of the 5 networks kept: {len(history) - 5}")
    print(f"{score.name}: {score.value:.2f} ({score.low:.2f} to {score.high:.2f})")
    print(pd.read_csv(run / "search.csv").to_string(index=False))


if __name__ == "__main__":
    main()
