"""Repeated cross-validation: one table a repeat, their mean a patient, and measures averaged over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np

from histonic.core.calls import OperatingPoint, is_point
from histonic.core.errors import TableError
from histonic.metrics.discrimination.labels import CALLED
from histonic.metrics.discrimination.operating_points import is_called
from histonic.metrics.inference.intervals import Interval
from histonic.metrics.inference.scores import Measure
from histonic.metrics.ranks import FloatArray
from histonic.runs.predictions import PredictionTable

SAME = ("site", "truth", "time", "event", "cause")
"""Columns in which a patient's rows must agree over the repeats."""


def split_repeats(table: PredictionTable) -> list[PredictionTable]:
    """One table a repeat, all with the same patients in the same order.

    A table without a column ``repeat`` is a single one and is handed back as it is.

    Raises:
        TableError: A patient stands twice in a repeat, is missing from one, or has two truths.
    """
    if "repeat" not in table.frame.columns:
        _require_once(table)
        return [table]
    number = table.numbers("repeat")
    tables = [table.rows(number == value) for value in np.unique(number)]
    for each in tables:
        _require_once(each)
    first, *others = (_by_patient(each) for each in tables)
    for other in others:
        _require_same(first, other)
    return [first, *others]


def _by_patient(table: PredictionTable) -> PredictionTable:
    order = np.argsort(np.array(table.texts("patient_id"), dtype=object), kind="stable")
    return PredictionTable(table.task, table.frame.iloc[order].reset_index(drop=True))


def _require_once(table: PredictionTable) -> None:
    counted = Counter(table.texts("patient_id"))
    twice = [name for name, count in counted.items() if count > 1]
    if twice:
        raise _error(table, f"The patient {twice[0]} stands {counted[twice[0]]} times in one repeat.")


def _require_same(first: PredictionTable, other: PredictionTable) -> None:
    mine, others = first.texts("patient_id"), other.texts("patient_id")
    if mine != others:
        name = sorted(set(mine) ^ set(others))[0]
        raise _error(first, f"The patient {name} is not in all repeats.")
    for column in SAME:
        if column not in first.frame.columns:
            continue
        for patient, one, two in zip(mine, first.texts(column), other.texts(column), strict=True):
            if one != two:
                raise _error(first, f"The {column} of patient {patient} is {one!r} and {two!r}.")


def _error(table: PredictionTable, found: str) -> TableError:
    return TableError(
        f"Evaluate the predictions of {table.task.name!r}.",
        found,
        "Write the table again with 'histonic train': one row a patient and repeat.",
    )


def mean_table(tables: Sequence[PredictionTable]) -> PredictionTable:
    """Each patient's mean prediction over the repeats, for the figures, and the class that it calls.

    Folds are those of the first repeat.
    """
    first = tables[0]
    if len(tables) == 1:
        return first
    frame = first.frame.copy()
    task = first.task
    numbers = [name for name in frame.columns if name.startswith("p_") or name in ("score", "risk")]
    numbers += ["predicted"] if task.kind == "regression" else []
    for name in numbers:
        frame[name] = np.mean([each.numbers(name) for each in tables], axis=0)
    if task.kind == "survival":
        votes = np.mean([each.numbers("high_risk") for each in tables], axis=0)
        # At a draw the higher half of the mean risks is the high one.
        above = frame["risk"].to_numpy(np.float64) > np.median(frame["risk"])
        frame["high_risk"] = ((votes > 0.5) | ((votes == 0.5) & above)).astype(int)
    elif task.is_classification:
        frame["predicted"] = called_together(tables)
    return PredictionTable(task, frame)


def called_together(tables: Sequence[PredictionTable]) -> list[str]:
    """The class that the mean probabilities call, so that it never contradicts them.

    Where the rule asks for more than probabilities (``balanced``, a threshold that was chosen), it is the
    class called most often; among equals the more probable one.

    Args:
        tables: One a repeat, with the same patients in the same order.
    """
    first = tables[0]
    classes, rule = first.task.classes, first.decided_by
    mean = np.mean([each.probabilities() for each in tables], axis=0)
    if rule in CALLED:
        return [classes[k] for k in CALLED[rule](mean)]
    given = OperatingPoint.parse(rule).threshold if is_point(rule) else None
    if given is not None:
        return [classes[int(reached)] for reached in is_called(mean[:, 1], given)]
    votes = sum(np.eye(len(classes))[each.classes("predicted")] for each in tables)
    return [classes[k] for k in np.argmax(votes + 0.5 * mean, axis=1)]


def mean_measures(each: Sequence[Sequence[Measure]]) -> list[Measure]:
    """Measures whose value is the mean over the repeats; all repeats see the same resample of patients.

    Args:
        each: Per repeat the measures, of the same names in the same order.
    """
    if len(each) == 1:
        return list(each[0])
    return [_mean_measure(group) for group in zip(*each, strict=True)]


def _mean_measure(group: Sequence[Measure]) -> Measure:
    first = group[0]
    chances = [measure.chance for measure in group if measure.chance is not None]
    return Measure(
        first.name,
        partial(_mean_statistic, group),
        float(np.mean(chances)) if len(chances) == len(group) else None,
        first.higher_is_better,
        first.note,
        first.units,
        first.scale,
        partial(_mean_ends, group) if first.ends is not None else None,
        first.undefined,
    )


def _mean_statistic(group: Sequence[Measure], counts: FloatArray) -> FloatArray:
    return np.asarray(np.mean([measure.statistic(counts) for measure in group], axis=0))


def _mean_ends(group: Sequence[Measure]) -> Interval | None:
    """Mean ends: no narrower than the interval of the mean, whose noise is at most theirs."""
    ends = [measure.ends() for measure in group if measure.ends is not None]
    found = [each for each in ends if each is not None]
    if len(found) < len(group):
        return None
    return Interval(*(float(np.mean(side)) for side in zip(*found, strict=True)))
