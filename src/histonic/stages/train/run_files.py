"""What a run leaves on the disk beside its bundle: cohort, predictions, history, provenance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.errors import TrainingError
from histonic.core.files import replacing_file, write_json, write_text
from histonic.data.maps.store import Store
from histonic.models.members import prediction_columns
from histonic.models.trained import Trained
from histonic.runs.files import clear_leftovers as clear_leftovers
from histonic.runs.files import require_same_origin as require_same_origin
from histonic.runs.files import require_same_settings, settings_text, truth_columns, write_frame
from histonic.stages.train.folds import Made
from histonic.stages.train.plan import Plan
from histonic.stages.train.search import best_choice, chosen_values, search_choices
from histonic.stages.train.settings import TrainSettings

FREE_SETTINGS = ("workers",)
"""What a run may go on with otherwise: how many processes share the work."""


def describe_cohort(
    cohort: Cohort, made: Made, folds: Sequence[Fold], store: Store, patients_in_table: int
) -> dict[str, Any]:
    """The content of ``cohort.json``; a patient's places are pairs of repeat and fold."""
    tests, validates = _places(folds, "test"), _places(folds, "validation")
    return {
        "split": made,
        "patients": [
            {
                "patient_id": patient.patient_id,
                "site": patient.site,
                "slide_ids": list(patient.slide_ids),
                "tested_in": tests.get(patient.patient_id, []),
                "validates_in": validates.get(patient.patient_id, []),
                "targets": _readable_targets(cohort, patient),
            }
            for patient in cohort.patients
        ],
        "exclusions": [
            {"what": each.what, "name": each.name, "reason": each.reason} for each in cohort.exclusions
        ],
        "counts": {
            "slides_in_store": len(store.slide_ids),
            "slides_failed": len(store.failures()),
            "slides_used": sum(len(patient.slide_ids) for patient in cohort.patients),
            "patients_in_table": patients_in_table,
            "patients_used": len(cohort.patients),
        },
    }


def _places(folds: Sequence[Fold], role: str) -> dict[str, list[list[int]]]:
    """Repeat and fold of every place in which a patient has a role."""
    found: dict[str, list[list[int]]] = {}
    for fold in folds:
        for patient in getattr(fold, role):
            found.setdefault(patient.patient_id, []).append([fold.repeat, fold.number])
    return found


def _readable_targets(cohort: Cohort, patient: Patient) -> dict[str, Any]:
    """Class name, value, or [time, event] per task that is known."""
    found: dict[str, Any] = {}
    for task in cohort.tasks:
        value = patient.targets.get(task.name)
        if isinstance(value, tuple):
            found[task.name] = list(value)
        elif value is not None:
            found[task.name] = task.classes[int(value)] if task.is_classification else value
    return found


def require_same_run(out: Path, settings: TrainSettings, cohort: Mapping[str, Any]) -> None:
    """Refuse a folder that holds another run.

    Raises:
        TrainingError: The settings, the labels or the maps of the run differ; says which.
    """
    todo = "Give the same settings and data again, or choose another --out."
    if not (out / "settings.yaml").is_file():
        return
    require_same_settings(out, settings.model_dump(mode="json"), todo, free=FREE_SETTINGS)
    path = out / "cohort.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(cohort)):
        found = "It holds a run on other patients, labels or maps (see its cohort.json)."
        raise TrainingError(f"Train into {out}.", found, todo)


def write_begin(out: Path, settings: TrainSettings, cohort: Mapping[str, Any]) -> None:
    """Write what is known before training: resolved settings and cohort."""
    write_json(out / "cohort.json", cohort)
    write_text(out / "settings.yaml", settings_text(settings.model_dump(mode="json")))


def write_predictions(out: Path, cohort: Cohort, folds: Sequence[Fold], trained: Sequence[Trained]) -> None:
    """Write ``predictions/<task>.csv``, a row a patient and repeat, out of fold."""
    for task in cohort.tasks:
        frames = []
        for fold in folds:
            place = (fold.repeat, fold.number)
            mine = [each for each in trained if (each.member.repeat, each.member.fold) == place]
            columns = prediction_columns(
                task, [each.predictions[task.name] for each in mine], [each.member for each in mine]
            )
            frames.append(pd.DataFrame({**truth_columns(task, cohort, fold), **columns}))
        frame = pd.concat(frames).sort_values(["repeat", "patient_id"])
        write_frame(out / "predictions" / f"{task.name}.csv", frame)


def write_history(out: Path, trained: Sequence[Trained]) -> None:
    """Write ``history.csv``, one row an epoch; epoch 0 is the untrained network."""
    rows = [
        {
            "repeat": each.member.repeat,
            "fold": each.member.fold,
            "initialisation": each.member.initialisation,
            "epoch": record.epoch,
            "learning_rate": record.learning_rate,
            "train_loss": record.train_loss,
            "validation_loss": record.validation_loss,
        }
        for each in trained
        for record in each.history
    ]
    write_frame(out / "history.csv", pd.DataFrame(rows))


def write_search(out: Path, plan: Plan) -> None:
    """Write ``search.csv``, one row a fold and combination, if settings were searched."""
    rows = []
    choices = search_choices(plan.settings)
    for fold in plan.folds if plan.settings.search else ():
        losses = plan.losses(fold)
        chosen = best_choice(losses)
        for number, found in losses.items():
            row = {"repeat": fold.repeat, "fold": fold.number, **chosen_values(choices[number])}
            rows.append({**row, "validation_loss": float(np.mean(found)), "chosen": int(number == chosen)})
    if rows:
        write_frame(out / "search.csv", pd.DataFrame(rows))


def copy_from_store(out: Path, store: Store, cohort: Cohort) -> None:
    """Copy the failure list and the pictures of the cohort's slides, so that the run stands by itself."""
    write_json(out / "failures.json", store.failures())
    for patient in cohort.patients:
        for slide_id in patient.slide_ids:
            picture = store.thumbnail(slide_id)
            if picture is not None:
                with replacing_file(out / "thumbnails" / picture.name) as partial:
                    shutil.copyfile(picture, partial)
