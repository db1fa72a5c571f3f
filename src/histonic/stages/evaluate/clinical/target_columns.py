"""Clinical columns that are the target itself, or as good as it: no model of them is one to compare with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.errors import CohortError
from histonic.metrics.discrimination import labels, regression
from histonic.metrics.ranks import FloatArray, IntArray
from histonic.metrics.survival.concordance import concordance
from histonic.metrics.survival.outcome import Survival, check_survival
from histonic.stages.evaluate.clinical.fits import Design

ALMOST = 0.995
"""AUROC, correlation, concordance or share of each class from which a column is taken for the target."""
FEWEST_OF_EACH = 10
"""Patients of each class, or events, that this takes; of values twice as many."""
FEWEST_SAME = 5
"""Patients of each class that it takes to call a column the same as the target up to renaming."""


def require_no_target(design: Design, asked: str) -> None:
    """Refuse columns that are the target under another name, or tell it almost perfectly.

    A column is refused if its values and the classes (or events) are the same up to renaming (five
    patients of each at least), or if by itself it reaches an AUROC, a concordance or a rank correlation of
    0.995 either way, or tells at least 99.5 % of each class (ten patients of each, ten events or twenty
    values at least).

    Args:
        design: The columns and the outcome.
        asked: What was asked for, for the message.

    Raises:
        CohortError: A column is one; names it.
    """
    for name, column in (*design.numbers.items(), *design.words.items()):
        known = column.notna().to_numpy()
        why = _why(design, column[known], known)
        if why or str(name) in design.task.columns:
            raise CohortError(
                asked,
                f"The column {str(name)!r} "
                + (why or f"is one of those from which {design.task.name!r} was read")
                + ".",
                "Leave it out: whoever has it knows the answer, and nothing can be added to it.",
            )


def _why(design: Design, column: pd.Series, known: npt.NDArray[np.bool_]) -> str:
    outcome = design.rows(known)
    name = design.task.name
    if isinstance(outcome, Survival):
        classes: IntArray = outcome.event.astype(np.int64)
        if _same(column, classes):
            return f"says who had an event, as the target {name!r} does"
    elif design.task.is_classification:
        classes = np.asarray(outcome, dtype=np.int64)
        if _same(column, classes):
            return f"is the target {name!r} under other names"
    reached, measure = _reached(design, outcome, column)
    return (
        f"tells the target {name!r} almost perfectly ({measure} {reached:.3f})" if reached >= ALMOST else ""
    )


def _same(column: pd.Series, classes: IntArray) -> bool:
    """Whether values and classes stand for each other, and each class has enough patients."""
    counted = np.bincount(classes)
    if (counted > 0).sum() < 2 or counted[counted > 0].min() < FEWEST_SAME:
        return False
    pairs = set(zip(column, classes, strict=True))
    return bool(len(pairs) == column.nunique() == len(np.unique(classes)))


def _reached(design: Design, outcome: object, column: pd.Series) -> tuple[float, str]:
    """How well a column tells the outcome by itself, and by what that is measured."""
    is_number = column.dtype.kind == "f"
    if isinstance(outcome, Survival):
        if not is_number or outcome.event.sum() < FEWEST_OF_EACH:
            return 0.0, ""
        found = check_survival(outcome.time, outcome.event)
        return _either_way(float(concordance(found, column.to_numpy())), 1.0), "C-index"
    truth = np.asarray(outcome, dtype=np.float64)
    if design.task.is_classification:
        return _of_classes(design, truth.astype(np.int64), column, is_number)
    if not is_number or len(truth) < 2 * FEWEST_OF_EACH:
        return 0.0, ""
    return abs(float(regression.spearman(truth, column.to_numpy(np.float64)))), "correlation"


def _of_classes(design: Design, truth: IntArray, column: pd.Series, is_number: bool) -> tuple[float, str]:
    counted = np.bincount(truth)
    present = np.flatnonzero(counted)
    if len(present) < 2 or counted[present].min() < FEWEST_OF_EACH:
        return 0.0, ""
    if is_number and (design.task.kind == "binary" or len(present) == 2):
        values: FloatArray = column.to_numpy(np.float64)
        return _either_way(float(labels.auroc(truth == present[-1], values)), 1.0), "AUROC"
    if is_number and design.task.kind == "ordinal":
        values = column.to_numpy(np.float64)
        pairs = [_either_way(float(labels.auroc((truth >= k)[truth >= 0], values)), 1.0) for k in present[1:]]
        return min(pairs), "AUROC of each step"
    if column.nunique() > max(2 * len(present), len(truth) / 10):
        return 0.0, ""
    table = pd.crosstab(column.to_numpy(), truth).to_numpy()
    told = np.zeros(table.shape[1])
    for row in table:
        told[row.argmax()] += row.max()
    return float((told / table.sum(axis=0)).min()), "share of each class"


def _either_way(value: float, most: float) -> float:
    return max(value, most - value)
