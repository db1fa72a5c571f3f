"""Coefficients and events of the Cox model to come are those of the model that a report fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical.cox import cox_model
from histonic.stages.evaluate.clinical.planned import PlannedCox, planned_cox

TASK = Task("os", "survival", ("time", "event"))


def followed(n: int = 120) -> tuple[dict[str, tuple[float, float]], dict[str, dict[str, str]]]:
    rng = np.random.default_rng(0)
    names = [f"P{number:03d}" for number in range(n)]
    known = {
        name: (float(time), float(event))
        for name, time, event in zip(names, rng.exponential(20, n), rng.random(n) < 0.5, strict=True)
    }
    age = {name: str(value) for name, value in zip(names, rng.normal(60, 9, n).round(), strict=True)}
    stage = {name: str(value) for name, value in zip(names, rng.choice(["I", "II", "III"], n), strict=True)}
    age["P003"] = stage["P004"] = ""
    return known, {"stage": stage, "age": age}


def test_it_is_the_model_that_a_report_fits() -> None:
    known, columns = followed()
    found = planned_cox(TASK, known, columns)
    rows = {"patient_id": list(known), "site": "", "fold": 0, "high_risk": 0}
    frame = pd.DataFrame(rows).assign(
        time=[pair[0] for pair in known.values()],
        event=[pair[1] for pair in known.values()],
        risk=np.random.default_rng(1).normal(size=len(known)),
    )
    fitted = cox_model(PredictionTable(TASK, frame), columns)
    assert (found.patients, found.events) == (fitted.n, fitted.events)
    assert found.coefficients == {"stage": 2, "age": 1}
    assert found.a_parameter == pytest.approx(fitted.events_a_parameter)
    assert found.enough == (found.events >= 40)


def test_the_floor_is_ten_for_each() -> None:
    assert PlannedCox(100, 30, {"age": 1, "sex": 1}).enough
    assert "wanted" in PlannedCox(100, 30, {"age": 1, "sex": 1}).words()
    few = PlannedCox(100, 29, {"age": 1, "sex": 1})
    assert not few.enough and "3 coefficients for 29 events in 100 patients: 9.7 events each" in few.words()


def test_columns_that_cannot_be_used_are_refused() -> None:
    known, _ = followed()
    with pytest.raises(CohortError, match="for all patients"):
        planned_cox(TASK, known, {"site": dict.fromkeys(known, "one")})
    many = {name: f"w{number}" for number, name in enumerate(known)}
    with pytest.raises(CohortError, match="different words"):
        planned_cox(TASK, known, {"word": many})
