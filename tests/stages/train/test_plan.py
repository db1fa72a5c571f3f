"""The plan of a cross-validation: what it names, counts and says of its networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from histonic.core.cohort import Cohort, Patient
from histonic.core.settings import make_settings
from histonic.core.task import Task
from histonic.stages.train.plan import Plan
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.splitting.folds import make_folds

SCORE = Task("score", "regression", ("s",))


def plan(**values: Any) -> Plan:
    given = {"store": "s", "labels": "l.csv", "target": ("score",), "out": "run", "folds": 3, **values}
    settings = make_settings(TrainSettings, given)
    patients = tuple(Patient(f"P{i:02d}", (f"s{i}",), targets={"score": float(i)}) for i in range(24))
    cohort = Cohort((SCORE,), patients)
    made, folds = make_folds(cohort, "random", folds=3, repeats=settings.repeats, seed=0)
    return Plan(settings, cohort, made, folds, Path("checkpoints"))


def test_every_network_has_a_name_of_its_own() -> None:
    made = plan(repeats=2, search={"batch": "4,8"}, search_folds=2)
    trials = made.all_trials()
    assert len(trials) == 2 * 3 * 2 * 2
    assert len({made.path(network) for network in trials}) == len(trials)
    kept = plan(repeats=2).all_networks({})
    assert len({made.path(network) for network in [*kept, *trials]}) == len(kept) + len(trials)


def test_the_epochs_are_those_of_all_networks() -> None:
    assert plan(max_epochs=10, initialisations=2).epochs == 3 * 2 * 10
    searched = plan(max_epochs=10, initialisations=2, repeats=2, search={"batch": "4,8"}, search_folds=3)
    assert searched.epochs == 6 * (2 + 2 * 3) * 10


def test_networks_are_told_apart_in_messages() -> None:
    made = plan(repeats=2, search={"batch": "4,8"}, search_folds=2)
    trial = made.trials(made.folds[4])[1][1]
    assert made.spoken(trial) == "repeat 2 of 2, fold 2 of 3, trial 2 of 2 (inner fold 2 of 2)"
    assert plan().spoken(plan().all_networks({})[-1]) == "fold 3 of 3, network 2 of 2"


@pytest.mark.parametrize("search_folds", [1, 2])
def test_kept_networks_have_the_settings_that_their_trials_chose(search_folds: int) -> None:
    made = plan(search={"batch": "4,8"}, search_folds=search_folds)
    losses = {(0, 0): {0: [1.0], 1: [0.9]}, (0, 1): {0: [0.7], 1: [0.8]}, (0, 2): {0: [0.5], 1: [0.5]}}
    kept = made.all_networks(losses)
    assert [each.settings.batch for each in kept] == [8, 8, 4, 4, 4, 4]
    twins = [each.twin and each.twin.name for each in kept]
    # A single inner fold is known by the number of its outer one.
    first = [f"repeat-0-fold-{fold}-init-0-trial-{number}-{fold}" for fold, number in enumerate((1, 0, 0))]
    assert twins == ([None] * 6 if search_folds > 1 else [first[0], None, first[1], None, first[2], None])
