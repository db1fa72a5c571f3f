"""Patients in the order of their predictions, and the picture of their slides."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from histonic.core.task import Task
from histonic.runs import ordered
from histonic.runs.ordered import (
    GAP_PX,
    HEAD_PX,
    TEXT_PX,
    THUMBNAIL_PX,
    draw_ordered,
    order_patients,
    value_name,
)
from histonic.runs.predictions import PredictionTable

OS = Task("os", "survival", ("months", "dead"))


def table(risks: dict[str, list[float]]) -> PredictionTable:
    rows = [(name, risk) for name, several in risks.items() for risk in several]
    frame = pd.DataFrame(rows, columns=["patient_id", "risk"])
    return PredictionTable(OS, frame.assign(time=12.5, event=[k % 2 for k in range(len(frame))]))


def run_of(folder: Path, risks: dict[str, list[float]], shades: dict[str, int]) -> Any:
    (folder / "thumbnails").mkdir(exist_ok=True)
    for name, shade in shades.items():
        Image.fromarray(np.full((300, 300, 3), shade, np.uint8)).save(folder / "thumbnails" / f"{name}-1.jpg")
    patients = [SimpleNamespace(patient_id=name, slide_ids=(f"{name}-1",)) for name in risks]
    return SimpleNamespace(
        folder=folder,
        cohort=SimpleNamespace(patients=patients),
        tables={"os": table(risks)},
        thumbnail=lambda slide: folder / "thumbnails" / f"{slide}.jpg",
    )


def test_repeats_are_averaged_and_draws_go_by_name() -> None:
    risks = {"b": [1.0, 3.0], "a": [2.0, 2.0], "c": [-1.0], "alone": [0.0]}
    slides = {name: (f"{name}-1", f"{name}-2") for name in "abc"}
    found = order_patients(table(risks), slides)
    assert [(each.patient_id, each.value) for each in found] == [("c", -1.0), ("a", 2.0), ("b", 2.0)]
    assert found[0].slide_id == "c-1" and found[0].truth == "none until 12.5"


def test_slides_stand_in_their_order(tmp_path: Path) -> None:
    shades = {"p": 200, "q": 40, "r": 120}
    run = run_of(tmp_path, {"p": [0.9], "q": [-0.5], "r": [0.1]}, shades)
    assert draw_ordered(run, OS, tmp_path / "ordered" / "os.png") == 3
    with Image.open(tmp_path / "ordered" / "os.png") as picture:
        pixels = np.asarray(picture)
    cell = THUMBNAIL_PX + GAP_PX
    assert pixels.shape == (HEAD_PX + cell + TEXT_PX, 3 * cell + GAP_PX, 3)
    row = HEAD_PX + THUMBNAIL_PX // 2
    seen = [int(pixels[row, GAP_PX + k * cell + THUMBNAIL_PX // 2, 0]) for k in range(3)]
    assert seen == [40, 120, 200]


def test_many_patients_are_shown_at_even_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered, "MOST_SHOWN", 3)
    shades = {f"{k}": 10 + 40 * k for k in range(5)}
    run = run_of(tmp_path, {name: [float(name)] for name in shades}, shades)
    assert draw_ordered(run, OS, tmp_path / "os.png") == 3
    with Image.open(tmp_path / "os.png") as picture:
        row = np.asarray(picture)[HEAD_PX + THUMBNAIL_PX // 2, :, 0]
    cell = THUMBNAIL_PX + GAP_PX
    assert [int(row[GAP_PX + k * cell + THUMBNAIL_PX // 2]) for k in range(3)] == [10, 90, 170]


def test_without_pictures_nothing_is_written(tmp_path: Path) -> None:
    assert draw_ordered(run_of(tmp_path, {"p": [1.0]}, {}), OS, tmp_path / "os.png") == 0
    assert not (tmp_path / "os.png").exists()


def test_classes_without_order_are_not_sorted() -> None:
    assert value_name(Task("kind", "multiclass", ("kind",), ("a", "b", "c"))) == ""
    assert value_name(Task("msi", "binary", ("msi",), ("no", "yes"))) == "p_yes"
