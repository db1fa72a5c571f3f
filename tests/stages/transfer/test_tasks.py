"""The number-of-tasks curve with trainings that take no time."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.stages.transfer.tasks import study_tasks

NAMES = ("nodes", "colon", "breast", "kind")


def sets(related: dict[str, str] | None = None) -> list[dict[str, Any]]:
    return [
        {"name": name, "path": name, "mpp": 0.5, "related": (related or {}).get(name, "")} for name in NAMES
    ]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_encoder_is_evaluated_on_what_it_has_not_seen(fake_world: Any, tmp_path: Path) -> None:
    out = study_tasks(out=tmp_path / "run", sets=sets(), resamples=200)
    assert fake_world.done == 4 + 6 + 4
    trials = [row for row in table(out / "trials.csv") if row["tasks"] != "0"]
    assert len(trials) == 4 * 3 + 6 * 2 + 4 * 1
    assert not [row for row in trials if row["task"] in row["trained_on"].split(",")]
    points = table(out / "tasks.csv")
    assert [(row["tasks"], row["encoder"]) for row in points] == [
        ("0", "colour"),
        ("1", ""),
        ("2", ""),
        ("3", ""),
    ]
    means = [float(row["mean"]) for row in points]
    # The fake training is better the more tasks it has.
    assert means == sorted(means)
    for row in points:
        assert float(row["low"]) < float(row["mean"]) < float(row["high"])
    at_two = [row for row in trials if row["tasks"] == "2"]
    by_task = [np.mean([float(row["score"]) for row in at_two if row["task"] == name]) for name in NAMES]
    assert float(points[2]["mean"]) == pytest.approx(np.mean(by_task), abs=1e-5)
    assert "| 3 tasks |" in (out / "tasks.md").read_text() and (out / "tasks.png").is_file()


def test_related_sets_are_not_evaluated(fake_world: Any, tmp_path: Path) -> None:
    out = study_tasks(
        out=tmp_path / "run", sets=sets({"nodes": "x", "colon": "x"}), counts=[1, 3], resamples=200
    )
    evaluated = {(row["trained_on"], row["task"]) for row in table(out / "trials.csv") if row["tasks"] != "0"}
    assert ("nodes", "colon") not in evaluated and ("nodes", "kind") in evaluated
    # With three of four sets, only those choices count whose left-out set has no relative among them.
    assert {each for each in evaluated if "," in each[0]} == {
        ("nodes,colon,breast", "kind"), ("nodes,colon,kind", "breast")
    }  # fmt: skip


def test_wrong_counts_are_refused(fake_world: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there are 4 sets"):
        study_tasks(out=tmp_path / "run", sets=sets(), counts=[4])
    with pytest.raises(SettingsError, match="No set is left out"):
        study_tasks(out=tmp_path / "run", sets=sets(dict.fromkeys(NAMES, "all")), counts=[1])
    assert not fake_world.trainings
