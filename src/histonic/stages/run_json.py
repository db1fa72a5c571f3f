"""What later stages read of a run's JSON files, checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from histonic.core.errors import TableError
from histonic.core.task import Task

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
