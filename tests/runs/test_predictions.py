"""Tests of histonic.runs.predictions."""

import pandas as pd
import pytest

from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable

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
