"""Values of single networks and of patients that were learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.evaluate import evaluate_task
from histonic.stages.evaluate.networks.spread import spread_of, training_spread

BINARY = Task("msi", "binary", ("msi",), ("no", "yes"))
SURVIVAL = Task("os", "survival", ("months", "event"))


def networks(task: Task, fitted: bool = False, repeats: int = 1) -> PredictionTable:
    """Four folds of two networks that know training patients better than tested ones."""
    rng = np.random.default_rng(0)
    n = 80
    hidden = rng.normal(size=n)
    positive = hidden + rng.normal(0, 0.5, n) > 0
    death, end = rng.exponential(20 * np.exp(-hidden)), rng.uniform(5, 60, n)
    frames = []
    for repeat in range(repeats):
        fold = rng.permutation(np.arange(n) % 4)
        for number in range(4):
            after = fold == (number + 1) % 4
            rest = ~after & (fold != number)
            parts = {"test": fold == number, "validation": after, "train": rest}
            if fitted:
                parts |= {"train": rest | after, "validation": rest | after}
            for initialisation in range(2):
                for part, rows in parts.items():
                    noise = 0.1 if part == "train" else 1.2
                    score = hidden[rows] + rng.normal(0, noise, rows.sum())
                    frame = pd.DataFrame({"patient_id": np.flatnonzero(rows).astype(str), "site": ""})
                    frame = frame.assign(repeat=repeat, fold=number, initialisation=initialisation, part=part)
                    if task.kind == "survival":
                        frame["time"], frame["event"] = np.minimum(death, end)[rows], (death <= end)[rows] * 1
                        frame["risk"], frame["high_risk"] = score, (score > 0) * 1
                    else:
                        chance = 1 / (1 + np.exp(-score))
                        frame["truth"] = np.where(positive[rows], "yes", "no")
                        frame["predicted"] = np.where(chance > 0.5, "yes", "no")
                        frame["decided_by"] = "most probable"
                        frame["p_no"], frame["p_yes"] = 1 - chance, chance
                    frames.append(frame)
    return PredictionTable(task, pd.concat(frames, ignore_index=True))


@pytest.mark.parametrize("task", [BINARY, SURVIVAL], ids=lambda task: task.kind)
def test_the_test_value_is_the_leading_metric_of_the_report(task: Task) -> None:
    table = networks(task)
    found = training_spread(table)
    test = table.frame[table.frame["part"] == "test"]
    numbers = ["risk"] if task.kind == "survival" else ["p_no", "p_yes"]
    keys = [name for name in test if name not in (*numbers, "initialisation", "predicted", "high_risk")]
    joined = test.groupby(keys, as_index=False)[numbers].mean()
    if task.kind == "survival":
        joined["high_risk"] = 0
    else:
        joined["predicted"] = np.where(joined["p_yes"] > 0.5, "yes", "no")
    wanted = evaluate_task(task, joined.drop(columns="part"), resamples=10).scores[0]
    by_part = {each.part: each for each in found.parts}
    assert found.metric == wanted.name
    assert by_part["test"].value == pytest.approx(wanted.value, abs=1e-9)
    assert by_part["train"].value > by_part["validation"].value
    assert found.optimism == pytest.approx(by_part["train"].value - by_part["test"].value)
    assert (by_part["train"].patients, by_part["test"].patients) == (40.0, 20.0)
    assert not found.fitted and found.by_repeat == ()


def test_single_networks_are_scored_by_themselves() -> None:
    table = networks(BINARY)
    found = {each.part: each for each in training_spread(table).parts}["test"]
    for initialisation, value in enumerate(found.by_network):
        mine = table.frame.query(f"part == 'test' and initialisation == {initialisation}")
        areas, weights = [], []
        for _, rows in mine.groupby("fold"):
            yes = rows["truth"] == "yes"
            areas.append(roc_auc_score(yes, rows["p_yes"]))
            weights.append(yes.sum() * (~yes).sum())
        assert value == pytest.approx(np.average(areas, weights=weights), abs=1e-9)


def test_repeats_and_fitted_heads_are_told() -> None:
    found = training_spread(networks(BINARY, fitted=True, repeats=3))
    assert len(found.by_repeat) == 3 and len(set(found.by_repeat)) == 3
    assert found.fitted and {each.part: each.patients for each in found.parts}["train"] == 60.0
    assert np.mean(found.by_repeat) == pytest.approx(found.parts[-1].value)


def test_spread_needs_two_values() -> None:
    assert spread_of([0.5]) is None and spread_of([0.5, None]) is None
