"""Batches: classes in equal shares, events in each, every patient in turn."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.task import Task
from histonic.stages.train.draws import BalancedDraws

CLASSES = Task("grade", "multiclass", ("g",), ("a", "b", "c"))
SCORE = Task("score", "regression", ("s",))
SURVIVAL = Task("os", "survival", ("t", "e"))
GRADES = np.array([0.0] * 20 + [1.0] * 6 + [2.0] * 3 + [np.nan] * 4)


def outcomes(events: int, censored: int) -> np.ndarray:
    flags = np.array([1.0] * events + [0.0] * censored)
    return np.stack([np.arange(len(flags)) + 1.0, flags], axis=1)


def test_classes_come_in_equal_shares() -> None:
    draws = BalancedDraws([CLASSES], {"grade": GRADES}, batch=16)
    batches = draws.epoch(np.random.default_rng(0), 60)
    drawn = GRADES[np.concatenate(batches)]
    assert not np.isnan(drawn).any()
    assert np.abs(np.bincount(drawn.astype(int)) / len(drawn) - 1 / 3).max() < 0.02
    for batch in batches:
        assert len(batch) == 16
        assert set(np.bincount(GRADES[batch].astype(int))) <= {5, 6}
    assert np.allclose(draws.class_shares(3, GRADES), 1 / 3)


def test_every_patient_comes_before_any_comes_again() -> None:
    draws = BalancedDraws([SCORE], {"score": np.arange(10.0)}, batch=5)
    batches = draws.epoch(np.random.default_rng(0), 4)
    assert sorted(np.concatenate(batches[:2])) == list(range(10))
    assert sorted(np.concatenate(batches[2:])) == list(range(10))


def test_values_are_drawn_uniformly_and_missing_ones_never() -> None:
    values = np.array([1.0, np.nan, 3.0, 4.0])
    drawn = np.concatenate(BalancedDraws([SCORE], {"score": values}, 3).epoch(np.random.default_rng(0), 10))
    assert set(drawn) == {0, 2, 3} and np.bincount(drawn)[[0, 2, 3]].tolist() == [10, 10, 10]


@pytest.mark.parametrize(("events", "censored"), [(1, 30), (3, 30), (20, 5), (10, 0)])
def test_every_batch_has_events(events: int, censored: int) -> None:
    targets = outcomes(events, censored)
    for batch in BalancedDraws([SURVIVAL], {"os": targets}, 8).epoch(np.random.default_rng(1), 20):
        share = targets[batch, 1].mean()
        assert share >= 0.25 and (censored == 0 or share < 1)


def test_every_batch_has_events_whichever_task_rules() -> None:
    targets = {"os": outcomes(1, 39), "score": np.arange(40.0)}
    draws = BalancedDraws([SURVIVAL, SCORE], targets, 4)
    assert all(0 in batch for batch in draws.epoch(np.random.default_rng(0), 30))


def test_shares_under_several_rules_are_what_is_drawn() -> None:
    targets = {"grade": GRADES, "score": np.arange(float(len(GRADES)))}
    draws = BalancedDraws([CLASSES, SCORE], targets, 16)
    drawn = GRADES[np.concatenate(draws.epoch(np.random.default_rng(0), 400))]
    drawn = drawn[~np.isnan(drawn)].astype(int)
    found = np.bincount(drawn) / len(drawn)
    assert np.allclose(found, draws.class_shares(3, GRADES), atol=0.01)
    assert found[0] > 0.4  # neither balanced nor as in the cohort
    assert found[0] < 20 / 29 - 0.05


def test_the_same_generator_gives_the_same_batches() -> None:
    draws = BalancedDraws([CLASSES], {"grade": GRADES}, batch=7)
    one, two = (draws.epoch(np.random.default_rng(3), 5) for _ in "ab")
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
