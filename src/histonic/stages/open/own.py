"""Out-of-fold predictions of somebody's own model, scored as the run's are and on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from histonic.core.calls import OperatingPoint, is_point
from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.data.tables.issues import list_names
from histonic.metrics.discrimination.labels import CALLED
from histonic.metrics.discrimination.operating_points import is_called
from histonic.metrics.ranks import FloatArray, IntArray
from histonic.runs.run import Run
from histonic.stages.evaluate.evaluate import TaskEvaluation, evaluate_task

TRUTH = ("patient_id", "site", "repeat", "fold", "time", "event", "cause", "truth")
"""Columns that are taken from the run, whatever a table of own predictions says."""


def needed_columns(task: Task) -> list[str]:
    """What a table of own predictions has to hold beside ``patient_id``.

    Example:
        >>> needed_columns(Task("msi", "binary", ("msi",), ("no", "yes")))
        ['p_no', 'p_yes']
    """
    if task.is_classification:
        return [f"p_{name}" for name in task.classes]
    return ["risk"] if task.kind == "survival" else ["predicted"]


def evaluate_own(
    run: Run, predictions: pd.DataFrame, target: str | None = None, *, resamples: int = 2000, seed: int = 0
) -> TaskEvaluation:
    """Score predictions of one's own for the patients of a run's table of predictions.

    Truth, site and fold are the run's. See :meth:`histonic.Run.evaluate`.

    Raises:
        TableError: A column or patient is absent, a patient occurs twice, is none of the run's, or a cell
            cannot be used.
        RunError: There is no such target.
        CohortError: The target cannot be evaluated.
    """
    task = run.find_task(target)
    own = run.tables[task.name].frame
    asked = f"Evaluate own predictions of {task.name!r}."
    wanted = needed_columns(task)
    given = _with_both_shares(_as_numbers(asked, predictions, wanted), task)
    if absent := [name for name in ("patient_id", *wanted) if name not in given.columns]:
        raise TableError(
            asked,
            f"It has no column {list_names(absent)}, but {list_names(map(str, predictions.columns))}.",
            f"Give a table with patient_id and {list_names(wanted)}.",
        )
    keys = ["patient_id", "repeat"] if "repeat" in given.columns else ["patient_id"]
    given = given.assign(patient_id=given["patient_id"].map(str))
    base = own.assign(repeat=own["repeat"].astype(int)) if "repeat" in own.columns else own.assign(repeat=0)
    if "repeat" not in keys:
        base = base[base["repeat"] == base["repeat"].min()]
    else:
        base = base[base["repeat"].isin(set(given["repeat"]))]
    _require_same_patients(asked, base, given, keys)
    calls = "high_risk" if task.kind == "survival" else "predicted"
    own_calls = [calls] if calls in given.columns and calls not in wanted else []
    joined = base[[name for name in TRUTH if name in base.columns]].merge(
        given[[*keys, *wanted, *own_calls]], on=keys, how="left"
    )
    return evaluate_task(task, _called(asked, joined, run, task), resamples=resamples, seed=seed)


def _as_numbers(asked: str, predictions: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """The table with numbers where numbers are wanted; whole ones of repeats.

    Raises:
        TableError: A cell is no number.
    """
    found = predictions.copy()
    for name in (*wanted, "repeat", "high_risk"):
        if name not in found.columns:
            continue
        numbers = pd.to_numeric(found[name], errors="coerce")
        if (wrong := numbers.isna() & found[name].notna()).any():
            first = found[wrong].iloc[0]
            whose = f" for patient {first['patient_id']}" if "patient_id" in found.columns else ""
            raise TableError(
                asked,
                f"Column {name!r} is {first[name]!r}{whose}, no number.",
                "Correct the cell.",
            )
        found[name] = numbers.astype(int) if name == "repeat" and numbers.notna().all() else numbers
    return found


def _with_both_shares(predictions: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Of two classes one probability is enough."""
    if task.kind != "binary":
        return predictions
    negative, positive = (f"p_{name}" for name in task.classes)
    if positive in predictions.columns and negative not in predictions.columns:
        return predictions.assign(**{negative: 1 - predictions[positive].astype(float)})
    if negative in predictions.columns and positive not in predictions.columns:
        return predictions.assign(**{positive: 1 - predictions[negative].astype(float)})
    return predictions


def _require_same_patients(asked: str, base: pd.DataFrame, given: pd.DataFrame, keys: Sequence[str]) -> None:
    """Each patient once a repeat, and no other; else the numbers would not be those of the same cohort."""
    doubled = given[given.duplicated(list(keys))]
    if len(doubled):
        raise TableError(
            asked,
            f"The patient {doubled['patient_id'].iloc[0]!r} has several rows, such as {doubled.index[0]}.",
            "Give one row a patient: of several slides average the predictions first.",
        )
    there = set(map(tuple, base[list(keys)].astype(str).to_numpy()))
    here = set(map(tuple, given[list(keys)].astype(str).to_numpy()))
    if missing := sorted({each[0] for each in there - here}):
        raise TableError(
            asked,
            f"{len(missing)} of the run's {len(there)} patients have no row: {list_names(missing)}.",
            "Predict every patient by a model that did not learn from him; MapDataset gives the folds.",
        )
    if strange := sorted({each[0] for each in here - there}):
        raise TableError(
            asked,
            f"Not among the run's tested patients: {list_names(strange)}.",
            "Leave these rows out.",
        )


def _called(asked: str, frame: pd.DataFrame, run: Run, task: Task) -> pd.DataFrame:
    """The table with the columns that follow from the predictions."""
    more: dict[str, Any] = {}
    if task.is_classification:
        shares = frame[[f"p_{name}" for name in task.classes]].to_numpy(float)
        if "predicted" in frame.columns:
            more["predicted"] = _own_classes(asked, frame, task)
        else:
            called = _by_the_rule(asked, frame, np.nan_to_num(shares), run, task)
            more["predicted"] = [task.classes[index] for index in called]
        if task.kind == "ordinal":
            more["score"] = shares @ np.array(task.class_values)
    elif task.kind == "survival" and "high_risk" not in frame.columns:
        # A cut of the fold's own risks: those of its training patients are not known.
        risk = pd.to_numeric(frame["risk"])
        median = risk.groupby([frame["repeat"], frame["fold"]]).transform("median")
        more["high_risk"] = (risk > median).astype(int)
    return frame.assign(**more)


def _own_classes(asked: str, frame: pd.DataFrame, task: Task) -> list[str]:
    """Classes that the table calls itself.

    Raises:
        TableError: A cell is none of them.
    """
    called = [str(cell) for cell in frame["predicted"]]
    for patient, cell in zip(frame["patient_id"], called, strict=True):
        if cell not in task.classes:
            raise TableError(
                asked,
                f"Column 'predicted' is {cell!r} for patient {patient}; the classes are "
                f"{', '.join(task.classes)}.",
                "Correct the cell, or leave the column out: classes are then called by the run's rule.",
            )
    return called


def _by_the_rule(asked: str, frame: pd.DataFrame, shares: FloatArray, run: Run, task: Task) -> IntArray:
    """The class that the rule of the run calls, as a number.

    Raises:
        TableError: The rule is a threshold that the run has chosen for the probabilities of its own networks.
    """
    calls = run.facts.calls
    if calls == "balanced":
        places = list(zip(frame["repeat"].astype(int), frame["fold"].astype(int), strict=True))
        trained = {place: _class_shares(run, task, *place) for place in set(places)}
        seen_by = np.array([trained[place] for place in places])
        against = np.divide(shares, seen_by, out=np.full(shares.shape, -np.inf), where=seen_by > 0)
        return np.asarray(np.argmax(against, axis=1), np.int64)
    if task.kind == "binary" and is_point(calls):
        threshold = OperatingPoint.parse(calls).threshold
        if threshold is None:
            raise TableError(
                asked,
                f"The run calls classes at {calls}, by thresholds that it chose for the probabilities of "
                "its own networks.",
                "Give a column 'predicted' with the class that your model calls.",
            )
        return np.asarray(is_called(shares[:, 1], threshold), np.int64)
    return CALLED["median" if task.kind == "ordinal" else "most probable"](shares)


def _class_shares(run: Run, task: Task, repeat: int, fold: int) -> FloatArray:
    """Shares of the classes among the training patients of a fold, as the run's networks know them."""
    labels = [
        each.targets[task.name]
        for each in run.cohort.patients
        if task.name in each.targets and each.part_in(repeat, fold) == "train"
    ]
    counts = np.array([labels.count(name) for name in task.classes], float)
    return counts / counts.sum() if labels else np.full(len(counts), 1 / len(counts))
