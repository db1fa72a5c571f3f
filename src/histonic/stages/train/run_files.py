"""What a run leaves on the disk beside its bundle: cohort, predictions, history, provenance."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from histonic.aggregators.base import is_fitted
from histonic.core.calls import Calls, is_point
from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.documents import write_document
from histonic.core.errors import TrainingError
from histonic.core.files import replacing_file, write_json, write_text
from histonic.core.settings import plain_settings
from histonic.core.task import Task
from histonic.data.maps.store import Store
from histonic.data.tables.copies import store_copies
from histonic.models.members import prediction_columns
from histonic.models.trained import Trained
from histonic.runs.documents import CohortCounts, CohortDocument, CohortPatient, Made, Target
from histonic.runs.files import require_same_settings, settings_text, truth_columns, write_frame
from histonic.runs.run import read_cohort
from histonic.stages.train.search import TrialLosses, best_choice, chosen_values, search_choices
from histonic.stages.train.settings import TrainSettings

FREE_SETTINGS = ("workers", "store", "labels", "slide_table", "splits")
"""What a run may go on with otherwise: how many processes share the work, and where maps and tables lie.

What is in maps and tables is compared."""


def describe_cohort(
    cohort: Cohort, made: Made, folds: Sequence[Fold], store: Store, patients_in_table: int
) -> CohortDocument:
    """The content of ``cohort.json``."""
    tests, validates, trains = (_places(folds, role) for role in ("test", "validation", "train"))
    every = [(fold.repeat, fold.number) for fold in folds]
    return CohortDocument(
        split=made,
        patients=tuple(
            CohortPatient(
                patient_id=patient.patient_id,
                site=patient.site,
                slide_ids=patient.slide_ids,
                tested_in=tuple(tests.get(patient.patient_id, ())),
                validates_in=tuple(validates.get(patient.patient_id, ())),
                unused_in=tuple(
                    place
                    for place in every
                    if not any(
                        place in role.get(patient.patient_id, ()) for role in (tests, validates, trains)
                    )
                ),
                targets=_readable_targets(cohort, patient),
                **({"causes": dict(patient.causes)} if patient.causes else {}),
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
    kept = plain_settings(settings, private=settings.private)
    require_same_settings(out, kept, todo, free=FREE_SETTINGS)
    begun = (out / "settings.yaml").is_file() and (out / "cohort.json").is_file()
    if begun and read_cohort(out) != cohort:
        found = "It holds a run on other patients, labels or maps (see its cohort.json)."
        raise TrainingError(f"Train into {out}.", found, todo)


def write_begin(out: Path, settings: TrainSettings, cohort: CohortDocument) -> None:
    """Write what is known before training: resolved settings, cohort, and copies of tables in memory."""
    store_copies(settings)
    write_document(out / "cohort.json", cohort)
    write_text(out / "settings.yaml", settings_text(plain_settings(settings, private=settings.private)))


def write_predictions(
    out: Path,
    cohort: Cohort,
    folds: Sequence[Fold],
    trained: Sequence[Trained],
    calls: Calls,
    points: Sequence[str],
) -> None:
    """Write ``predictions/<task>.csv``, a row a patient and repeat, out of fold.

    Args:
        out: The run.
        cohort: The patients.
        folds: Of all repeats.
        trained: The networks.
        calls: By which rule a class is called.
        points: At which binary targets are called, too.
    """
    for task in cohort.tasks:
        frames = []
        for fold in folds:
            place = (fold.repeat, fold.number)
            mine = [each for each in trained if (each.member.repeat, each.member.fold) == place]
            found, members = [each.predictions[task.name] for each in mine], [each.member for each in mine]
            columns = prediction_columns(task, found, members, calls, points)
            frames.append(pd.DataFrame({**truth_columns(task, cohort, fold), **columns}))
        frame = pd.concat(frames).sort_values(["repeat", "patient_id"])
        write_frame(out / "predictions" / f"{task.name}.csv", frame)


def write_networks(
    out: Path, cohort: Cohort, folds: Sequence[Fold], trained: Sequence[Trained], calls: Calls
) -> None:
    """Write ``networks/<task>.csv``: what each network says of its training, validation and test patients.

    A row a network and patient, ``part`` says which. Of heads that are fitted, which learn from validation
    patients too, ``train`` holds these as well, and ``validation`` all of both as the inner cross-validation
    predicts them.

    Args:
        out: The run.
        cohort: The patients.
        folds: Of all repeats.
        trained: The networks.
        calls: By which rule a class is called.
    """
    for task in cohort.tasks:
        frames = []
        for fold in folds:
            place = (fold.repeat, fold.number)
            for each in trained:
                if (each.member.repeat, each.member.fold) == place:
                    frames += _of_network(task, cohort, fold, each, calls)
        write_frame(out / "networks" / f"{task.name}.csv", pd.concat(frames))


def _of_network(task: Task, cohort: Cohort, fold: Fold, network: Trained, calls: Calls) -> list[pd.DataFrame]:
    both = (*fold.train, *fold.validation)
    fitted = is_fitted(network.member.aggregator)
    parts = {
        "train": (both if fitted else fold.train, network.learned),
        "validation": (both if fitted else fold.validation, network.unseen),
        "test": (fold.test, network.predictions),
    }
    rule = "probable" if is_point(calls) else calls
    found = []
    for part, (patients, predictions) in parts.items():
        if task.name not in predictions:
            continue
        truth = truth_columns(task, cohort, replace(fold, test=tuple(patients)))
        columns = prediction_columns(task, [predictions[task.name]], [network.member], rule)
        named = {"initialisation": network.member.initialisation, "part": part}
        found.append(pd.DataFrame({**truth, **columns}).assign(**named))
    return found


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
                with replacing_file(out / "thumbnails" / f"{slide_id}.jpg") as partial:
                    shutil.copyfile(picture, partial)


def written(out: Path) -> list[Path]:
    """The files beside the bundle that tell what was trained on what, and with which results."""
    names = (
        "cohort.json",
        "settings.yaml",
        "labels.csv",
        "slide_table.csv",
        "failures.json",
        "history.csv",
        "search.csv",
        "predictions/*.csv",
        "networks/*.csv",
    )
    return sorted(path for name in names for path in out.glob(name))
