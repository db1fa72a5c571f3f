"""The folder of a run: its settings and tables, that it is gone on with as it was begun, and clearing it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from histonic.core.cohort import Cohort, Fold
from histonic.core.documents import read_values
from histonic.core.errors import TrainingError
from histonic.core.files import PARTIAL_PREFIX, guard_cell, write_json, write_text
from histonic.core.places.kinds import STORE, kind_of
from histonic.core.task import Task
from histonic.runs.run import read_kept_settings

FLOAT_FORMAT = "%.9g"
PACKAGES = ("histonic", "lightning-fabric", "numpy", "scipy", "torch")


def versions() -> dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def settings_text(settings: Mapping[str, Any]) -> str:
    """The content of ``settings.yaml``."""
    return yaml.safe_dump(dict(settings), sort_keys=True, allow_unicode=True)


def require_same_settings(
    out: Path, settings: Mapping[str, Any], todo: str, *, free: Collection[str] = ()
) -> None:
    """Refuse a folder that holds a run with other settings.

    Args:
        out: The folder.
        settings: As they would be written to its ``settings.yaml``.
        todo: What the user can do about it.
        free: Settings with which a run may go on otherwise.

    Raises:
        TrainingError: The settings differ; says which.
        RunError: The settings of the run cannot be read.
    """
    if kind_of(out) == STORE:
        raise TrainingError(f"Train into {out}.", "It is a store of maps.", "Choose another --out.")
    if not (out / "settings.yaml").is_file():
        return
    before = read_kept_settings(out)
    changed = [key for key, value in settings.items() if key not in before or before[key] != value]
    different = [key for key in changed if key not in free]
    if different:
        key = different[0]
        raise TrainingError(
            f"Train into {out}.",
            f"It holds a run with other settings ({', '.join(different)}): "
            f"{key} was {before.get(key)!r}, now {settings[key]!r}.",
            todo,
        )


def require_same_origin(path: Path, origin: Mapping[str, Any]) -> None:
    """Keep what the networks are trained from and with, or refuse to go on if that has changed.

    Args:
        path: ``checkpoints/origin.json`` of an interrupted run; written if absent.
        origin: Versions, and fingerprints of maps or tiles.

    Raises:
        TrainingError: The run was begun with something else, or the file is damaged.
    """
    if not path.is_file():
        write_json(path, origin)
        return
    todo = "Restore them, or delete the run and begin again."
    before = read_values(path, TrainingError, todo)
    if before != origin:
        known = before if isinstance(before, dict) else {}
        different = [key for key in origin if known.get(key) != origin[key]]
        raise TrainingError(
            f"Go on with the run in {path.parent.parent}.",
            f"Since it began, these have changed: {', '.join(different)}.",
            todo,
        )


def clear_leftovers(out: Path, *folders: str) -> None:
    """Remove checkpoints and other ``folders``, and temporary files that a killed run left behind."""
    for name in ("checkpoints", *folders):
        shutil.rmtree(out / name, ignore_errors=True)
    for path in sorted(out.rglob(f"{PARTIAL_PREFIX}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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
        columns |= {"time": targets[:, 0].tolist(), "event": events}
        named = any(task.name in patient.causes for patient in cohort.patients)
        causes = [patient.causes.get(task.name, "") for patient in fold.test]
        return {**columns, "cause": causes} if named else columns
    if task.is_classification:
        names = ["" if np.isnan(index) else task.classes[int(index)] for index in targets]
        return {**columns, "truth": names}
    return {**columns, "truth": targets.tolist()}


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table with nine digits; text that a spreadsheet would take for a formula is guarded."""
    guarded = frame.rename(columns=guard_cell)
    for place, kind in enumerate(guarded.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            guarded.isetitem(place, guarded.iloc[:, place].map(guard_cell))
    write_text(path, guarded.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n"))
