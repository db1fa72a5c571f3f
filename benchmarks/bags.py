"""Do the bag aggregators reach the published accuracies on the classic sets of multiple-instance learning?

    python benchmarks/bags.py --bags HISTONIC_DATA/bags --work WORK [--repeats 5] [--aggregators abmil clam]

Every bag of musk1 (Dietterich et al. 1997) and elephant (Andrews et al. 2003) becomes a small map, one
instance a cell, and ``histonic train`` does the rest with its default settings: 10-fold cross-validation by
bag, repeated with other seeds. Results are kept in WORK/results.csv: an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import csv
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histonic import train_slides
from histonic.aggregators.base import first_rate
from histonic.core.compressed import CompressedSlide, EncoderDescription, EncoderSpec, SlideDescription
from histonic.core.grid import TileGrid
from histonic.data.maps.writer import write_map

FOLDS = 10
AGGREGATORS = ("mean", "max", "abmil", "clam", "dsmil", "transmil")
SETS = ("musk1", "elephant")
# As published: gated attention in table 1 of Ilse, Tomczak and Welling (2018), DSMIL in table 2 of Li, Li and
# Eliceiri (2021). The authors of CLAM and TransMIL did not measure them on these sets.
PUBLISHED = {
    ("musk1", "abmil"): "0.900 ± 0.050",
    ("musk1", "dsmil"): "0.932 ± 0.023",
    ("elephant", "abmil"): "0.857 ± 0.027",
    ("elephant", "dsmil"): "0.925 ± 0.007",
}


def write_store(table: Path, folder: Path) -> None:
    """``folder/store`` with a map a bag, its instances row by row in a square, and ``folder/labels.csv``."""
    rows = pd.read_csv(table, header=None)
    labels = []
    spec = EncoderSpec(table.stem, "none", 128, 0.5, rows.shape[1] - 2)
    encoder = EncoderDescription(name=table.stem, fingerprint=table.stem, spec=spec)
    for number, bag in rows.groupby(1):
        slide_id = f"bag{number:03d}"
        write_map(
            folder / "store" / f"{slide_id}.zarr", bag_map(slide_id, bag.iloc[:, 2:].to_numpy(), encoder)
        )
        labels.append({"patient_id": slide_id, "slide_id": slide_id, "label": f"c{bag.iloc[0, 0]}"})
    pd.DataFrame(labels).to_csv(folder / "labels.csv", index=False)


def bag_map(slide_id: str, instances: np.ndarray, encoder: EncoderDescription) -> CompressedSlide:
    """Instances ``(N, D)`` as a map."""
    side = math.ceil(math.sqrt(len(instances)))
    codes = np.zeros((side * side, instances.shape[1]), np.float16)
    codes[: len(instances)] = instances
    mask = (np.arange(side * side) < len(instances)).reshape(side, side)
    grid = TileGrid.over((side * 128, side * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    maps = codes.reshape(side, side, -1).transpose(2, 0, 1)
    return CompressedSlide(slide_id, maps, mask, grid, encoder, SlideDescription(fingerprint=slide_id))


def measure(folder: Path, aggregator: str, seed: int, more: dict[str, Any]) -> tuple[float, float]:
    """Accuracy and mean -log P(truth) over all bags of one 10-fold cross-validation."""
    out = folder / f"run-{aggregator}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    train_slides(
        store=folder / "store",
        labels=folder / "labels.csv",
        target=["label:binary"],
        out=out,
        aggregator=aggregator,
        folds=FOLDS,
        seed=seed,
        device="cpu",
        **more,
    )
    found = pd.read_csv(out / "predictions" / "label.csv")
    shutil.rmtree(out)
    chance = np.where(found["truth"] == "c1", found["p_c1"], found["p_c0"]).clip(1e-6)
    return float((found["predicted"] == found["truth"]).mean()), float(-np.log(chance).mean())


def show(results: Path) -> None:
    """The table, in Markdown."""
    frame = pd.read_csv(results)
    print("| set | aggregator | learning rate | accuracy by repeat | log loss by repeat | published |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (name, aggregator, rate), group in frame.groupby(["set", "aggregator", "learning_rate"], sort=False):
        accuracies, losses = (
            ", ".join(f"{value:.3f}" for value in group[column]) for column in ("accuracy", "log_loss")
        )
        print(
            f"| {name} | {aggregator} | {f'{rate:g}' if rate else 'fitted'} | {accuracies} | {losses} "
            f"| {PUBLISHED.get((name, aggregator), '')} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bags", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--aggregators", nargs="+", default=AGGREGATORS)
    parser.add_argument("--rates", nargs="+", type=float, help="by default each aggregator's own")
    parser.add_argument("--initialisations", type=int, default=2)
    options = parser.parse_args()
    results = options.work / "results.csv"
    options.work.mkdir(parents=True, exist_ok=True)
    if not results.is_file():
        results.write_text("set,aggregator,learning_rate,seed,accuracy,log_loss,seconds\n", encoding="utf-8")
    done = set(
        pd.read_csv(results)[["set", "aggregator", "learning_rate", "seed"]].itertuples(
            index=False, name=None
        )
    )
    for name in options.sets:
        folder = options.work / name
        if not (folder / "labels.csv").is_file():
            write_store(options.bags / f"{name}.csv", folder)
        for seed in range(options.repeats):
            for aggregator in options.aggregators:
                for rate in options.rates or [first_rate(aggregator, None)]:
                    if (name, aggregator, rate, seed) in done:
                        continue
                    began = time.perf_counter()
                    # Aggregators that are fitted have no rate: 0.
                    more = {"learning_rate": rate or None, "initialisations": options.initialisations}
                    accuracy, loss = measure(folder, aggregator, seed, more)
                    with results.open("a", encoding="utf-8", newline="") as file:
                        spent = round(time.perf_counter() - began, 1)
                        csv.writer(file, lineterminator="\n").writerow(
                            [name, aggregator, rate, seed, round(accuracy, 4), round(loss, 4), spent]
                        )
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
