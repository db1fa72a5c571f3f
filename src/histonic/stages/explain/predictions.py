"""What was predicted of what is explained: by the run's tables, and by the networks that are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from histonic.core.calls import Calls
from histonic.core.task import Task
from histonic.models.members import prediction_columns
from histonic.models.predicting import predict_slides
from histonic.runs.documents import CohortPatient
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import called_together
from histonic.stages.explain.attribution.model_input import ModelInput
from histonic.stages.explain.attribution.views import ExplainedNetwork
from histonic.stages.explain.choice import rows_of
from histonic.stages.explain.record import Prediction
from histonic.training.devices import SingleDevice


def of_patient(table: PredictionTable, patient: CohortPatient | None) -> Prediction | None:
    """The patient's prediction in the run's table, of repeats the mean; None if there is none.

    Args:
        table: Of one target.
        patient: None for a slide of no patient.
    """
    if patient is None:
        return None
    rows = rows_of(table, patient.patient_id)
    if not len(rows.frame):
        return None
    numbers = ("risk", "score", *(() if table.task.is_classification else ("predicted",)))
    found: Prediction = {}
    for name in map(str, rows.frame.columns):
        if name in numbers or name.startswith("p_"):
            found[name] = float(rows.numbers(name).mean())
        elif name == "high_risk":
            found[name] = float(rows.numbers(name).mean() > 0.5)
        elif name == "decided_by":
            found[name] = rows.texts(name)[0]
        elif name == "predicted":
            places = np.arange(len(rows.frame))
            found[name] = called_together([rows.rows(places == place) for place in places])[0]
    return found


def predict_seen(
    networks: Sequence[ExplainedNetwork], model_input: ModelInput, task: Task, calls: Calls
) -> dict[str, Any]:
    """The prediction of what the networks see, in the columns of the run's tables.

    Args:
        networks: That are explained.
        model_input: What they see.
        task: The target.
        calls: How classes are called.
    """
    found = [
        predict_slides(
            network.model,
            model_input.maps,
            [model_input.name],
            fabric=SingleDevice(),
            crop_cells=network.crop_cells,
            crops=network.test_crops,
            orientations=network.orientations,
        )[task.name]
        for network in networks
    ]
    columns = prediction_columns(task, found, [network.member for network in networks], calls)
    return {name: cells[0] for name, cells in columns.items()}
