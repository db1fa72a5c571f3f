"""What each single network of a run says of patients that it learned from and of those that it did not."""

from __future__ import annotations

from pathlib import Path

from histonic.core.errors import RunError
from histonic.core.task import Task
from histonic.runs.documents import TODO
from histonic.runs.predictions import PredictionTable, read_frame

PARTS = ("train", "validation", "test")


def networks_path(folder: Path, task: Task) -> Path:
    """Where the predictions of single networks lie."""
    return folder / "networks" / f"{task.name}.csv"


def read_networks(folder: Path, task: Task) -> PredictionTable | None:
    """Read ``networks/<task>.csv``: a row a network (repeat, fold, initialisation), part and patient.

    Args:
        folder: Of the run.
        task: The target.

    Returns:
        None for a run of an earlier version, which did not write it.

    Raises:
        RunError: The file is damaged.
    """
    path = networks_path(folder, task)
    if not path.is_file():
        return None
    table = PredictionTable(task, read_frame(path, dtype=str, keep_default_na=False, encoding="utf-8"))
    absent = [name for name in ("repeat", "fold", "initialisation", "part") if name not in table.frame]
    unknown = set() if absent else set(table.texts("part")) - set(PARTS)
    if absent or unknown:
        found = f"It has no column {', '.join(absent)}." if absent else f"A part is {sorted(unknown)[0]!r}."
        raise RunError(f"Read {path}.", found, TODO)
    return table
