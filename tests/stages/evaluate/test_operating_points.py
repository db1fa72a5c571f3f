"""Calls at operating points from tables of predictions: counts by hand, repeats, and who has no call."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import split_repeats
from histonic.stages.evaluate.evaluate import evaluate_task
from histonic.stages.evaluate.operating_points import PointEvaluation, evaluate_points

MSI = Task("msi", "binary", ("msi",), ("no", "yes"))


def table(calls: str, truth: str = "yyyynnnnnn", repeat: int = 0) -> pd.DataFrame:
    """One letter a patient: y, n or a blank."""
    words = {"y": "yes", "n": "no", " ": ""}
    return pd.DataFrame(
        {
            "patient_id": [f"p{k}" for k in range(len(truth))],
            "site": "",
            "repeat": repeat,
            "fold": np.arange(len(truth)) % 2,
            "truth": [words[each] for each in truth],
            "predicted": "no",
            "p_no": 0.6,
            "p_yes": 0.4,
            "at_youden": [words[each] for each in calls],
        }
    )


def evaluate(frame: pd.DataFrame) -> PointEvaluation:
    (found,) = evaluate_points(split_repeats(PredictionTable(MSI, frame)))
    return found


def counts(found: PointEvaluation) -> tuple[float, float, float, float]:
    return (found.true_positive, found.false_positive, found.false_negative, found.true_negative)


def test_calls_are_counted() -> None:
    found = evaluate(table("yyynyynnnn"))
    assert found.point == "youden" and (found.n, found.uncalled, found.positives) == (10, 0, 4)
    assert counts(found) == (3, 2, 1, 4)
    values = {score.name: score.value for score in found.scores}
    assert values["Sensitivity"] == 0.75 and values["PPV"] == 0.6 and values["LR+"] == pytest.approx(2.25)


def test_patients_without_truth_or_call_are_left_out() -> None:
    found = evaluate(table("yyy yynnnn", "yyyyynnnn "))
    assert (found.n, found.uncalled) == (8, 1) and counts(found) == (4, 1, 0, 3)


def test_repeats_count_each_patient_once() -> None:
    """Called in 1 and 0.5 of the repeats; the last patient has a call in one of them only."""
    frame = pd.concat([table("yyyynnnnnn"), table("yynnynnnn ", repeat=1)])
    found = evaluate(frame)
    assert found.n == 10 and counts(found) == (3, 0.5, 1, 5.5)
    once = evaluate(table("yyynnnnnnn"))
    twice = evaluate(pd.concat([table("yyynnnnnnn"), table("yyynnnnnnn", repeat=1)]))
    assert once == twice  # the same calls again tell nothing new


def test_what_has_no_end_survives_json() -> None:
    found = evaluate(table("yynnnnnnnn"))
    ratio = next(score for score in found.scores if score.name == "LR+")
    assert ratio.is_infinite and ratio.low is not None and ratio.high is None
    assert PointEvaluation.model_validate_json(json.dumps(found.to_dict(), allow_nan=False)) == found
    nobody = {score.name: score for score in evaluate(table("nnnnnnnnnn")).scores}
    assert nobody["PPV"].value is None and not nobody["PPV"].is_infinite


def test_tables_without_calls_have_no_points() -> None:
    frame = table("nnnnnnnnnn")
    assert evaluate_points([PredictionTable(MSI, frame.drop(columns="at_youden"))]) == ()
    assert evaluate_points([PredictionTable(MSI, frame.assign(at_youden=""))]) == ()
    with pytest.raises(TableError, match="at_youden"):
        evaluate(frame.assign(at_youden="maybe"))


def test_the_evaluation_of_a_target_holds_them() -> None:
    result = evaluate_task(MSI, table("yyynyynnnn"), resamples=20)
    (found,) = result.to_dict()["operating_points"]
    assert found["point"] == "youden" and found["true_positive"] == 3
    assert [score["name"] for score in found["scores"]] == [
        "Sensitivity", "Specificity", "PPV", "NPV", "LR+", "LR−", "F1"
    ]  # fmt: skip
