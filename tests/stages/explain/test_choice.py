"""Certainty without a probability, and classes taken in turn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.stages.explain.choice import chosen_patients

TASK = Task("msi", "binary", ("msi",), ("no", "yes"))


def table_of(p_yes: list[float]) -> PredictionTable:
    table = pd.DataFrame(
        {
            "patient_id": [f"P{number}" for number in range(len(p_yes))],
            "p_no": [str(round(1 - p, 6)) for p in p_yes],
            "p_yes": [str(p) for p in p_yes],
        }
    )
    return PredictionTable(TASK, table)


def test_each_class_has_a_turn() -> None:
    roles = chosen_patients(table_of([0.99, 0.98, 0.97, 0.05, 0.55, 0.5]), 2)
    assert roles["P0"] == roles["P3"] == "most certain"
    assert len(roles) == 4 and "P1" not in roles


def test_a_rare_class_is_certain_at_a_low_probability() -> None:
    # With a mean of 0.1, a probability of 0.1 is what a network says that knows nothing.
    values = np.array([0.1, 0.02, 0.3, 0.06, 0.05, 0.07])
    roles = chosen_patients(table_of(values.tolist()), 2)
    assert roles["P2"] == roles["P1"] == "most certain" and roles["P0"] == "least certain"


def test_nobody_is_most_and_least_certain() -> None:
    for count in (1, 2, 5):
        roles = chosen_patients(table_of([0.9, 0.1, 0.5]), count)
        assert len(roles) == 2
