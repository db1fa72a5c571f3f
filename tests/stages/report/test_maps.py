"""The report shows where the model looks, computes it if it can, and says so if it cannot."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.runs import SCORE, write_external
from fixtures.stores import fake_slide, made_by
from histonic.app.explanations import explain_lines
from histonic.core.progress import Silent
from histonic.data.maps.writer import write_map
from histonic.runs.run import read_run
from histonic.stages.explain.explain import explain
from histonic.stages.report.maps import report_explanations
from histonic.stages.report.report import write_report
from histonic.stages.train.train import train_slides


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 patients whose store is at hand; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        mask, ill = np.ones((9, 8), bool), number % 2
        codes = (rng.normal(size=(5, 9, 8)) + 2 * ill).astype(np.float16)
        slide = fake_slide(f"s{number}", codes, mask, made_by(code_size=5))
        write_map(folder / "store" / f"s{number}.zarr", slide)
        rows.append({"patient_id": f"P{number}", "slide_id": f"s{number}", "msi": "yes" if ill else "no"})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return train_slides(
        store=folder / "store", labels=folder / "labels.csv", target=("msi",), out=folder / "run",
        aggregator="mean", folds=3, initialisations=1, max_epochs=8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with its report and the explanations that the report asked for; not to be changed."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("reported") / "run"))
    write_report(run=run, resamples=100)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may write into."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def explained(reported: Path, tmp_path: Path) -> Path:
    """A copy of the run with explanations that a test may write into."""
    return Path(shutil.copytree(reported, tmp_path / "run"))


def test_the_report_explains_by_itself_and_again_the_same(explained: Path) -> None:
    page = (explained / "report.html").read_text(encoding="utf-8")
    shown = json.loads((explained / "report.json").read_text())["explanations"]["targets"]["msi"]
    assert [item["role"] for item in shown] == ["most certain"] * 2 + ["least certain"] * 2
    assert "Where the model looks" in page and page.count('class="explained"') == 4
    assert all(f"patient {item['patient_id']}" in page for item in shown)
    assert page.count("data:image/jpeg") >= 8 and len(page) < 10_000_000
    assert write_report(run=explained, resamples=100).read_text(encoding="utf-8") == page


def test_every_file_of_a_run_is_read_once(explained: Path, reads: Counter[Path]) -> None:
    """Whoever evaluates, audits and explains is handed the same tables of predictions."""
    run = explained
    shutil.rmtree(next(run.glob("explain/*/msi/s*")))  # so that there is something to explain
    outside = write_external(run, "Graz") / "predictions" / "msi.csv"
    pd.read_csv(run / "predictions" / "msi.csv").assign(fold=-1).to_csv(outside, index=False)
    reads.clear()
    page = write_report(run=run, resamples=100).read_bytes()
    assert b'class="explained"' in page and b"External cohort" in page
    names = (
        "run.json",
        "cohort.json",
        "failures.json",
        "settings.yaml",
        "history.csv",
        "predictions/msi.csv",
    )
    files = [*(run / name for name in names), outside, outside.parents[1] / "external.json"]
    assert {path: reads[path] for path in files} == dict.fromkeys(files, 1)


def test_explanations_that_lie_there_are_kept(explained: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in explained.glob("explain/*/*/*/*.png"))
    found = report_explanations(read_run(explained), Silent())
    after = sorted((path, path.stat().st_mtime_ns) for path in explained.glob("explain/*/*/*/*.png"))
    assert before == after and len(before) == 4 * 3
    assert found.problem == "" and found.targets["msi"][0].gain is not None


def test_maps_without_checks_are_made_anew(run: Path) -> None:
    explain(run=run, patients=1, checks=False)
    explain(run=run, slide=("s0",), output="no")
    shown = report_explanations(read_run(run), Silent()).targets["msi"]
    assert all(item.gain is not None and item.output == "yes" for item in shown)


def test_without_a_store_the_page_says_what_to_do(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "store": "gone"}))
    page = write_report(run=run, resamples=100).read_text(encoding="utf-8")
    assert "There are no maps of what the model looks at" in page and "histonic explain" in page


def test_without_a_bundle_too(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", (SCORE,))
    assert "holds no bundle" in report_explanations(read_run(run), Silent()).problem
    assert "holds no bundle" in write_report(run=run, resamples=100).read_text(encoding="utf-8")


def test_the_command_line_has_a_line_a_slide(explained: Path) -> None:
    lines = list(explain_lines(explain(run=explained, patients=1)))
    assert len(lines) == 3 and "deletion" in lines[0] and "randomised weights" in lines[0]
    assert lines[-1].startswith("Explanations: ") and "summary.csv" in lines[-1]
