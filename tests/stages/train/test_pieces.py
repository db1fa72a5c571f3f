"""Networks as pieces of a job: the same as without, with everything in this process."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from histonic.core.errors import ExecutorError, SettingsError
from histonic.core.progress import Silent
from histonic.stages.train import pieces
from histonic.stages.train.train import train_slides
from histonic.training.executors.inline import ThisProcess

GIVEN = {
    "target": ["score:regression"],
    "aggregator": "abmil",
    "folds": 3,
    "initialisations": 1,
    "max_epochs": 1,
    "batch": 8,
    "device": "cpu",
}


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of the jobs that would have been sent to a cluster, which are done in this process."""
    found: list[int] = []

    def open_here(job: Any, progress: Any, **given: Any) -> ThisProcess[Any, Any]:
        sent = pickle.dumps(job)
        found.append(len(sent))
        return ThisProcess(pickle.loads(sent), progress, "cpu")

    monkeypatch.setattr(pieces, "open_executor", open_here)
    return found


def test_a_run_is_the_same_to_the_byte(sizes: list[int], cohort_folder: Path, tmp_path: Path) -> None:
    data = {"store": cohort_folder / "store", "labels": cohort_folder / "labels.csv"}
    search = {"search": {"batch": "4,8"}}
    alone = train_slides(**data, **GIVEN, **search, out=tmp_path / "alone")
    beside = train_slides(**data, **GIVEN, **search, out=tmp_path / "beside", cluster="tcp://a:1")
    for name in ("predictions/score.csv", "cohort.json", "search.json", "history.csv"):
        if (alone / name).exists():
            assert (alone / name).read_bytes() == (beside / name).read_bytes(), name
    for path in (alone / "bundle").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (beside / path.relative_to(alone)).read_bytes(), path
    assert sizes and sizes[0] < 20_000, "no maps are sent"
    assert "cluster" not in (beside / "settings.yaml").read_text()


def test_what_a_cluster_cannot_do_is_refused_before_any_work(
    sizes: list[int], cohort_folder: Path, tmp_path: Path
) -> None:
    given = {"store": cohort_folder / "store", **GIVEN, "out": tmp_path / "run", "cluster": "tcp://a:1"}
    labels = cohort_folder / "labels.csv"
    for more, found in [
        ({"labels": labels, "workers": 2}, "--workers 2 is asked for as well"),
        ({"labels": labels, "devices": 2}, "--devices 2 is asked for as well"),
        ({"labels": pd.read_csv(labels, dtype=str), "private": True}, "'labels' is in the memory"),
    ]:
        with pytest.raises(SettingsError, match=found):
            train_slides(**given, **more)
    assert not sizes and not (tmp_path / "run").exists()


def test_a_training_that_another_process_has_taken_over_ends(tmp_path: Path) -> None:
    class Lost:
        def holds(self, name: str) -> bool:
            return False

    piece = pieces.PieceName("fold-1", False, "fold 1 of 3")
    guarded = pieces._Guarded(Silent(), Lost(), piece)  # type: ignore[arg-type]
    guarded.say("still here")
    with pytest.raises(ExecutorError, match="another one does it now"):
        guarded.advance(1)
