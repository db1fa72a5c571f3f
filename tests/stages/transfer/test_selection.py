"""Settings are chosen by ranks made by hand, and never by the task under test."""

from __future__ import annotations

import pytest

from histonic.core.errors import SettingsError
from histonic.stages.transfer.selection import expand_grid, mean_ranks, with_changes

SCORES = {
    "slow": {"a": 0.99, "b": 0.70, "c": 0.60},
    "middle": {"a": 0.80, "b": 0.72, "c": 0.60},
    "fast": {"a": 0.98, "b": 0.60, "c": 0.90},
}


def test_mean_ranks_by_hand() -> None:
    # a: 1, 3, 2; b: 2, 1, 3; c: 2.5, 2.5, 1
    assert mean_ranks(SCORES) == pytest.approx({"slow": 5.5 / 3, "middle": 6.5 / 3, "fast": 2.0})


def test_the_task_under_test_has_no_say() -> None:
    assert mean_ranks(SCORES, ["a"]) == {"slow": 2.25, "middle": 1.75, "fast": 2.0}
    worse = {setting: {**tasks, "a": -tasks["a"]} for setting, tasks in SCORES.items()}
    assert mean_ranks(worse, ["a"]) == mean_ranks(SCORES, ["a"])
    assert mean_ranks(worse) != mean_ranks(SCORES)


def test_related_tasks_have_no_say_either_and_equals_share_their_rank() -> None:
    assert mean_ranks(SCORES, ["a", "c"]) == {"slow": 2.0, "middle": 1.0, "fast": 3.0}
    assert mean_ranks({"x": {"t": 0.5}, "y": {"t": 0.5}}) == {"x": 1.5, "y": 1.5}


def test_nothing_left_to_choose_by_is_said() -> None:
    with pytest.raises(SettingsError, match="No other task is left"):
        mean_ranks(SCORES, ["a", "b", "c"])


def test_a_grid_and_nested_changes() -> None:
    grid = expand_grid({"multitask.head_rate": [1, 5], "learning_rate": [0.1, 0.01]})
    assert list(grid) == [f"learning_rate={rate},head_rate={head}" for rate in (0.1, 0.01) for head in (1, 5)]
    changed = with_changes(
        {"multitask": {"balance": False}, "batch": 4}, grid["learning_rate=0.1,head_rate=5"]
    )
    assert changed == {"multitask": {"balance": False, "head_rate": 5}, "batch": 4, "learning_rate": 0.1}
    assert with_changes({"multitask": {"balance": False}}, {"multitask": {"dropout": 0.1}}) == {
        "multitask": {"balance": False, "dropout": 0.1}
    }
