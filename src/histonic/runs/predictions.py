"""The columns of a run's table of out-of-fold predictions, checked: one row a patient."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.calls import CALL_PREFIX, is_point
from histonic.core.errors import RunError, TableError
from histonic.core.files import restore_cell
from histonic.core.task import Task
from histonic.metrics.discrimination.labels import CALLED
from histonic.runs.documents import TODO

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
RULES = (*CALLED, "balanced")
"""Words for the rules by which classes are called, beside the names of operating points."""
SUM_TOLERANCE = 1e-3
"""By how much a row of probabilities may miss 1: they are written with few decimals."""


@dataclass(frozen=True)
class PredictionTable:
    """The predictions of one target, asked for column by column.

    Attributes:
        task: The target.
        frame: One row a patient; texts as read from CSV, or typed values.
    """

    task: Task
    frame: pd.DataFrame

    def rows(self, keep: npt.NDArray[np.bool_]) -> PredictionTable:
        """Only the patients where ``keep`` is True."""
        return PredictionTable(self.task, self.frame.loc[np.asarray(keep)].reset_index(drop=True))

    def has_truth(self) -> npt.NDArray[np.bool_]:
        """Of which patients the truth is known, ``(n,)``: class, value, or both time and event.

        Raises:
            TableError: A column is absent, or a cell of it cannot be used.
        """
        if self.task.is_classification:
            return self.classes("truth", missing=True) >= 0
        names = ("time", "event") if self.task.kind == "survival" else ("truth",)
        values = np.stack([self.numbers(name, missing=True) for name in names])
        return np.asarray(np.isfinite(values).all(axis=0))

    @property
    def decided_by(self) -> str:
        """The rule by which classes were called; empty in tables of versions that knew but ``balanced``.

        Raises:
            TableError: Several rules stand in one table, or one that is none.
        """
        if "decided_by" not in self.frame.columns or not len(self.frame):
            return ""
        rules = sorted(set(self.texts("decided_by")))
        if len(rules) > 1 or not (rules[0] in RULES or is_point(rules[0])):
            raise self._error(
                f"The column 'decided_by' holds {' and '.join(map(repr, rules))}; wanted is one of "
                f"{', '.join(RULES)} or an operating point.",
                "Write the table again with 'histonic train': one rule calls the classes of all patients.",
            )
        return rules[0]

    def competing(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` whose follow-up another cause than the event ended; nobody's where no causes are told.

        Raises:
            TableError: A column is absent, or a cell of it cannot be used.
        """
        if "cause" not in self.frame.columns:
            return np.zeros(len(self.frame), bool)
        named = np.array([bool(text) for text in self.texts("cause")], bool)
        return np.asarray(named & (self.numbers("event", missing=True) == 0))

    @property
    def points(self) -> list[str]:
        """Names of the operating points at which the table has calls, in its order; of a binary target."""
        names = (str(name).removeprefix(CALL_PREFIX) for name in self.frame.columns if self._is_call(name))
        return [name for name in names if is_point(name)]

    def _is_call(self, name: Any) -> bool:
        return self.task.kind == "binary" and str(name).startswith(CALL_PREFIX)

    def is_crossed(self) -> bool:
        """Whether patients of several folds are in it, who had a say in the predictions of each other."""
        return len(np.unique(self.numbers("fold"))) > 1

    def splits_sites(self) -> bool:
        """Whether every site lies in one fold, as with ``--split site``.

        False where there is but one fold, or there are not two sites with two patients each.
        """
        if not self.is_crossed() or "site" not in self.frame.columns:
            return False
        folds: dict[tuple[str, str], set[float]] = {}
        counts: Counter[tuple[str, str]] = Counter()
        repeats = self.texts("repeat") if "repeat" in self.frame.columns else [""] * len(self.frame)
        for repeat, site, fold in zip(repeats, self.texts("site"), self.numbers("fold"), strict=True):
            if site:
                folds.setdefault((repeat, site), set()).add(fold)
                counts[repeat, site] += 1
        several = [key for key, count in counts.items() if count > 1]
        return len({site for _, site in several}) > 1 and all(len(folds[key]) == 1 for key in several)

    def texts(self, name: str) -> list[str]:
        """A column as text, empty where missing.

        Raises:
            TableError: There is no such column.
        """
        if name not in self.frame.columns:
            raise self._error(
                f"There is no column {name!r}; there are {', '.join(map(str, self.frame.columns))}.",
                "Write the predictions again with 'histonic train', or name the columns as it does.",
            )
        return ["" if pd.isna(value) else _text(value) for value in self.frame[name]]

    def numbers(self, name: str, *, missing: bool = False) -> FloatArray:
        """A column of finite numbers.

        Args:
            name: Of the column.
            missing: Whether empty cells are allowed; they become NaN.

        Raises:
            TableError: The column is absent, or a cell holds no finite number.
        """
        values = np.empty(len(self.frame))
        for row, text in enumerate(self.texts(name)):
            try:
                values[row] = np.nan if missing and not text else float(text)
            except ValueError:
                raise self._cell(name, row, text) from None
            if text and not np.isfinite(values[row]):
                raise self._cell(name, row, text)
        return values

    def classes(self, name: str, *, missing: bool = False) -> IntArray:
        """A column of class names as indices; -1 where empty, if that is allowed.

        Raises:
            TableError: The column is absent, or a cell names no class of the target.
        """
        index = {text: k for k, text in enumerate(self.task.classes)}
        values = np.full(len(self.frame), -1)
        for row, text in enumerate(self.texts(name)):
            if text in index:
                values[row] = index[text]
            elif text or not missing:
                raise self._cell(name, row, text, f"one of {', '.join(self.task.classes)}")
        return values

    def probabilities(self) -> FloatArray:
        """``(n, K)`` from the columns ``p_<class>``.

        Raises:
            TableError: A column is absent, a value lies outside [0, 1], or a row does not sum to 1.
        """
        values = np.stack([self.numbers(f"p_{name}") for name in self.task.classes], axis=1)
        outside = np.argwhere((values < 0) | (values > 1))
        if len(outside):
            row, column = (int(place) for place in outside[0])
            raise self._cell(f"p_{self.task.classes[column]}", row, str(values[row, column]), "a probability")
        total = values.sum(axis=1)
        wrong = np.flatnonzero(np.abs(total - 1) > SUM_TOLERANCE)
        if len(wrong):
            row = int(wrong[0])
            raise self._cell("p_...", row, f"a sum of {total[row]:.4g}", "probabilities that sum to 1")
        return values

    def _cell(self, name: str, row: int, text: str, wanted: str = "a finite number") -> TableError:
        patient = self.texts("patient_id")[row] if "patient_id" in self.frame.columns else f"row {row + 2}"
        return self._error(
            f"Column {name!r} holds {text!r} for patient {patient}, not {wanted}.",
            "Correct the table, or write it again with 'histonic train'.",
        )

    def _error(self, found: str, todo: str) -> TableError:
        return TableError(f"Evaluate the predictions of {self.task.name!r}.", found, todo)


def read_predictions(folder: Path, task: Task, todo: str = TODO) -> PredictionTable:
    """Read ``predictions/<task>.csv`` as text, so that a class may be called 1, NA or 01.

    Args:
        folder: Of a run, or of an external cohort.
        task: The target.
        todo: What the user can do about a file that is absent or damaged.

    Raises:
        RunError: The file is absent or no table.
    """
    path = predictions_path(folder, task)
    return PredictionTable(task, read_frame(path, todo, dtype=str, keep_default_na=False, encoding="utf-8"))


def read_frame(path: Path, todo: str = TODO, **options: Any) -> pd.DataFrame:
    """Read a table of a run; ``options`` go to pandas.

    Raises:
        RunError: The file is absent or no table.
    """
    try:
        frame = pd.read_csv(path, **options).rename(columns=restore_cell)
    except FileNotFoundError as error:
        raise RunError(f"Read {path}.", "There is no such file.", todo) from error
    except (OSError, ValueError) as error:
        raise RunError(
            f"Read {path}.", f"It cannot be read: {type(error).__name__}: {error}.", todo
        ) from error
    for place, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            frame.isetitem(place, frame.iloc[:, place].map(restore_cell, na_action="ignore"))
    return frame


def predictions_path(folder: Path, task: Task) -> Path:
    """Where the predictions of a target lie."""
    return folder / "predictions" / f"{task.name}.csv"


def _text(value: Any) -> str:
    """A cell as it would stand in a CSV; a class 1 that was read as 1.0 is 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
