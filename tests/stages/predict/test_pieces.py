"""Patients as pieces of a job: the same predictions as without, with everything in this process."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from histonic.stages.predict import pieces
from histonic.stages.predict.external import external_test
from histonic.stages.train.train import train_slides
from histonic.training.executors.inline import ThisProcess


def test_the_same_tables_as_without_a_cluster(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: dict[str, Any] = {"store": cohort_folder / "store", "labels": cohort_folder / "labels.csv"}
    run = train_slides(
        **data, target=["score:regression"], aggregator="mean", folds=3, device="cpu", out=tmp_path / "run"
    )
    alone = external_test(run=run, **data, name="alone", device="cpu")
    sent: list[Any] = []

    def open_here(job: Any, progress: Any, **given: Any) -> ThisProcess[Any, Any]:
        sent.append(given)
        assert len(pickle.dumps(job)) < 5_000, "paths only"
        return ThisProcess(job, progress, "cpu")

    monkeypatch.setattr(pieces, "open_executor", open_here)
    counted = Steps()
    beside = external_test(
        run=run, **data, name="beside", device="cpu", cluster="tcp://a:1", progress=counted
    )
    tables = [(folder / "predictions/score.csv").read_bytes() for folder in (alone, beside)]
    assert tables[0] == tables[1]
    assert counted.steps == len(pd.read_csv(beside / "predictions/score.csv"))
    assert "cluster" not in (beside / "external.json").read_text()
    assert sent[0]["reads"] == [run / "bundle", data["store"]]


class Steps:
    steps = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.steps = 0

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.steps += steps

    def say(self, line: str) -> None: ...
