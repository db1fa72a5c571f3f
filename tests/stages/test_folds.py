"""The rotation: every patient tested once, validated once, and never in two roles."""

from __future__ import annotations

import pytest

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.stages.folds import rotate

SCORE = Task("score", "regression", ("s",))
OS = Task("os", "survival", ("t", "e"))


def people(n: int = 12) -> tuple[Patient, ...]:
    return tuple(Patient(f"P{i:02d}", (f"s{i}",), targets={"score": float(i)}) for i in range(n))


@pytest.mark.parametrize("parts", [3, 4, 5])
def test_roles_rotate(parts: int) -> None:
    cohort = Cohort((SCORE,), people())
    split = {patient.patient_id: i % parts for i, patient in enumerate(cohort.patients)}
    folds = rotate(cohort, split, parts)
    for fold in folds:
        everyone = [*fold.train, *fold.validation, *fold.test]
        assert sorted(patient.patient_id for patient in everyone) == [p.patient_id for p in people()]
        assert {split[p.patient_id] for p in fold.test} == {fold.number}
        assert {split[p.patient_id] for p in fold.validation} == {(fold.number + 1) % parts}
    assert sorted(p.patient_id for fold in folds for p in fold.test) == [p.patient_id for p in people()]


def test_a_part_that_can_judge_nothing_is_refused() -> None:
    outcomes = [
        (5.0, 1.0),
        (6.0, 1.0),
        (7.0, 0.0),
        (4.0, 0.0),
        (9.0, 0.0),
        (8.0, 0.0),
        (3.0, 1.0),
        (4.0, 0.0),
    ]
    patients = tuple(Patient(f"P{i}", (f"s{i}",), targets={"os": out}) for i, out in enumerate(outcomes))
    split = {f"P{i}": i // 3 for i in range(8)}
    with pytest.raises(CohortError, match="Validate fold 1"):
        rotate(Cohort((OS,), patients), split, 3)
