"""The report shows where the model looks, computes it if it can, and says so if it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histonic.app.explanations import explain_lines
from histonic.core.compressed import CompressedSlide
from histonic.core.grid import TileGrid
from histonic.core.progress import Silent
from histonic.data.maps.store import write_map
from histonic.stages.explain.explain import explain
from histonic.stages.report.maps import report_explanations
from histonic.stages.report.report import write_report
from histonic.stages.train.train import train_slides


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 12 patients whose store is at hand."""
    rng = np.random.default_rng(0)
    made_by = {"name": "example", "fingerprint": "0", "spec": {}}
    settings = {
        "orientations": 1, "precision": "32",
        "tissue": {"mpp": 8.0, "min_speck_um2": 1.0, "max_hole_um2": 1.0, "min_cell_share": 0.25},
    }  # fmt: skip
    rows = []
    for number in range(12):
        mask, ill = np.ones((9, 8), bool), number % 2
        grid = TileGrid.over((8 * 128, 9 * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
        codes = (rng.normal(size=(5, 9, 8)) + 2 * ill).astype(np.float16)
        slide = CompressedSlide(
            f"s{number}", codes, mask, grid, made_by, {"fingerprint": str(number)}, {}, settings
        )
        write_map(tmp_path / "store" / f"s{number}.zarr", slide)
        rows.append({"patient_id": f"P{number}", "slide_id": f"s{number}", "msi": "yes" if ill else "no"})
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    return train_slides(
        store=tmp_path / "store", labels=tmp_path / "labels.csv", target=("msi",), out=tmp_path / "run",
        aggregator="mean", folds=3, initialisations=1, max_epochs=8,
    )  # fmt: skip


def test_the_report_explains_by_itself_and_again_the_same(run: Path) -> None:
    page = write_report(run=run, resamples=100).read_text(encoding="utf-8")
    shown = json.loads((run / "report.json").read_text())["explanations"]["targets"]["msi"]
    assert [item["role"] for item in shown] == ["most certain"] * 2 + ["least certain"] * 2
    assert "Where the model looks" in page and page.count('class="explained"') == 4
    assert all(f"patient {item['patient_id']}" in page for item in shown)
    assert page.count("data:image/jpeg") >= 8 and len(page) < 10_000_000
    assert write_report(run=run, resamples=100).read_text(encoding="utf-8") == page


def test_explanations_that_lie_there_are_kept(run: Path) -> None:
    explain(run=run)
    before = sorted((path, path.stat().st_mtime_ns) for path in run.glob("explain/*/*/*/*.png"))
    found = report_explanations(run, Silent())
    assert before == sorted((path, path.stat().st_mtime_ns) for path in run.glob("explain/*/*/*/*.png"))
    assert found.problem == "" and found.targets["msi"][0].gain is not None


def test_maps_without_checks_are_made_anew(run: Path) -> None:
    explain(run=run, checks=False)
    explain(run=run, slide=("s0",), output="no")
    shown = report_explanations(run, Silent()).targets["msi"]
    assert all(item.gain is not None and item.output == "yes" for item in shown)


def test_without_a_store_the_page_says_what_to_do(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "store": "gone"}))
    page = write_report(run=run, resamples=100).read_text(encoding="utf-8")
    assert "There are no maps of what the model looks at" in page and "histonic explain" in page


def test_without_a_bundle_too(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert "holds no bundle" in report_explanations(run, Silent()).problem
    assert "holds no bundle" in write_report(run=run, resamples=100).read_text(encoding="utf-8")


def test_the_command_line_has_a_line_a_slide(run: Path) -> None:
    lines = list(explain_lines(explain(run=run, patients=1)))
    assert len(lines) == 3 and "deletion" in lines[0] and "randomised weights" in lines[0]
    assert lines[-1].startswith("Explanations: ") and "summary.csv" in lines[-1]
