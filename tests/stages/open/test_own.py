"""Predictions of a model of one's own: those of the run itself score as the run does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.runs import ALL_TASKS, GRADE, MSI, SCORE, SUBTYPE, SURVIVAL
from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.stages.open.own import needed_columns
from histonic.stages.open.run import Run
from histonic.stages.train.train import train_slides


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path]) -> Run:
    where = tmp_path_factory.mktemp("own") / "run"
    return Run.open(make_run(where, ALL_TASKS, patients=48, missing=0.1, pictures=False))


def own_of(run: Run, task: Task) -> pd.DataFrame:
    return run.predictions(task.name)[["patient_id", *needed_columns(task)]].sample(frac=1, random_state=3)


@pytest.mark.parametrize("task", [MSI, SUBTYPE, GRADE, SCORE, SURVIVAL], ids=lambda task: task.kind)
def test_the_runs_own_predictions_score_as_the_run(run: Run, task: Task) -> None:
    own = own_of(run, task)
    if task.kind == "survival":
        own["high_risk"] = run.predictions(task.name)["high_risk"]
    found = run.evaluate(own, task.name, resamples=50)
    wanted = run.metrics(task.name, resamples=50)
    # The fixture calls classes by a rule of its own; what needs no calls is equal to the last digit.
    free = ~wanted["metric"].str.contains("accuracy|kappa|F1|Kappa|Accuracy|sensitivity|MCC", case=False)
    pd.testing.assert_frame_equal(found[free.to_numpy()], wanted[free])
    assert free.sum() and found["metric"].tolist() == wanted["metric"].tolist()


def test_one_probability_of_two_is_enough(run: Run) -> None:
    own = own_of(run, MSI)
    positive = own[["patient_id", f"p_{MSI.classes[1]}"]]
    pd.testing.assert_frame_equal(
        run.evaluate(positive, MSI.name, resamples=50).iloc[:1],
        run.evaluate(own, MSI.name, resamples=50).iloc[:1],
    )


def test_truth_and_folds_are_those_of_the_run(run: Run) -> None:
    own = own_of(run, SCORE)
    lied = own.assign(truth=1.0, fold=0)
    pd.testing.assert_frame_equal(
        run.evaluate(lied, SCORE.name, resamples=50), run.evaluate(own, SCORE.name, resamples=50)
    )


def test_without_a_cut_the_median_of_the_fold_divides(run: Run) -> None:
    found = run.evaluate(own_of(run, SURVIVAL), SURVIVAL.name, resamples=50)
    assert np.isfinite(found["value"]).all() and found["metric"].iloc[0] == "C-index"


def test_another_cohort_is_refused_by_name(run: Run) -> None:
    own = own_of(run, SCORE).reset_index(drop=True)
    gone = own["patient_id"][3]
    with pytest.raises(TableError, match=f"1 of the run's .* have no row: {gone}"):
        run.evaluate(own.drop(index=3), SCORE.name)
    with pytest.raises(TableError, match=f"{gone!r} has several rows"):
        run.evaluate(pd.concat([own, own.iloc[[3]]]), SCORE.name)
    with pytest.raises(TableError, match="tested patients: nobody"):
        run.evaluate(pd.concat([own, own.iloc[[3]].assign(patient_id="nobody")]), SCORE.name)
    with pytest.raises(TableError, match="no column predicted"):
        run.evaluate(own.rename(columns={"predicted": "p"}), SCORE.name)
    odd = own.assign(predicted=["x" if name == gone else 1.0 for name in own["patient_id"]])
    with pytest.raises(TableError, match=f"'x' for patient {gone}"):
        run.evaluate(odd, SCORE.name)


def test_a_cell_that_is_no_number_is_named(run: Run) -> None:
    own = own_of(run, GRADE).reset_index(drop=True)
    column = needed_columns(GRADE)[0]
    own[column] = own[column].astype(object)
    own.loc[3, column] = "abc"
    with pytest.raises(TableError, match=rf"'{column}' is 'abc' for patient P\d+, no number"):
        run.evaluate(own, GRADE.name, resamples=50)


@pytest.fixture(scope="module")
def unequal(trained: Path, labels: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two classes, one of them rarer, whose calls are not those of the most probable class."""
    late = labels.assign(late=["yes" if score > 25 else "no" for score in labels["proliferation_score"]])
    out = tmp_path_factory.mktemp("unequal") / "run"
    values = {"store": trained.parent / "store", "labels": late, "target": "late:binary"}
    return Run.open(train_slides(**values, out=out, aggregator="mean", folds=3, calls="balanced"))


def test_classes_are_called_by_the_rule_of_the_run(unequal: Run) -> None:
    task = unequal.find_task(None)
    assert unequal.facts.calls == "balanced"
    own = own_of(unequal, task)
    pd.testing.assert_frame_equal(unequal.evaluate(own, resamples=50), unequal.metrics(resamples=50))
    # A probability below one half is called where it is above the share among those who trained.
    low = own.assign(p_yes=0.49, p_no=0.51)
    shares = {}
    for patient in unequal.cohort.patients:
        ((repeat, fold),) = patient.tested_in
        others = [each for each in unequal.cohort.patients if each.part_in(repeat, fold) == "train"]
        shares[patient.patient_id] = np.mean([each.targets["late"] == "yes" for each in others])
    by_hand = ["yes" if shares[name] < 0.49 else "no" for name in low["patient_id"]]
    assert "yes" in by_hand
    found = unequal.evaluate(low, resamples=50)
    pd.testing.assert_frame_equal(found, unequal.evaluate(low.assign(predicted=by_hand), resamples=50))
    given = replace(unequal, facts=unequal.facts.model_copy(update={"calls": "threshold=0.9999"}))
    none = given.evaluate(own, resamples=50).set_index("metric")["value"]
    called = own.assign(predicted="no")
    pd.testing.assert_series_equal(none, unequal.evaluate(called, resamples=50).set_index("metric")["value"])


def test_a_threshold_chosen_for_other_probabilities_is_not_taken(unequal: Run) -> None:
    own = own_of(unequal, unequal.find_task(None))
    chosen = replace(unequal, facts=unequal.facts.model_copy(update={"calls": "youden"}))
    with pytest.raises(TableError, match="chose for the probabilities of its own networks"):
        chosen.evaluate(own)
    assert len(chosen.evaluate(own.assign(predicted="yes"), resamples=50))
    with pytest.raises(TableError, match="'maybe' for patient"):
        chosen.evaluate(own.assign(predicted="maybe"))
