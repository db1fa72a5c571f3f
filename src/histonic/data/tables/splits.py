"""The split that a label table itself gives: numbered parts of a rotation, or train, val and test."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from histonic.core.errors import CohortError
from histonic.data.tables.files import TextTable
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.values import is_missing, natural_key

ROLES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "discovery": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "tune": "val",
    "tuning": "val",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "hold-out": "test",
    "held-out": "test",
}
"""What tables call the parts of a fixed split."""


def read_folds(text: TextTable, named: Mapping[str, str]) -> tuple[pd.Series | None, list[str]]:
    """The parts of a rotation per row, empty where missing, and notes on what was ignored."""
    if "fold" in named:
        cells = text.frame[named["fold"]]
        return cells.where(~cells.map(is_missing), ""), []
    columns = sorted((name for name in text.columns if re.fullmatch(r"fold_\d+", name)), key=natural_key)
    if not columns:
        return None, []
    tested = text.frame[columns].apply(lambda column: column.str.lower() == "test")
    if len(columns) > 1 and bool((tested.sum(axis=1) == 1).all()):
        return tested.idxmax(axis=1), []
    return None, [
        f"The columns {columns[0]} ... {columns[-1]} are not used: not every row is 'test' in exactly one, "
        "so that they are no cross-validation over all patients. histonic makes its own split."
    ]


def read_roles(text: TextTable, named: Mapping[str, str]) -> tuple[pd.Series | None, list[Issue]]:
    """``train``, ``val`` or ``test`` per row, empty where missing, and what is wrong with the column.

    A split that cannot be read is an error: to train on the patients that somebody held out is worse than
    not to train. A column that says the same everywhere divides nobody, and is no split.
    """
    if "split" not in named:
        return None, []
    column = named["split"]
    cells = text.frame[column]
    given = cells.where(~cells.map(is_missing), "").map(_role_word)
    unknown = sorted(set(given[given != ""]) - set(ROLES))
    roles = given.map(lambda word: ROLES.get(word, ""))
    if not unknown and {"train", "test"} <= set(roles):
        return roles, []
    if not unknown and len(set(roles) - {""}) <= 1:
        return None, []
    found = (
        f"It says {list_names(repr(word) for word in unknown)}, which is neither train, val nor test."
        if unknown
        else "It does not name both train and test."
    )
    todo = "Write train, val and test; or let histonic split: --columns split=none."
    where = f"{text.path.name}, column {column!r}"
    return None, [Issue("error", "Split column that cannot be read", where, found, todo)]


def _role_word(cell: str) -> str:
    """'Training set' and 'test_cohort' without their second word."""
    return re.sub(r"[ _-]*(set|cohort|split)$", "", cell.strip().lower())


def words_for_parts(folds: pd.Series | None, where: str, column: str) -> list[Issue]:
    """An error if the column of parts says train or test instead."""
    if folds is None:
        return []
    words = sorted({fold for fold in folds if fold.lower() in ROLES})
    if not words:
        return []
    return [
        Issue(
            "error",
            "Fold column without parts",
            where,
            f"It says {list_names(words)}, not which part of a cross-validation a patient is in.",
            f"For a fixed split: --columns fold=none --columns split={column}. "
            "Else number the parts, or let histonic split: --columns fold=none.",
        )
    ]


def parted_patients(given: pd.Series | None, patients: pd.Series, where: str, kind: str) -> list[Issue]:
    """An error for every patient whose rows stand in two parts."""
    if given is None:
        return []
    known = given[given != ""]
    issues = []
    for patient, parts in known.groupby(patients[known.index], sort=True):
        if patient and parts.nunique() > 1:
            named = list_names(f"{part!r} (row {row})" for row, part in parts.items())
            issues.append(
                Issue(
                    "error",
                    f"One patient in two {kind}",
                    f"{where}, patient {patient!r}",
                    f"The patient is in the {kind} {named}.",
                    "Give all rows of a patient the same value.",
                    CohortError,
                )
            )
    return issues
