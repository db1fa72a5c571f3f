"""A run in a notebook: typed tables of its predictions, and the metrics of ``evaluate_run``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.runs import MSI, SCORE, SURVIVAL
from histonic.core.errors import RunError
from histonic.core.task import Task
from histonic.runs.run import read_run
from histonic.stages.evaluate.evaluate import evaluate_run
from histonic.stages.open.run import COLUMNS, Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path]) -> Path:
    where = tmp_path_factory.mktemp("opened") / "<i>run"
    return make_run(where, (MSI, SCORE, SURVIVAL), patients=40, missing=0.1, pictures=False)


def test_metrics_are_those_of_evaluate_run(folder: Path) -> None:
    table = Run.open(str(folder)).metrics(resamples=50, seed=3)
    assert tuple(table.columns) == COLUMNS
    wanted = [(each, score) for each in evaluate_run(folder, resamples=50, seed=3) for score in each.scores]
    assert list(zip(table["target"], table["metric"], strict=True)) == [
        (each.task.name, score.name) for each, score in wanted
    ]
    for row, (each, score) in zip(table.itertuples(), wanted, strict=True):
        found = [None if np.isnan(value) else value for value in (row.value, row.low, row.high, row.chance)]
        assert found == [score.value, score.low, score.high, score.chance]
        assert (row.patients, row.higher_is_better, row.note) == (each.n, score.higher_is_better, score.note)
    assert table[["value", "low", "high", "chance"]].dtypes.eq(float).all()
    leading = table[table["leads"]]
    assert list(zip(leading["target"], leading["metric"], strict=True)) == [
        (MSI.name, "AUROC"), (SCORE.name, "Spearman correlation"), (SURVIVAL.name, "C-index")
    ]  # fmt: skip


def test_metrics_of_one_target(folder: Path) -> None:
    assert set(Run.open(folder).metrics(MSI.name, resamples=50)["target"]) == {MSI.name}


def test_predictions_have_types(folder: Path) -> None:
    run = Run.open(folder)
    table = run.predictions(SURVIVAL.name)
    plain = pd.read_csv(folder / "predictions" / f"{SURVIVAL.name}.csv")
    assert list(table.columns) == list(plain.columns)
    for column in ("time", "event", "risk", "fold"):
        np.testing.assert_array_equal(table[column].to_numpy(float), plain[column].to_numpy(float))
    assert table["time"].isna().any()
    labelled = run.predictions(MSI.name)
    assert set(labelled["truth"].dropna()) == set(MSI.classes) and labelled["truth"].isna().any()
    shares = labelled[[f"p_{name}" for name in MSI.classes]]
    assert shares.dtypes.eq(float).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_names_that_look_like_numbers_stay_text(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    task = Task("grade", "multiclass", ("grade",), ("01", "2", "NA"))
    folder = make_run(tmp_path / "run", (task,), sites=("007", "08"), pictures=False)
    table = read_run(folder).predictions()
    assert set(table["truth"]) == set(table["predicted"]) == {"01", "2", "NA"}
    assert set(table["site"]) == {"007", "08"}
    assert table["p_01"].dtype == float


def test_a_target_that_is_not_there(folder: Path) -> None:
    run = Run.open(folder)
    with pytest.raises(RunError, match=f"Did you mean '{SURVIVAL.name}'"):
        run.predictions(SURVIVAL.name[:-1])
    with pytest.raises(RunError, match="Name one of them"):
        run.predictions()
    with pytest.raises(RunError, match="in the run"):
        run.metrics("zzz")


def test_a_run_shows_what_was_trained(folder: Path) -> None:
    run = Run.open(folder)
    assert f"{MSI.name}: binary, led by AUROC" in repr(run)
    assert f"{SURVIVAL.name}: survival, led by C-index" in repr(run)
    assert "patients: 40 with 40 slides" in repr(run)
    assert "&lt;i&gt;run" in run._repr_html_() and "<i>" not in run._repr_html_()


def test_to_open_a_run_loads_no_torch(folder: Path) -> None:
    code = "import sys, histonic; histonic.Run.open(sys.argv[1]).predictions('msi')"
    code += "; print('torch' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"
