"""What the report reads from a finished run: its files, checked, and nothing computed yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from histonic.core.errors import SettingsError, TableError
from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable, read_predictions

FINISH = "Run the same 'histonic train' command again; it goes on where it stopped."
HISTORY_COLUMNS = (
    "repeat",
    "fold",
    "initialisation",
    "epoch",
    "learning_rate",
    "train_loss",
    "validation_loss",
)
RUN_KEYS = (
    "histonic",
    "versions",
    "seed",
    "encoder",
    "store",
    "aggregator",
    "folds",
    "repeats",
    "split",
    "tasks",
    "device",
)
COHORT_KEYS = ("patients", "exclusions", "counts")


@dataclass(frozen=True)
class Run:
    """The files of a run folder.

    Attributes:
        folder: The run.
        facts: ``run.json``.
        settings: ``settings.yaml``, the resolved settings of the training.
        cohort: ``cohort.json``: patients, exclusions and counts.
        failures: ``failures.json``: slides that could not be compressed.
        history: ``history.csv``: losses by repeat, fold, initialisation and epoch.
        search: ``search.csv``: what was tried and chosen; None without a search.
        tasks: The targets.
    """

    folder: Path
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    cohort: Mapping[str, Any]
    failures: Sequence[Mapping[str, str]]
    history: pd.DataFrame
    search: pd.DataFrame | None
    tasks: tuple[Task, ...]

    def predictions(self, task: Task) -> PredictionTable:
        """The out-of-fold predictions of one target.

        Raises:
            TableError: The table is absent or damaged.
        """
        return PredictionTable(task, read_predictions(_predictions_path(self.folder, task)))

    def training(self, task: Task) -> pd.DataFrame | None:
        """With a fixed split, who trained or validated and what is known of them; None in cross-validation.

        Returns:
            ``patient_id`` and ``truth``, or ``time`` and ``event``, of the patients with this target.
        """
        if self.facts["split"] != "fixed":
            return None
        names = ("time", "event") if task.kind == "survival" else ("truth",)
        rows = [
            (each["patient_id"], *(value if isinstance(value, list) else [value]))
            for each in self.cohort["patients"]
            if not each["tested_in"] and (value := each["targets"].get(task.name)) is not None
        ]
        return pd.DataFrame(rows, columns=["patient_id", *names])

    def externals(self) -> tuple[External, ...]:
        """The cohorts from elsewhere that the run's networks have predicted, by name.

        Raises:
            SettingsError: Their description is damaged.
            TableError: A table of predictions is damaged.
        """
        folders = sorted(path.parent for path in (self.folder / "external").glob("*/external.json"))
        return tuple(_external(folder, self.tasks) for folder in folders)

    def thumbnail(self, slide_id: str) -> Path:
        """Where the picture of a slide lies, if there is one."""
        return self.folder / "thumbnails" / f"{slide_id}.jpg"


@dataclass(frozen=True)
class External:
    """A cohort from elsewhere.

    Attributes:
        name: Of its folder.
        facts: ``external.json``.
        tables: Predictions per target that the cohort has labels for.
    """

    name: str
    facts: Mapping[str, Any]
    tables: Mapping[str, PredictionTable]


def _external(folder: Path, tasks: Sequence[Task]) -> External:
    facts = _read(folder / "external.json", _json_with(("name",)))
    present = [task for task in tasks if _predictions_path(folder, task).is_file()]
    tables = {
        task.name: PredictionTable(task, read_predictions(_predictions_path(folder, task)))
        for task in present
    }
    return External(str(facts["name"]), facts, tables)


def read_run(folder: Path) -> Run:
    """Read the run folder and check that it is whole.

    Args:
        folder: As made by ``histonic train``.

    Raises:
        SettingsError: There is no such folder, or a file is absent or damaged; all absent ones are named.
    """
    asked = f"Report on the run {folder}."
    if not folder.is_dir():
        raise SettingsError(asked, "There is no such folder.", "Give the --out folder of 'histonic train'.")
    needed = ["settings.yaml", "run.json", "cohort.json", "history.csv", "failures.json"]
    _require(folder, needed, asked)
    facts = _read(folder / "run.json", _json_with(RUN_KEYS))
    tasks = _read(folder / "run.json", lambda text: tuple(map(Task.from_dict, json.loads(text)["tasks"])))
    _require(folder, [str(_predictions_path(folder, task).relative_to(folder)) for task in tasks], asked)
    return Run(
        folder,
        facts,
        _read(folder / "settings.yaml", _mapping),
        _read(folder / "cohort.json", _json_with(COHORT_KEYS)),
        _read(folder / "failures.json", _json_list),
        _history(folder / "history.csv"),
        _search(folder / "search.csv"),
        tasks,
    )


def _predictions_path(folder: Path, task: Task) -> Path:
    return folder / "predictions" / f"{task.name}.csv"


def _require(folder: Path, names: Sequence[str], asked: str) -> None:
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise SettingsError(asked, f"The run is not finished: it has no {', '.join(absent)}.", FINISH)


def _read(path: Path, parse: Callable[[str], T]) -> T:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise SettingsError(f"Read {path}.", f"It cannot be used: {found}.", FINISH) from error


def _json_with(keys: Sequence[str]) -> Callable[[str], Mapping[str, Any]]:
    def parse(text: str) -> Mapping[str, Any]:
        values: dict[str, Any] = json.loads(text)
        if absent := [key for key in keys if key not in values]:
            raise ValueError(f"it lacks {', '.join(absent)}")
        return values

    return parse


def _json_list(text: str) -> list[Mapping[str, str]]:
    values = json.loads(text)
    if not isinstance(values, list):
        raise ValueError("it holds no list")
    return values


def _mapping(text: str) -> Mapping[str, Any]:
    values = yaml.safe_load(text)
    if not isinstance(values, dict):
        raise ValueError("it holds no keys")
    return values


def _search(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        search = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"Read {path}.", f"It is no CSV: {error}.", FINISH) from error
    if absent := {"repeat", "fold", "validation_loss", "chosen"} - set(search.columns):
        raise SettingsError(f"Read {path}.", f"It lacks the columns {', '.join(sorted(absent))}.", FINISH)
    return search


def _history(path: Path) -> pd.DataFrame:
    try:
        history = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise TableError(f"Read {path}.", f"{type(error).__name__}: {error}.", FINISH) from error
    if absent := [name for name in HISTORY_COLUMNS if name not in history.columns]:
        raise TableError(f"Read {path}.", f"It has no column {', '.join(absent)}.", FINISH)
    return history


T = TypeVar("T")
FINISHED = "Give a finished run; the same 'histonic train' command goes on with one that is not."


def read_json(path: Path, use: Callable[[Any], T], todo: str = FINISHED) -> T:
    """What ``use`` makes of a JSON file of a run.

    Args:
        path: The file.
        use: Takes the content; a KeyError, TypeError, AttributeError or ValueError of it means that the file
            is damaged.
        todo: What the user can do about it.

    Raises:
        TableError: The file is absent or damaged.
    """
    try:
        return use(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TableError(
            f"Read the run {path.parent}.",
            f"{path.name} cannot be used: {type(error).__name__}: {error}",
            todo,
        ) from error


def read_tasks(run: Path) -> list[Task]:
    """The targets of a run folder, in the order in which they were trained.

    Raises:
        TableError: ``run.json`` is absent or damaged.
    """
    return read_json(run / "run.json", lambda facts: [Task.from_dict(values) for values in facts["tasks"]])


def read_store_path(run: Path) -> Path:
    """Where the maps of a run were.

    Raises:
        TableError: ``run.json`` is absent or damaged.
    """
    return read_json(run / "run.json", lambda facts: Path(facts["store"]))


def read_slides(run: Path) -> dict[str, tuple[str, ...]]:
    """The slides of each patient of a run.

    Raises:
        TableError: ``cohort.json`` is absent or damaged.
    """
    return read_json(
        run / "cohort.json",
        lambda cohort: {each["patient_id"]: tuple(each["slide_ids"]) for each in cohort["patients"]},
    )
