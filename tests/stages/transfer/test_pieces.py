"""Encoders as pieces of a job: what will be needed is found before, and the tables are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import RunError
from histonic.core.progress import Silent
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.transfer import pieces
from histonic.stages.transfer.tasks import study_tasks
from histonic.stages.transfer.transfer import transfer
from histonic.training.executors.inline import ThisProcess

NAMES = ("nodes", "colon", "breast")


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many encoders were trained in each round, in this process in the place of a cluster."""
    found: list[int] = []

    def open_here(job: Any, progress: Any, **given: Any) -> ThisProcess[Any, Any]:
        return ThisProcess(job, progress, "cpu")

    all_of = pieces.train_all

    def train_all(executor: Any, wanted: Any, progress: Any) -> None:
        found.append(len(wanted))
        all_of(executor, wanted, progress)

    monkeypatch.setattr(pieces, "open_executor", open_here)
    monkeypatch.setattr("histonic.stages.transfer.evaluator.train_all", train_all)
    return found


def given(out: Path, **more: Any) -> dict[str, Any]:
    sets = [{"name": name, "path": name, "mpp": 0.5} for name in NAMES]
    return {"out": out, "sets": sets, "base": {"max_epochs": 3}, "seeds": 2, "resamples": 200, **more}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"modes": ["frozen", "finetuned", "scratch"], "finetune": {"learning_rate": 0.1}}, [12, 6]),
        ({"modes": ["frozen"], "grid": {"learning_rate": [0.001, 0.1]}}, [6, 3]),
    ],
    ids=["modes", "grid"],
)
def test_transfer_trains_in_rounds_and_ends_with_the_same_table(
    more: dict[str, Any], expected: list[int], fake_world: Any, rounds: list[int], tmp_path: Path
) -> None:
    alone = transfer(**given(tmp_path / "alone", **more))
    done = fake_world.done
    beside = transfer(**given(tmp_path / "beside", **more), cluster="tcp://a:1")
    assert rounds == expected and fake_world.done - done == sum(expected) == done
    assert (alone / "transfer.csv").read_bytes() == (beside / "transfer.csv").read_bytes()
    assert "cluster" not in (beside / "settings.yaml").read_text()
    assert all(
        each.out.is_absolute() and each.sets[0].path.is_absolute() for each in fake_world.trainings[-3:]
    )


def test_tasks_are_trained_at_once(fake_world: Any, rounds: list[int], tmp_path: Path) -> None:
    alone = study_tasks(**given(tmp_path / "alone"))
    beside = study_tasks(**given(tmp_path / "beside"), cluster="tcp://a:1")
    assert rounds == [12]
    assert (alone / "trials.csv").read_bytes() == (beside / "trials.csv").read_bytes()


def test_the_claim_of_a_lost_worker_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "WAIT_S", 0.0)
    tries: list[int] = []

    def train(settings: TrainEncoderSettings, progress: Any) -> Path:
        tries.append(1)
        if len(tries) < 3:
            raise RunError("Train.", "Another run works there.", "Wait.")
        return settings.out

    settings = TrainEncoderSettings(out=tmp_path / "a" / "seed-0")
    assert pieces._train(train, settings, Silent()) == settings.out and len(tries) == 3
    monkeypatch.setattr(pieces, "STALE_S", 0.0)
    tries.clear()
    with pytest.raises(RunError, match="Another run works"):
        pieces._train(train, settings, Silent())
