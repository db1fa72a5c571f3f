"""Reading a finished run: each of its files once, checked, and nothing computed yet."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from histonic.core.calls import CALL_PREFIX
from histonic.core.documents import parse_part, read_document, read_values
from histonic.core.errors import RunError
from histonic.core.notebooks.cards import Card
from histonic.core.places.kinds import no_run
from histonic.core.task import Task
from histonic.data.maps.failures import Failure
from histonic.runs.documents import (
    TODO,
    CohortDocument,
    ExternalDocument,
    RunDocument,
    RunSettings,
)
from histonic.runs.predictions import PredictionTable, predictions_path, read_frame, read_predictions
from histonic.runs.primary import primary_of

TEST_AGAIN = "Test the run on that cohort again with 'histonic external', or delete the folder."
HISTORY_COLUMNS = (
    "repeat",
    "fold",
    "initialisation",
    "epoch",
    "learning_rate",
    "train_loss",
    "validation_loss",
)
SEARCH_COLUMNS = ("repeat", "fold", "validation_loss", "chosen")


@dataclass(frozen=True, repr=False)
class Run:
    """What every verb reads of a run folder.

    Attributes:
        folder: The run.
        facts: ``run.json``.
        cohort: ``cohort.json``.
        tables: Out-of-fold predictions per target.
    """

    folder: Path
    facts: RunDocument
    cohort: CohortDocument
    tables: Mapping[str, PredictionTable]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The targets, in the order in which they were trained."""
        return self.facts.tasks

    def find_task(self, name: str | None = None) -> Task:
        """A target by its name.

        Args:
            name: Its name; not needed where there is but one.

        Raises:
            RunError: There is no such target (the nearest is told), or several and none was named.
        """
        names = [task.name for task in self.tasks]
        if name is None and len(names) == 1:
            return self.tasks[0]
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            raise RunError(
                f"Find {'a target' if name is None else f'the target {name!r}'} in the run {self.folder}.",
                f"It has {', '.join(names)}.",
                f"Did you mean {near[0]!r}?" if name is not None and near else "Name one of them.",
            )
        return self.tasks[names.index(name)]

    def predictions(self, target: str | None = None) -> pd.DataFrame:
        """The out-of-fold predictions of one target as a table with typed columns.

        Args:
            target: Its name; not needed where there is but one.

        Returns:
            One row a patient and repeat, columns as in ``predictions/<target>.csv``. Names of patients, sites
            and classes stay text, also where they look like numbers, and empty ones are missing; all other
            columns are numbers where all of their cells are.

        Raises:
            RunError: There is no such target, or there are several and none was named.
        """
        task = self.find_task(target)
        texts = {"patient_id", "site", "decided_by", "cause"}
        named = {"truth"} if task.is_classification else set()
        frame = self.tables[task.name].frame
        columns = {}
        for column in frame.columns:
            known = frame[column].map(lambda cell: None if cell == "" else cell)
            called = task.is_classification and str(column).startswith(("predicted", CALL_PREFIX))
            if column not in texts | named and not called:
                known = _as_numbers(known)
            columns[column] = known
        return pd.DataFrame(columns, columns=list(frame.columns))

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        facts, counts = self.facts, self.cohort.counts
        times = f", {facts.repeats} times" if facts.repeats > 1 else ""
        parts = "one fixed split" if facts.split == "fixed" else f"{facts.folds} folds{times} ({facts.split})"
        return Card(
            f"Run {self.folder}",
            (
                *((task.name, f"{task.kind}, led by {primary_of(task)}") for task in self.tasks),
                ("patients", f"{counts.patients_used:,} with {counts.slides_used:,} slides"),
                ("split", parts),
                ("network", f"{facts.aggregator}{' (a first look)' if facts.quick else ''}"),
                ("encoder", f"{facts.encoder.name} at {facts.encoder.spec.mpp:g} mpp"),
            ),
        )

    def training(self, task: Task) -> pd.DataFrame | None:
        """With a fixed split, who trained or validated and what is known of them; None in cross-validation.

        Returns:
            ``patient_id`` and ``truth``, or ``time`` and ``event``, of the patients with this target.
        """
        if self.facts.split != "fixed":
            return None
        names = ("time", "event") if task.kind == "survival" else ("truth",)
        rows = [
            (each.patient_id, *(value if isinstance(value, tuple) else [value]))
            for each in self.cohort.patients
            if not each.tested_in and (value := each.targets.get(task.name)) is not None
        ]
        return pd.DataFrame(rows, columns=["patient_id", *names])

    def thumbnail(self, slide_id: str) -> Path:
        """Where the picture of a slide lies, if there is one."""
        return self.folder / "thumbnails" / f"{slide_id}.jpg"


@dataclass(frozen=True)
class External:
    """A cohort from elsewhere that the run's networks have predicted.

    Attributes:
        facts: ``external.json``.
        tables: Predictions per target that the cohort has labels for.
    """

    facts: ExternalDocument
    tables: Mapping[str, PredictionTable]


@dataclass(frozen=True, repr=False)
class WholeRun(Run):
    """All files of a run folder.

    Attributes:
        settings: ``settings.yaml``, the resolved settings of the training.
        failures: ``failures.json``: slides that could not be compressed.
        history: ``history.csv``: losses by repeat, fold, initialisation and epoch.
        search: ``search.csv``: what was tried and chosen; None without a search.
        externals: Cohorts from elsewhere, by the name of their folder.
    """

    settings: RunSettings
    failures: tuple[Failure, ...]
    history: pd.DataFrame
    search: pd.DataFrame | None
    externals: tuple[External, ...]


def _as_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def read_facts(folder: Path) -> RunDocument:
    """Read ``run.json``, which is written last: a run that has it is finished.

    Raises:
        RunError: There is no such run, it is not finished, or the file is damaged.
    """
    other = None if (folder / "run.json").is_file() and (folder / "cohort.json").is_file() else no_run(folder)
    if other is not None:
        raise RunError(f"Read the run {folder}.", *other)
    if not folder.is_dir():
        raise RunError(f"Read the run {folder}.", "There is no such folder.", TODO)
    return read_document(RunDocument, folder / "run.json", RunError, TODO)


def read_cohort(folder: Path) -> CohortDocument:
    """Read ``cohort.json``.

    Raises:
        RunError: The file is absent or damaged.
    """
    return read_document(CohortDocument, folder / "cohort.json", RunError, TODO)


def read_run(folder: Path) -> Run:
    """Read what every verb needs of a finished run.

    Args:
        folder: As made by ``histonic train``.

    Raises:
        RunError: There is no such run, it is not finished, or a file of it is damaged.
    """
    facts, cohort = read_facts(folder), read_cohort(folder)
    for task in facts.tasks:
        _require_known_targets(folder, cohort, task)
    return Run(folder, facts, cohort, {task.name: read_predictions(folder, task) for task in facts.tasks})


def read_whole_run(folder: Path) -> WholeRun:
    """Read all files of a finished run.

    Raises:
        RunError: There is no such run, it is not finished, or a file of it is damaged.
    """
    run = read_run(folder)
    failures = folder / "failures.json"
    return WholeRun(
        **vars(run),
        settings=read_settings(folder),
        failures=parse_part(
            tuple[Failure, ...], read_values(failures, RunError, TODO), failures, RunError, TODO
        ),
        history=_read_table(folder / "history.csv", HISTORY_COLUMNS),
        search=_read_table(search, SEARCH_COLUMNS) if (search := folder / "search.csv").is_file() else None,
        externals=read_externals(run),
    )


def read_externals(run: Run) -> tuple[External, ...]:
    """Read the cohorts from elsewhere that the run's networks have predicted, by the name of their folder.

    Raises:
        RunError: A file of one is damaged.
    """
    paths = sorted((run.folder / "external").glob("*/external.json"))
    return tuple(
        External(
            read_document(ExternalDocument, path, RunError, TEST_AGAIN),
            {
                task.name: read_predictions(path.parent, task, TEST_AGAIN)
                for task in run.tasks
                if predictions_path(path.parent, task).is_file()
            },
        )
        for path in paths
    )


def read_settings(folder: Path) -> RunSettings:
    """Read ``settings.yaml``.

    Raises:
        RunError: The file is absent or damaged.
    """
    path = folder / "settings.yaml"
    return parse_part(RunSettings, read_kept_settings(folder), path, RunError, TODO)


def read_kept_settings(folder: Path) -> dict[str, Any]:
    """The keys and values of a run's ``settings.yaml``, be it of slides or of an encoder.

    Raises:
        RunError: The file is absent, or holds no keys.
    """
    path = folder / "settings.yaml"
    try:
        # By way of JSON: what it cannot say (a date, a list within itself) is no setting.
        values = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except FileNotFoundError as error:
        raise RunError(f"Read {path}.", "There is no such file.", TODO) from error
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise RunError(f"Read {path}.", f"It cannot be read: {found}.", TODO) from error
    if not isinstance(values, dict):
        raise RunError(f"Read {path}.", "It holds no keys.", TODO)
    return values


def _require_known_targets(folder: Path, cohort: CohortDocument, task: Task) -> None:
    """Refuse what is known of a patient where it does not fit the kind of the target."""
    kind = tuple if task.kind == "survival" else str if task.is_classification else float
    for patient in cohort.patients:
        value = patient.targets.get(task.name)
        if value is None or (isinstance(value, kind) and (kind is not str or value in task.classes)):
            continue
        raise RunError(
            f"Read {folder / 'cohort.json'}.",
            f"The target {task.name!r} of patient {patient.patient_id} is {value!r}: not as run.json has it.",
            TODO,
        )


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    table = read_frame(path)
    if absent := [name for name in columns if name not in table.columns]:
        raise RunError(f"Read {path}.", f"It has no column {', '.join(absent)}.", TODO)
    return table
