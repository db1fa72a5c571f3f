"""Events for each coefficient of a Cox model of the risk and clinical columns, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from histonic.core.task import Task
from histonic.metrics.survival.outcome import Survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical.cox import EVENTS_A_PARAMETER
from histonic.stages.evaluate.clinical.models import clinical_design


@dataclass(frozen=True)
class PlannedCox:
    """The model that a report will fit.

    Attributes:
        patients: With a known follow-up.
        events: Of them.
        coefficients: Per column; a column of words has one for each word but the usual one.
    """

    patients: int
    events: int
    coefficients: Mapping[str, int]

    @property
    def a_parameter(self) -> float:
        """Events for each coefficient, that of the predicted risk among them."""
        return self.events / (1 + sum(self.coefficients.values()))

    @property
    def enough(self) -> bool:
        """Whether these are :data:`EVENTS_A_PARAMETER` or more."""
        return self.a_parameter >= EVENTS_A_PARAMETER

    def words(self) -> str:
        """The numbers in a sentence.

        Example:
            >>> PlannedCox(200, 36, {"age": 1, "stage": 2}).words()[51:127]
            'stage (2) has 4 coefficients for 36 events in 200 patients: 9.0 events each,'
        """
        named = [f"{name} ({count})" for name, count in self.coefficients.items()]
        listed = ", ".join(["the predicted risk (1)", *named[:-1]]) + f" and {named[-1]}"
        count = 1 + sum(self.coefficients.values())
        said = (
            f"a Cox model of {listed} has {count} coefficients for {self.events} events in {self.patients} "
            f"patients: {self.a_parameter:.1f} events each"
        )
        if self.enough:
            return f"{said} ({EVENTS_A_PARAMETER} or more are wanted)"
        return (
            f"{said}, and below {EVENTS_A_PARAMETER} its hazard ratios are not reliable; leave out columns "
            "or join their levels"
        )


def planned_cox(
    task: Task,
    known: Mapping[str, float | tuple[float, float]],
    columns: Mapping[str, Mapping[str, str]],
) -> PlannedCox:
    """Count the coefficients of the model as a report would fit it to all of these patients.

    Args:
        task: A survival target.
        known: Time and event of each patient.
        columns: Cell per column and patient; one column at least.

    Raises:
        CohortError: Too few patients, or a column that cannot be used.
    """
    rows = {patient: value for patient, value in known.items() if isinstance(value, tuple)}
    time, event = ([pair[k] for pair in rows.values()] for k in (0, 1))
    frame = pd.DataFrame({"patient_id": list(rows), "time": time, "event": event})
    design = clinical_design(PredictionTable(task, frame), columns)
    outcome: Survival = design.outcome
    counts = {name: 1 for name in design.numbers.columns}
    counts |= {name: int(column.nunique()) - 1 for name, column in design.words.items()}
    return PlannedCox(design.n, int(outcome.event.sum()), {name: counts[name] for name in columns})
