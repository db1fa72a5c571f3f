"""The needle study as a whole: plan first, resumable, the same by any number of calls; one real training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import RunError, SettingsError
from histonic.stages.study.needles import cells as cells_module
from histonic.stages.study.needles.cells import Cell, CellResult, ImageBatches, cell_path, run_cell
from histonic.stages.study.needles.results import CurvePoint, limits_of
from histonic.stages.study.needles.settings import NeedleStudySettings
from histonic.stages.study.needles.study import study_needles

SMALL: dict[str, Any] = {
    "canvases": (56, 112), "sizes": (8, 16), "seeds": 2, "val": 8, "test": 12, "updates": 4, "batch": 4,
    "checks": 2, "widths": (4, 2), "processes": 1,
}  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trainings that take no time; their names in order."""
    done: list[str] = []

    def run(settings: NeedleStudySettings, cell: Cell) -> CellResult:
        done.append(cell.name)
        accuracy = 0.9 - 0.3 * (cell.canvas == 112) + 0.05 * (cell.size == 16) + 0.01 * cell.seed
        return CellResult(
            **vars(cell), ratio=(8 / cell.canvas * 3.5) ** 2, field_px=5 + 4 * cell.stages, weights=9,
            train_accuracy=1.0, val_accuracy=0.8, accuracy=accuracy, auroc=0.8, updates=4,
        )  # fmt: skip

    monkeypatch.setattr(cells_module, "run_cell", run)
    return done


def test_plan_first_then_cells_then_results(quick: list[str], tmp_path: Path) -> None:
    out = tmp_path / "study"
    study_needles(out=out, cells_at_most=5, **SMALL)
    assert len(quick) == 5 and (out / "plan.md").is_file() and not (out / "needles.json").exists()
    plan = json.loads((out / "plan.json").read_text())
    assert plan["cells"] == 2 * 6 * 2 and len(plan["tests"]) == 6
    study_needles(out=out, **SMALL)
    assert len(quick) == len(set(quick)) == 24
    written = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert {"cells.csv", "needles.csv", "needles.md", "needles.png", "needles.json"} <= set(written)
    study_needles(out=out, **SMALL)
    assert len(quick) == 24
    whole = tmp_path / "whole"
    study_needles(out=whole, **SMALL)
    assert {path.name: path.read_bytes() for path in whole.iterdir() if path.is_file()} == written
    table = pd.read_csv(out / "needles.csv")
    assert len(table) == 2 * 6 and set(table["runs"]) == {2}
    page = (out / "needles.md").read_text()
    assert page.count("reproduced**") + page.count("**undecided**") == 6 and "| 1 | " in page


def test_another_study_or_a_damaged_cell_is_refused(quick: list[str], tmp_path: Path) -> None:
    out = study_needles(out=tmp_path / "study", **SMALL)
    with pytest.raises(SettingsError, match="different: updates"):
        study_needles(out=out, **{**SMALL, "updates": 5})
    first = next((out / "cells").iterdir())
    first.write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="only this training is made anew"):
        study_needles(out=out, **SMALL)
    first.unlink()
    before = len(quick)
    study_needles(out=out, **SMALL)
    assert len(quick) == before + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"canvases": (112, 56)}, "do not rise"),
        ({"sizes": (8, 8)}, "named twice"),
        ({"poolings": ("max", "max")}, "named twice"),
        ({"digits": Path("nowhere")}, "no train-images"),
        ({"blocks": (0, 0, 0, 0)}, "at least one block"),
        ({"device": "tpu"}, "no such device"),
        ({"canvases": (28, 112), "norm": "instance"}, "canvas 28.*\\n.*more than 1 spatial"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        study_needles(out=tmp_path / "study", **{**SMALL, **change})
    assert not (tmp_path / "study").exists()


def test_one_real_training(tmp_path: Path) -> None:
    settings = NeedleStudySettings(out=tmp_path, **SMALL)
    cell = Cell(56, 16, "max", 2, 4, 0)
    result = run_cell(settings, cell)
    assert result == run_cell(settings, cell)
    assert result.field_px == 9 and result.ratio == 0.25 and 0 <= result.auroc <= 1
    assert 12 * result.accuracy == pytest.approx(round(12 * result.accuracy))
    other = run_cell(settings, Cell(56, 16, "max", 2, 4, 1))
    assert other != result and cell_path(tmp_path, cell).name.startswith("canvas-56_images-16_max")


def test_images_that_do_not_fit_the_memory_are_made_when_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, cell = NeedleStudySettings(out=tmp_path, **SMALL), Cell(112, 16, "max", 2, 4, 0)
    kept = ImageBatches(settings, cell, "train", 16)
    monkeypatch.setattr(cells_module, "KEPT_BYTES", 0)
    made = ImageBatches(settings, cell, "train", 16)
    assert made._kept is None and kept._kept is not None
    rows = np.array([3, 0, 9])
    assert (kept.take(rows) == made.take(rows)).all() and made.take(rows).shape == (3, 1, 32, 32)


def test_where_a_curve_crosses() -> None:
    def point(ratio: float, accuracy: float, size: int) -> CurvePoint:
        return CurvePoint(
            size=size, pooling="max", field_px=9, width=8, ratio=ratio, runs=3, accuracy=accuracy, low=0.0,
            high=1.0, auroc=0.5,
        )  # fmt: skip

    points = [point(0.16, 0.9, 1), point(0.04, 0.8, 1), point(0.01, 0.6, 1)]
    points += [point(0.16, 0.7, 2), point(0.04, 0.6, 2), point(0.16, 0.9, 3), point(0.04, 0.8, 3)]
    found = limits_of(points)
    # A quarter of the way from 4 % to 1 %, in logarithms.
    assert found[0].ratio == pytest.approx(0.04 * 0.25**0.25) and found[0].says == "2.8 %"
    assert (found[1].ratio, found[1].says) == (None, "above 16 %")
    assert (found[2].ratio, found[2].says) == (None, "below 4 %")
