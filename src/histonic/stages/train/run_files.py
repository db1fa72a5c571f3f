"""What a run leaves on the disk beside its bundle: cohort, predictions, history, provenance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.documents import write_document
from histonic.core.errors import TrainingError
from histonic.core.files import PARTIAL_PREFIX, replacing_file, write_json, write_text
from histonic.data.maps.store import Store
from histonic.models.members import prediction_columns
from histonic.models.trained import Trained
from histonic.runs.documents import CohortCounts, CohortDocument, CohortPatient, Made, Target
from histonic.runs.files import truth_columns, write_frame
from histonic.runs.run import read_cohort, read_kept_settings
from histonic.stages.train.search import TrialLosses, best_choice, chosen_values, search_choices
from histonic.stages.train.settings import TrainSettings

FREE_SETTINGS = ("workers",)
"""What a run may go on with otherwise: how many processes share the work."""


def describe_cohort(
    cohort: Cohort, made: Made, folds: Sequence[Fold], store: Store, patients_in_table: int
) -> CohortDocument:
    """The content of ``cohort.json``."""
    tests, validates = _places(folds, "test"), _places(folds, "validation")
    return CohortDocument(
        split=made,
        patients=tuple(
            CohortPatient(
                patient_id=patient.patient_id,
                site=patient.site,
                slide_ids=patient.slide_ids,
                tested_in=tuple(tests.get(patient.patient_id, ())),
                validates_in=tuple(validates.get(patient.patient_id, ())),
                targets=_readable_targets(cohort, patient),
            )
            for patient in cohort.patients
        ),
        exclusions=cohort.exclusions,
        counts=CohortCounts(
            slides_in_store=len(store.slide_ids),
            slides_failed=len(store.failures()),
            slides_used=sum(len(patient.slide_ids) for patient in cohort.patients),
            patients_in_table=patients_in_table,
            patients_used=len(cohort.patients),
        ),
    )


def _places(folds: Sequence[Fold], role: str) -> dict[str, list[tuple[int, int]]]:
    """Repeat and fold of every place in which a patient has a role."""
    found: dict[str, list[tuple[int, int]]] = {}
    for fold in folds:
        for patient in getattr(fold, role):
            found.setdefault(patient.patient_id, []).append((fold.repeat, fold.number))
    return found


def _readable_targets(cohort: Cohort, patient: Patient) -> dict[str, Target]:
    """Class name, value, or time and event per task that is known."""
    found: dict[str, Target] = {}
    for task in cohort.tasks:
        value = patient.targets.get(task.name)
        if isinstance(value, tuple):
            found[task.name] = value
        elif value is not None:
            found[task.name] = task.classes[int(value)] if task.is_classification else value
    return found


def require_same_run(out: Path, settings: TrainSettings, cohort: CohortDocument) -> None:
    """Refuse a folder that holds another run.

    Raises:
        TrainingError: The settings, the labels or the maps of the run differ; says which.
        RunError: A file of the run is damaged.
    """
    todo = "Give the same settings and data again, or choose another --out."
    asked = f"Train into {out}."
    if not (out / "settings.yaml").is_file():
        return
    before = read_kept_settings(out)
    now = settings.model_dump(mode="json")
    different = [key for key in now if key not in FREE_SETTINGS and before.get(key) != now[key]]
    if different:
        key = different[0]
        raise TrainingError(
            asked,
            f"It holds a run with other settings ({', '.join(different)}): "
            f"{key} was {before.get(key)!r}, now {now[key]!r}.",
            todo,
        )
    if (out / "cohort.json").is_file() and read_cohort(out) != cohort:
        raise TrainingError(
            asked, "It holds a run on other patients, labels or maps (see its cohort.json).", todo
        )


def require_same_origin(path: Path, origin: Mapping[str, Any]) -> None:
    """Keep what the networks are trained from and with, or refuse to go on if that has changed.

    Args:
        path: File of an interrupted run; written if absent.
        origin: Versions, and fingerprints of the maps.

    Raises:
        TrainingError: The run was begun with something else.
    """
    if not path.is_file():
        write_json(path, origin)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    if before != origin:
        different = [key for key in origin if before.get(key) != origin[key]]
        raise TrainingError(
            f"Go on with the run in {path.parent.parent}.",
            f"Since it began, these have changed: {', '.join(different)}.",
            "Restore them, or delete the run and begin again.",
        )


def write_begin(out: Path, settings: TrainSettings, cohort: CohortDocument) -> None:
    """Write what is known before training: resolved settings and cohort."""
    write_document(out / "cohort.json", cohort)
    write_text(
        out / "settings.yaml",
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=True, allow_unicode=True),
    )


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


def write_search(out: Path, settings: TrainSettings, losses: TrialLosses) -> None:
    """Write ``search.csv``, one row a fold and combination, if settings were searched."""
    rows = []
    choices = search_choices(settings)
    for (repeat, fold), trials in losses.items():
        for number, found in trials.items():
            row = {"repeat": repeat, "fold": fold, **chosen_values(choices[number])}
            row |= {"validation_loss": float(np.mean(found)), "chosen": int(number == best_choice(trials))}
            rows.append(row)
    if rows:
        write_frame(out / "search.csv", pd.DataFrame(rows))


def copy_from_store(out: Path, store: Store, cohort: Cohort) -> None:
    """Copy the failure list and the pictures of the cohort's slides, so that the run stands by itself."""
    write_json(out / "failures.json", [asdict(each) for each in store.failures()])
    for patient in cohort.patients:
        for slide_id in patient.slide_ids:
            picture = store.thumbnail(slide_id)
            if picture is not None:
                with replacing_file(out / "thumbnails" / picture.name) as partial:
                    shutil.copyfile(picture, partial)


def clear_leftovers(out: Path) -> None:
    """Remove checkpoints, and temporary files that a killed run left behind."""
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    for path in sorted(out.rglob(f"{PARTIAL_PREFIX}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
