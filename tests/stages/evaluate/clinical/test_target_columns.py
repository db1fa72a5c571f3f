"""Clinical columns that are the target are refused by name; good ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.survival.outcome import check_survival
from histonic.stages.evaluate.clinical.fits import Design
from histonic.stages.evaluate.clinical.target_columns import require_no_target

BINARY = Task("er", "binary", ("er",), ("neg", "pos"))
GRADE = Task("grade", "ordinal", ("grade",), ("1", "2", "3"))
TYPE = Task("type", "multiclass", ("type",), ("a", "b", "c"))
KI67 = Task("ki67", "regression", ("ki67",))
OS = Task("os", "survival", ("months", "dead"))
RNG = np.random.default_rng(0)
N = 90
CLASSES = np.arange(N) % 3
VALUES = RNG.normal(size=N)
TIMES = RNG.exponential(20, N) + 0.1
EVENTS = (RNG.random(N) < 0.5).astype(float)


def check(task: Task, outcome: Any, column: Any, name: str = "column") -> None:
    table = pd.DataFrame({name: column})
    numbers = table if table[name].dtype.kind == "f" else pd.DataFrame(index=table.index)
    words = pd.DataFrame(index=table.index) if table[name].dtype.kind == "f" else table
    require_no_target(Design(task, outcome, numbers, words, len(table)), "Set them against each other.")


@pytest.mark.parametrize(
    ("task", "outcome", "column", "said"),
    [
        (BINARY, CLASSES % 2, np.where(CLASSES % 2, "ja", "nein"), "under other names"),
        (BINARY, CLASSES % 2, np.where(CLASSES % 2, 40.0 + VALUES, 5.0 + VALUES), r"AUROC 1\.000"),
        (BINARY, CLASSES % 2, -(CLASSES % 2).astype(float), "under other names"),
        (TYPE, CLASSES, np.array(["x", "y", "z"])[CLASSES], "under other names"),
        (TYPE, CLASSES, np.array(list("uvxyzw"))[CLASSES + 3 * (VALUES > 0)], r"share of each class 1\.000"),
        (GRADE, CLASSES, 3.0 * CLASSES + (VALUES > 0), "AUROC of each step"),
        (KI67, VALUES, np.exp(-VALUES), r"correlation 1\.000"),
        (OS, check_survival(TIMES, EVENTS), 30.4 * TIMES, r"C-index 1\.000"),
        (OS, check_survival(TIMES, EVENTS), np.where(EVENTS == 1, "dead", "alive"), "who had an event"),
    ],
)
def test_the_target_under_another_name_is_refused(task, outcome, column, said):
    column = pd.Series(column).mask(np.arange(N) == 7)  # an empty cell changes nothing
    with pytest.raises(CohortError, match=said) as caught:
        check(task, outcome, column)
    assert "'column'" in caught.value.found


def test_a_column_of_the_target_itself_is_refused_by_its_name():
    with pytest.raises(CohortError, match="'dead' is one of those"):
        check(OS, check_survival(TIMES, EVENTS), VALUES, "dead")


@pytest.mark.parametrize(
    ("task", "outcome", "column"),
    [
        (BINARY, CLASSES % 2, np.where((CLASSES % 2) ^ (np.arange(N) == 3), "a", "b")),
        (BINARY, CLASSES % 2, np.where(np.arange(N) == 4, 1 - CLASSES % 2, CLASSES % 2).astype(float)),
        (TYPE, CLASSES, np.array(["x", "y", "z"])[np.where(np.arange(N) == 4, 0, CLASSES)]),
        (GRADE, CLASSES, CLASSES + 0.4 * VALUES),
        (KI67, VALUES, VALUES + 0.3 * RNG.normal(size=N)),
        (OS, check_survival(TIMES, EVENTS), TIMES * np.exp(0.3 * RNG.normal(size=N))),
        (OS, check_survival(TIMES, EVENTS), VALUES),
    ],
)
def test_very_good_columns_are_kept(task, outcome, column):
    check(task, outcome, pd.Series(column))


def test_a_rare_class_that_fits_by_chance_is_kept():
    rare = (np.arange(N) < 3).astype(np.int64)
    check(BINARY, rare, pd.Series(np.where(rare == 1, "mut", "wt")))
