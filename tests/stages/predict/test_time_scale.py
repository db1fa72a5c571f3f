"""Survival times of another unit than the run's: asked about, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.runs.documents import CohortCounts, CohortDocument, CohortPatient
from histonic.stages.predict.time_scale import require_same_time_scale

OS = Task("os", "survival", ("months", "dead"))
LABELS = Path("other.csv")


def run_of(*times: float) -> CohortDocument:
    return CohortDocument(
        split="random",
        patients=tuple(
            CohortPatient(
                patient_id=f"P{k}",
                site="",
                slide_ids=("s",),
                tested_in=((0, 0),),
                validates_in=(),
                targets={"os": (time, 1.0)},
            )
            for k, time in enumerate(times)
        ),
        exclusions=(),
        counts=CohortCounts(
            slides_in_store=0, slides_used=0, patients_in_table=0, patients_used=0, slides_failed=0
        ),
    )


def other(*times: float) -> Cohort:
    return Cohort((OS,), tuple(Patient(f"Q{k}", ("s",), "", {"os": (t, 1.0)}) for k, t in enumerate(times)))


def test_days_against_months_are_asked_about_with_the_likely_units() -> None:
    months = (3.0, 10.0, 20.0, 31.0, 60.0)
    with pytest.raises(TableError, match=r"Days and months differ by 30\.44") as caught:
        require_same_time_scale(run_of(*months), other(*(30 * each for each in months)), LABELS)
    assert "median 600, those of the run 20, 30 times" in caught.value.found
    assert "--times-differ" in caught.value.todo
    with pytest.raises(TableError, match="Months and years"):
        require_same_time_scale(run_of(*months), other(*(each / 12 for each in months)), LABELS)


def test_a_cohort_that_lives_longer_or_is_tiny_goes_on() -> None:
    months = (3.0, 10.0, 20.0, 31.0, 60.0)
    require_same_time_scale(run_of(*months), other(*(9 * each for each in months)), LABELS)
    require_same_time_scale(run_of(*months), other(1.0, 4.0), LABELS)
    require_same_time_scale(run_of(*months), other(), LABELS)
    with pytest.raises(TableError, match=r"other\.csv"):
        require_same_time_scale(run_of(*months), other(900.0, 1200.0), LABELS)
