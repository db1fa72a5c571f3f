"""A made-up run of every kind of target, for the tests of what reads runs."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from histonic.core.task import Task

GRADE = Task("grade", "ordinal", ("grade",), ("low", "intermediate", "high"))
MSI = Task("msi", "binary", ("msi",), ("stable", "instable"))
SUBTYPE = Task("subtype", "multiclass", ("subtype",), ("luminal A", "luminal B", "HER2", "basal"))
SCORE = Task("proliferation_score", "regression", ("ki67_percent",))
SURVIVAL = Task("overall_survival", "survival", ("os_months", "os_event"))
ALL_TASKS = (MSI, SUBTYPE, GRADE, SCORE, SURVIVAL)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """See :func:`write_run`."""
    return write_run


@pytest.fixture(scope="session")
def run_facts() -> Callable[[Sequence[Task]], dict[str, Any]]:
    """The content of ``run.json`` for some targets."""
    return _facts


def write_run(
    folder: Path,
    tasks: Sequence[Task] = ALL_TASKS,
    *,
    patients: int = 60,
    missing: float = 0.0,
    skill: float = 1.0,
    sites: Sequence[str] = ("Bergen", "Oslo", "Utrecht"),
    slides_each: int = 1,
    pictures: bool = True,
    seed: int = 0,
) -> Path:
    """Write the files of a finished run, with predictions that know the truth to a degree."""
    rng = np.random.default_rng(seed)
    names = [f"P{number:03d}" for number in range(patients)]
    hidden = rng.normal(size=patients)
    part = [number % 4 for number in range(patients)]
    site = [str(rng.choice(list(sites))) if sites else "" for _ in names]
    slides = [[f"{name}-{letter}" for letter in "ABCDEFGH"[:slides_each]] for name in names]
    folder.mkdir(parents=True)
    (folder / "predictions").mkdir()
    for task in tasks:
        known = rng.random(patients) >= missing
        seen = skill * hidden + rng.normal(scale=0.8, size=patients)
        columns = _columns(task, hidden, seen, known, rng)
        rows = {"patient_id": names, "site": site, "repeat": [0] * patients, "fold": part, **columns}
        _write_csv(folder / "predictions" / f"{task.name}.csv", rows)
    cohort = [
        {
            "patient_id": names[k],
            "site": site[k],
            "slide_ids": slides[k],
            "tested_in": [[0, part[k]]],
            "targets": {},
        }
        for k in range(patients)
    ]
    failures = [
        {
            "slide_id": "P900-A",
            "path": "slides/P900-A.svs",
            "stage": "open",
            "reason": "The file ends in the middle of a tile. Copy it again.",
        },
        {
            "slide_id": "P901-A",
            "path": "slides/P901-A.tif",
            "stage": "tissue",
            "reason": "Nothing on the slide counts as tissue. Look at its thumbnail; if there is tissue, "
            "give a mask.",
        },
    ]
    exclusions = [
        {"what": "patient", "name": "P900", "reason": "the store holds no map of P900-A"},
        {"what": "patient", "name": "P902", "reason": "every target is missing"},
        {"what": "slide", "name": "P902-A", "reason": "its patient was excluded"},
    ]
    used = patients * slides_each
    counts = {
        "slides_in_store": used + 1,
        "slides_failed": len(failures),
        "slides_used": used,
        "patients_in_table": patients + 2,
        "patients_used": patients,
    }
    _write_json(folder / "cohort.json", {"patients": cohort, "exclusions": exclusions, "counts": counts})
    _write_json(folder / "failures.json", failures)
    _write_json(folder / "run.json", _facts(tasks))
    settings = {"store": "store", "labels": "labels.csv", "target": [f"{t.name}:{t.kind}" for t in tasks]}
    settings |= {"out": "run", "folds": 4, "seed": 0, "max_epochs": 60, "columns": {"patient_id": "case"}}
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    _write_csv(folder / "history.csv", _losses(rng))
    if pictures:
        (folder / "thumbnails").mkdir()
        for slide in (name for group in slides for name in group):
            _paint(folder / "thumbnails" / f"{slide}.jpg", rng)
    return folder


def _columns(task: Task, hidden: Any, seen: Any, known: Any, rng: np.random.Generator) -> dict[str, Any]:
    if task.kind == "regression":
        truth = np.clip(25 + 12 * hidden + rng.normal(scale=3, size=len(hidden)), 0, 100).round(1)
        return {"truth": _blank(truth, known), "predicted": (25 + 9 * seen).round(3)}
    if task.kind == "survival":
        death = rng.exponential(40 * np.exp(-0.9 * hidden))
        end = rng.uniform(5, 90, len(hidden))
        return {
            "time": _blank(np.minimum(death, end).round(1), known),
            "event": _blank((death <= end).astype(int), known),
            "risk": seen.round(4),
            "high_risk": (seen > np.median(seen)).astype(int),
        }
    count = len(task.classes)
    truth = np.searchsorted(np.quantile(hidden, np.arange(1, count) / count), hidden)
    centres = np.linspace(-1.2, 1.2, count)
    odds = np.exp(-((seen[:, None] - centres) ** 2))
    share = odds / odds.sum(axis=1, keepdims=True)
    columns = {
        "truth": _blank(np.array(task.classes)[truth], known),
        "predicted": np.array(task.classes)[share.argmax(axis=1)],
        **{f"p_{name}": share[:, k].round(6) for k, name in enumerate(task.classes)},
    }
    return {**columns, "score": (share @ np.arange(count)).round(5)} if task.kind == "ordinal" else columns


def _blank(values: Any, known: Any) -> list[Any]:
    return [value if here else "" for value, here in zip(values.tolist(), known, strict=True)]


def _losses(rng: np.random.Generator) -> dict[str, list[float]]:
    rows: list[tuple[float, ...]] = []
    for fold in range(4):
        for epoch in range(24):
            train = 0.35 + 0.6 * np.exp(-epoch / 6) + rng.normal(scale=0.02)
            validation = 0.5 + 0.45 * np.exp(-epoch / 5) + 0.004 * epoch + rng.normal(scale=0.03)
            rows.append((0, fold, 0, epoch, 0.01, round(train, 5), round(validation, 5)))
    names = ("repeat", "fold", "initialisation", "epoch", "learning_rate", "train_loss", "validation_loss")
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def _facts(tasks: Sequence[Task]) -> dict[str, Any]:
    spec = {
        "name": "colour", "architecture": "colour", "tile_px": 128, "mpp": 0.5, "code_size": 18,
        "normalisation": "none", "licence": "Apache-2.0", "provenance": "histonic",
    }  # fmt: skip
    fingerprint = hashlib.sha256(b"colour").hexdigest()
    return {
        "histonic": "0.1.0",
        "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
        "seed": 0,
        "encoder": {"name": "colour", "fingerprint": fingerprint, "spec": spec},
        "store": "store",
        "code_size": 18,
        "crop_cells": 400,
        "aggregator": "convnet",
        "folds": 4,
        "repeats": 1,
        "split": "random",
        "initialisations": 1,
        "tasks": [task.to_dict() for task in tasks],
        "device": "cpu",
        "precision": "32",
        "bundle_fingerprint": fingerprint[::-1],
        "compress_settings": {
            "encoder": "colour", "mpp": 0.5, "batch": 256,
            "tissue": {"mpp": 8.0, "min_speck_um2": 30000.0, "max_hole_um2": 40000, "min_cell_share": 0.25},
        },
    }  # fmt: skip


def _paint(path: Path, rng: np.random.Generator) -> None:
    """Something pink on white, with an outline."""
    height, width = (512, 340) if rng.random() < 0.3 else (340, 512)
    y, x = np.mgrid[0:height, 0:width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    edge = 0.34 + 0.06 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.03 * np.sin(7 * angle + rng.uniform(0, 6))
    inside = np.hypot((x - width / 2) / width, (y - height / 2) / height) < edge
    picture = np.full((height, width, 3), 246.0)
    picture[inside] = np.array((214, 160, 196)) + rng.normal(scale=14, size=(int(inside.sum()), 1))
    border = inside ^ (
        np.roll(inside, 2, 0) & np.roll(inside, -2, 0) & np.roll(inside, 2, 1) & np.roll(inside, -2, 1)
    )
    picture[border] = (0, 90, 160)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=80)


def _write_csv(path: Path, columns: dict[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
