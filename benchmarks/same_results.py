"""Say whether two versions of the source give the same results, file by file and byte by byte.

    python benchmarks/same_results.py make FOLDER [--source SRC] [--patients 20]
    python benchmarks/same_results.py compare FOLDER_A FOLDER_B

``make`` runs every stage once, small, by the public names of the package that stands in SRC (a checkout's
``src``; by default the installed one), with paths relative to FOLDER, on one thread. ``compare`` prints
every file that is missing on one side or differs. Text is compared after removing times, versions,
formats and folders' names; pictures, arrays and weights as they are.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

TARGETS = ("grade:multiclass", "proliferation_score:regression", "os:survival:os_months,os_event")
QUICK = {"tile_px": 64, "mpp": 1.0, "code_size": 8, "batch": 8, "steps": 3, "max_epochs": 2, "device": "cpu"}
CLASSES = {"pale": (220, 180, 210), "dark": (120, 60, 130), "red": (200, 80, 90)}
FREE_KEYS = {
    "format",
    "versions",
    "encoder_seconds",
    "created",
    "written",
    "started",
    "finished",
    "peak_mb",
}
TEXTS = (".html", ".md")
DATES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?")


def write_tiles(folder: Path, classes: tuple[str, ...], count: int = 24, side: int = 64) -> Path:
    """Tiles of noise around a colour a class, by a split in the file."""
    rng = np.random.default_rng(len(classes))
    rows = ["path,label,split,group"]
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(-60, 60, (side, side, 1))
            pixels = np.clip(np.array(CLASSES[label]) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
            split = ("train", "train", "val", "test")[number // 2 % 4]
            rows.append(f"{label}/{number}.png,{label},{split},{label}{number // 2}")
    (folder / "tiles.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def run_all(patients: int) -> None:
    """Every stage once, in the working directory."""
    import torch

    import histonic
    from histonic.simulate.slides import simulate_cohort

    torch.set_num_threads(1)
    print("source:", Path(histonic.__file__).parent, flush=True)
    simulate_cohort(Path("cohort"), patients=patients, seed=0, side_px=1536, processes=2)
    simulate_cohort(Path("other"), patients=12, seed=5, side_px=1024, processes=2)
    shutil.copy("cohort/labels.csv", "labels.csv")
    for name in ("cohort", "other"):
        histonic.compress(slides=(Path(name) / "slides",), out=Path("stores") / name, device="cpu")
    base: dict[str, Any] = {"store": "stores/cohort", "labels": "labels.csv", "device": "cpu"}
    base |= {"max_epochs": 4, "folds": 3, "initialisations": 2}
    for aggregator, more in _trainings().items():
        out = Path("runs") / aggregator
        histonic.train_slides(**{**base, "target": TARGETS, "out": out, "aggregator": aggregator, **more})
        histonic.explain(run=out, patients=1)
    for method in ("grad-cam", "hires-cam", "occlusion"):
        histonic.explain(run=Path("runs/convnet"), patients=1, method=method)
    histonic.explain(run=Path("runs/abmil"), patients=1, method="attention")
    histonic.external_test(run="runs/convnet", store="stores/other", labels="other/labels.csv", name="other")
    histonic.write_report(run="runs/convnet", resamples=200, subgroups=("site",), clinical=("site",))
    histonic.write_report(run="runs/abmil", resamples=200)
    runs = ("runs/convnet", "runs/abmil")
    histonic.compare_runs(runs=runs, out="comparison", resamples=200, permutations=200)
    histonic.audit(store="stores/cohort", labels="labels.csv", target=TARGETS, out="audit", permutations=200)
    histonic.predict(bundle="runs/convnet/bundle", slides=("stores/other",), out="predictions.csv")
    histonic.extract_tiles(slides=("other/slides",), out="cut", max_per_class_per_slide=6)
    sets = [
        {"name": "tint", "path": write_tiles(Path("tint"), ("pale", "dark")), "mpp": 1.0},
        {"name": "stain", "path": write_tiles(Path("stain"), ("pale", "dark", "red")), "mpp": 1.0},
        {"name": "dye", "path": write_tiles(Path("dye"), ("pale", "red")), "mpp": 1.0},
    ]
    histonic.train_encoder(out="encoders/multitask", sets=sets, **QUICK)
    for objective in ("vae", "contrastive", "ntxent", "bigan"):
        cut = {"tiles": ("cut",), "mpp_of_tiles": 0.5, "slides": ("other/slides",), "tiles_per_slide": 12}
        histonic.train_encoder(out=f"encoders/{objective}", objective=objective, **cut, **QUICK)
    judging = {"sets": sets, "base": QUICK, "seeds": 1, "resamples": 200}
    histonic.transfer(out="transfer", **judging)
    histonic.study_tasks(out="tasks", **judging)
    tiles = {"tiles": "tint", "mpp_of_tiles": 1.0, "lesion": ("dark",), "tile_px": 32, "mpp": 1.0, "cells": 8}
    histonic.simulate_mosaic(kind="needle", out="mosaic", patients=6, test_patients=3, seam_px=2, **tiles)


def _trainings() -> dict[str, dict[str, Any]]:
    return {
        "convnet": {"search": {"learning_rate": "0.001,0.0003"}, "search_trials": 2},
        "abmil": {"repeats": 2, "fusion": "early"},
        "mean": {},
        "clam": {"risk_sets": "batch", "hazard_intervals": 3},
        "transmil": {"split": "site", "initialisations": 1},
        "votes": {},
    }


def make(folder: Path, source: Path | None, patients: int) -> int:
    folder.mkdir(parents=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if source is not None:
        environment["PYTHONPATH"] = str(source.resolve())
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.resolve())!r}); "
    code += f"import same_results; same_results.run_all({patients})"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=False).returncode


def plain(value: Any) -> Any:
    """Plain values without what differs from run to run."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key not in FREE_KEYS}
    return [plain(each) for each in value] if isinstance(value, list) else value


def reader(path: Path, root: Path) -> Callable[[Path], Any]:
    """How a file is read for the comparison."""

    def words(file: Path) -> str:
        return DATES.sub("DATE", file.read_text(encoding="utf-8").replace(str(root.resolve()), "ROOT"))

    if path.suffix == ".json":
        return lambda file: plain(json.loads(words(file)))
    if path.suffix == ".yaml":
        return lambda file: plain(yaml.safe_load(words(file)))
    if path.suffix == ".csv":
        return lambda file: plain(list(csv.DictReader(words(file).splitlines())))
    return words if path.suffix in TEXTS else Path.read_bytes


def compare(first: Path, second: Path) -> int:
    """Print what differs; the number of files that do."""
    names = [
        {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        for root in (first, second)
    ]
    different = 0
    for name in sorted(names[0] ^ names[1]):
        print(f"only in {first if name in names[0] else second}: {name}")
        different += 1
    for name in sorted(names[0] & names[1]):
        read_a, read_b = reader(first / name, first), reader(second / name, second)
        if read_a(first / name) != read_b(second / name):
            print(f"differs: {name}")
            different += 1
    print(f"{len(names[0] & names[1])} files in both, {different} missing or different")
    return different


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make")
    maker.add_argument("folder", type=Path)
    maker.add_argument("--source", type=Path)
    maker.add_argument("--patients", type=int, default=20)
    comparer = commands.add_parser("compare")
    comparer.add_argument("first", type=Path)
    comparer.add_argument("second", type=Path)
    options = parser.parse_args()
    if options.command == "make":
        return make(options.folder, options.source, options.patients)
    return 1 if compare(options.first, options.second) else 0


if __name__ == "__main__":
    sys.exit(main())
