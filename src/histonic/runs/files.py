"""Writing the tables and versions of a run."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histonic.core.cohort import Cohort, Fold
from histonic.core.files import write_text
from histonic.core.task import Task

FLOAT_FORMAT = "%.9g"
PACKAGES = ("histonic", "lightning-fabric", "numpy", "scipy", "torch")


def versions() -> dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def truth_columns(task: Task, cohort: Cohort, fold: Fold) -> dict[str, list[Any]]:
    """The first columns of a table of predictions: the fold's test patients and their truth."""
    columns: dict[str, list[Any]] = {
        "patient_id": [patient.patient_id for patient in fold.test],
        "site": [patient.site for patient in fold.test],
        "repeat": [fold.repeat] * len(fold.test),
        "fold": [fold.number] * len(fold.test),
    }
    targets = cohort.targets(task, fold.test)
    if task.kind == "survival":
        events = ["" if np.isnan(event) else int(event) for event in targets[:, 1]]
        return {**columns, "time": targets[:, 0].tolist(), "event": events}
    if task.is_classification:
        names = ["" if np.isnan(index) else task.classes[int(index)] for index in targets]
        return {**columns, "truth": names}
    return {**columns, "truth": targets.tolist()}


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table with nine digits."""
    write_text(path, frame.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n"))
