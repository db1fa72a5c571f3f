"""Targets of a cohort as numbers, missing where a patient has none."""

from __future__ import annotations

import numpy as np

from histonic.core.cohort import Cohort, Patient
from histonic.core.task import Task

SCORE, SURVIVAL = Task("score", "regression", ("s",)), Task("os", "survival", ("months", "event"))
COHORT = Cohort(
    (SCORE, SURVIVAL),
    (
        Patient("A", ("a1", "a2"), "", {"score": 2.5}),
        Patient("B", ("b",), "", {"os": (10.0, 1.0)}),
    ),
)


def test_targets_are_missing_where_a_patient_has_none() -> None:
    assert np.array_equal(COHORT.targets(SCORE), [2.5, np.nan], equal_nan=True)
    assert np.array_equal(COHORT.targets(SURVIVAL), [[np.nan, np.nan], [10, 1]], equal_nan=True)
    assert np.array_equal(COHORT.targets(SURVIVAL, COHORT.patients[1:]), [[10, 1]])
    assert COHORT.targets(SCORE, []).shape == (0,)
