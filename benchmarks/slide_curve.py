"""The headline ablation on slides: encoders of 0, 1, 2, 4 and all tasks, judged by slide networks.

    python benchmarks/slide_curve.py HISTONIC_DATA --scratch SCRATCH --minutes 600 --out TABLE.md

Two cohorts of mosaics (``histonic simulate mosaic``) of real tiles, each with two questions: is a lesion of
20 % of the tissue there (AUROC), and which share of the tissue is lesion (Spearman correlation). The groups
of the tile set are halved: one half makes the patients, the other stands in the pool of tasks. So no encoder,
the positive control neither, has seen a tile that a patient shows, and all patients can be cross-validated
(4 folds x 2 networks). The curve's encoders have seen nothing of the set and of those related to it; those of
the positive control learn the other half of it.

Encoders are trained from chance weights of the network of the NIC papers for ``--steps`` steps of 64 tiles.
``histonic encoder tasks --cohort`` does the work: what is finished is kept in SCRATCH, and the same command
goes on. The last column of each table says how many encoders a point is of.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from frozen_codes import SETS, left_out_with
from histonic import simulate_mosaic, study_tasks
from histonic.core.errors import SettingsError
from histonic.core.files import write_text

COHORTS: dict[str, dict[str, Any]] = {
    "lymph_node_metastasis": {"lesion": ("tumor",), "background": ("normal",)},
    "colorectal_diagnosis": {"lesion": ("adenocarcinoma",), "background": ("healthy",)},
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "needle": {"kind": "needle", "lesion_share": 0.2, "target": "lesion:binary"},
    "fraction": {"kind": "fraction", "target": "fraction:regression"},
}
HALVES = ("pool", "patients")


def write_halves(name: str, folder: Path) -> None:
    """The set's table twice: half of its groups with their splits, and the other half as one split."""
    source = Path("patches", name).resolve()
    with (source / "tiles.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    keys = [row.get("group") or row["path"] for row in rows]
    names = sorted(set(keys))
    chosen = set(np.random.default_rng(5).permutation(names)[: len(names) // 2])
    for half in HALVES:
        folder.mkdir(parents=True, exist_ok=True)
        own = [row for row, key in zip(rows, keys, strict=True) if (key in chosen) == (half == "patients")]
        for row in own:
            row["path"] = str(source / row["path"])
            if half == "patients":
                row["split"] = "train"
        with (folder / f"{half}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(own)


def declared(name: str, cohort: str, halves: Path) -> dict[str, Any]:
    """What is said of a set; of the cohort's own the half that is in the pool."""
    known = next(each for each in SETS if each["name"] == name)
    path = halves / "pool.csv" if name == cohort else Path("patches", name).resolve()
    # A table of its own lists what lies elsewhere, and its halves hold turned copies of each other.
    return {**known, "path": str(path), "duplicates": "drop"}


def make_cohort(cohort: str, question: str, options: argparse.Namespace) -> Path:
    """Slides of patients whose tiles no encoder has seen."""
    folder: Path = options.scratch / cohort
    if not (folder / "patients.csv").is_file():
        write_halves(cohort, folder)
    known = next(each for each in SETS if each["name"] == cohort)
    how = {key: value for key, value in QUESTIONS[question].items() if key != "target"}
    return simulate_mosaic(
        set={**known, "path": folder / "patients.csv", "duplicates": "drop"},
        **COHORTS[cohort],
        **how,
        patients=options.patients,
        test_patients=0,
        cells=options.cells,
        seed=1,
        out=folder / question,
        cache=options.scratch / "cache",
    )


def write_labels(slides: Path, path: Path) -> Path:
    """The cohort's table without its column of one split: patients are cross-validated."""
    with (slides / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        columns = [name for name in rows[0] if name != "split"]
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def study(cohort: str, question: str, minutes: float, options: argparse.Namespace) -> Path:
    """The curve of one cohort and question."""
    slides = make_cohort(cohort, question, options)
    folder: Path = options.scratch / cohort
    own = left_out_with(cohort)
    sets = [declared(each["name"], cohort, folder) for each in SETS]
    labels = write_labels(slides, folder / f"{question}.csv")
    out = study_tasks(
        # Encoders do not depend on the question: the second one finds those of the first.
        out=options.scratch / f"study-{cohort}-{options.steps}",
        sets=sets,
        base={
            "trunk": "nic",
            "augment": "hed-strong",
            "steps": min(100, options.steps),
            "max_epochs": -(-options.steps // 100),
            "device": "cpu",
        },
        encoders=("colour",),
        seeds=options.seeds,
        max_subsets=options.subsets,
        cache=options.scratch / "cache",
        cohort={
            "slides": [slides / "slides"],
            "labels": labels,
            "target": [QUESTIONS[question]["target"]],
            "own_sets": own,
            "augments": options.augments,
            "unsupervised": options.unsupervised,
            "compress": {"precision": "bf16"},
            "train": {
                "aggregator": options.aggregator,
                "max_epochs": options.max_epochs,
                "workers": options.workers,
            },
            "minutes": max(0.0, minutes),
        },
    )
    kept = out / question
    kept.mkdir(exist_ok=True)
    for file in out.glob("slides.*"):
        shutil.copy(file, kept / file.name)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="file for the tables (.md)")
    parser.add_argument("--seeds", type=int, default=2, help="of the encoders")
    parser.add_argument("--steps", type=int, default=3000, help="of 64 tiles, for each encoder")
    parser.add_argument("--subsets", type=int, default=3, help="choices of 1, 2 and 4 tasks, at most")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--aggregator", default="abmil")
    parser.add_argument("--max-epochs", type=int, default=200, help="of the slide networks")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--augments", nargs="*", default=["morphology"])
    parser.add_argument("--unsupervised", default="bigan", help="objective of 0 tasks")
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--cohorts", nargs="+", default=list(COHORTS))
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS))
    options = parser.parse_args()
    options.scratch = options.scratch.resolve()
    options.out = options.out and options.out.resolve()
    os.chdir(options.data)
    started = time.monotonic()
    pages = []
    for cohort in options.cohorts:
        for question in options.questions:
            left = options.minutes - (time.monotonic() - started) / 60
            try:
                out = study(cohort, question, left, options)
            except SettingsError as error:
                pages.append(f"## {cohort}, {question}\n\n{error.found}\n")
                continue
            page = (out / "slides.md").read_text(encoding="utf-8").partition("\n\n")[2]
            pages.append(f"## {cohort}, {question}\n\n{page}")
            facts = json.loads((out / "slides.json").read_text(encoding="utf-8"))
            print(f"{cohort}, {question}: {facts['verdicts']}; {len(facts['not_yet'])} not yet", flush=True)
    print("\n".join(pages))
    if options.out:
        write_text(options.out, "\n".join(pages))


if __name__ == "__main__":
    main()
