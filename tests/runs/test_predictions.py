"""Tests of histonic.runs.predictions."""

from pathlib import Path

import pandas as pd
import pytest

from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.runs.files import write_frame
from histonic.runs.predictions import PredictionTable, read_predictions

SURVIVAL = Task("os", "survival", ("time", "event"))


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        (Task("mutation", "binary", ("mutation",), ("no", "yes")), {"truth": ["yes", None, "no"]}),
        (Task("score", "regression", ("score",)), {"truth": [0.5, None, 0.0]}),
        (SURVIVAL, {"time": [3.0, 4.0, 5.0], "event": [1, None, 0]}),
        (SURVIVAL, {"time": [3.0, None, 5.0], "event": [1, 0, 0]}),
    ],
)
def test_patient_has_a_truth_when_all_of_it_is_known(task: Task, columns: dict[str, list[object]]) -> None:
    """A class of index 0, a value of 0 and a censored time are truths; half a follow-up is none."""
    table = PredictionTable(task, pd.DataFrame({"patient_id": ["a", "b", "c"], **columns}))
    assert table.has_truth().tolist() == [True, False, True]
    assert table.rows(table.has_truth()).texts("patient_id") == ["a", "c"]


def test_missing_column_and_unknown_class_are_named() -> None:
    table = PredictionTable(SURVIVAL, pd.DataFrame({"patient_id": ["a"], "time": [3.0]}))
    with pytest.raises(TableError, match="event"):
        table.has_truth()
    labels = PredictionTable(
        Task("mutation", "binary", ("mutation",), ("no", "yes")),
        pd.DataFrame({"patient_id": ["a"], "truth": ["maybe"]}),
    )
    with pytest.raises(TableError, match="maybe"):
        labels.has_truth()


def test_the_rule_that_called_is_one_for_all() -> None:
    task = Task("mutation", "binary", ("mutation",), ("no", "yes"))
    frame = pd.DataFrame({"patient_id": ["a", "b"], "predicted": ["no", "yes"]})
    assert PredictionTable(task, frame).decided_by == ""
    for rule in ("balanced", "youden", "sensitivity=0.95"):
        assert PredictionTable(task, frame.assign(decided_by=rule)).decided_by == rule
    for odd in (["balanced", "most probable"], ["by eye"] * 2):
        with pytest.raises(TableError, match="decided_by"):
            _ = PredictionTable(task, frame.assign(decided_by=odd)).decided_by


def test_points_are_the_columns_of_their_calls() -> None:
    frame = pd.DataFrame(
        {"patient_id": ["a"], "at_youden": ["no"], "at_home": ["no"], "at_cost=1:5": ["yes"]}
    )
    for kind, points in (("binary", ["youden", "cost=1:5"]), ("multiclass", [])):
        task = Task("mutation", kind, ("mutation",), ("no", "yes"))
        assert PredictionTable(task, frame).points == points


def test_names_that_look_like_formulas_come_back(tmp_path: Path) -> None:
    names = ["-1", "=P1", "@x", "'=P2", "+", "P3"]
    frame = pd.DataFrame({"patient_id": names, "truth": ["-", "+", "-", "", "-", "="], "p_-": [-0.5] * 6})
    write_frame(tmp_path / "predictions" / "y.csv", frame)
    text = (tmp_path / "predictions" / "y.csv").read_text()
    assert "\n=" not in text and "\n@" not in text and "\n+," not in text and ",-0.5\n" in text
    table = read_predictions(tmp_path, Task("y", "binary", ("y",), ("-", "+")))
    assert table.texts("patient_id") == names
    assert table.texts("truth") == ["-", "+", "-", "", "-", "="]
