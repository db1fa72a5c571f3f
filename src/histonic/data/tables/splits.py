"""The split that a label table itself gives: parts of a rotation, or train, val and test once or per fold."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
TURN_NAME = re.compile(r"(fold|split)[ _.-]?\d+", re.IGNORECASE)
"""Columns of Patho-Bench's kind: one a fold, each with train, val and test."""
_TICKS: Mapping[str, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class GivenSplit:
    """The split of a label table; each attribute is None if the table gives none of that kind.

    Attributes:
        folds: Part of a rotation per row (text), empty where missing.
        roles: ``train``, ``val`` or ``test`` per row, empty where missing.
        turns: The same, one column a fold, empty for rows that have no part in it.
        issues: Columns that cannot be read.
        notes: What was set aside.
    """

    folds: pd.Series | None
    roles: pd.Series | None
    turns: pd.DataFrame | None
    issues: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()


def read_split(text: TextTable, named: Mapping[str, str], own: Mapping[str, str]) -> GivenSplit:
    """The split that a table gives, in whatever columns.

    Beside columns called ``fold`` and ``split``, those are read that say train and test and nothing else:
    ``fold_0`` ... ``fold_n``, one column of any name, or ticks in columns called ``train``, ``val`` and
    ``test``. To train on patients whom somebody held out is worse than not to train.

    Args:
        text: The table.
        named: Canonical name to column.
        own: The user's names; those that name no column hide what could be found.
    """
    folds = None if "fold" not in named else text.frame[named["fold"]]
    folds = None if folds is None else folds.where(~folds.map(is_missing), "")
    roles, issues = _read_roles(text, named)
    if {"fold", "split"} & set(own) & set(named):
        return GivenSplit(folds, roles, None, tuple(issues))  # the user has said which
    hidden = {name for name in ("fold", "split") if name in own}
    found, others, unread, notes = _columns_of_roles(text, named)
    issues += [] if "fold" in hidden else unread
    notes = [] if "fold" in hidden else notes
    found = {} if "fold" in hidden or ("split" in hidden and len(found) == 1) else found
    others = {} if "split" in hidden or {"fold", "split"} & set(named) else others
    if len(others) + bool(found) > 1:
        issues.append(_several(text, [*found, *others]))
    if folds is not None and found:
        issues.append(_several(text, [named["fold"], *found]))
    chosen = pd.DataFrame(found or dict(list(others.items())[:1]))
    if not len(chosen.columns):
        return GivenSplit(folds, roles, None, tuple(issues), tuple(notes))
    if others:
        notes.append(f"The column {next(iter(others))!r} says who trains and who is tested.")
    tested = (chosen == "test").sum(axis=1)
    if len(found) > 1 and chosen.isin(("train", "test")).all(axis=None) and (tested == 1).all():
        return GivenSplit((chosen == "test").idxmax(axis=1), roles, None, tuple(issues), tuple(notes))
    return GivenSplit(folds, roles, chosen, tuple(issues), tuple(notes))


def _columns_of_roles(
    text: TextTable, named: Mapping[str, str]
) -> tuple[dict[str, pd.Series], dict[str, pd.Series], list[Issue], list[str]]:
    """Roles per row by column: of columns with a number, of others; what cannot be read, and notes."""
    numbered: dict[str, pd.Series] = {}
    others: dict[str, pd.Series] = {}
    issues, odd = [], []
    for column in sorted(set(text.columns) - set(named.values()), key=natural_key):
        cells = text.frame[column]
        given = cells.where(~cells.map(is_missing), "").map(_role_word)
        words = set(given) - {""}
        is_turn = TURN_NAME.fullmatch(column) is not None
        if not words & set(ROLES):
            odd += [column] if is_turn and words else []
            continue
        roles = given.map(lambda word: ROLES.get(word, ""))
        if words <= set(ROLES) and {"train", "test"} <= set(roles):
            (numbered if is_turn else others)[column] = roles
        elif is_turn:
            issues.append(_unreadable(text, column, words))
    ticks = _ticked(text, named)
    others |= {} if ticks is None else {ticks.name: ticks}
    notes = (
        [f"The columns {list_names(odd)} are not used: they say neither train, val nor test."] if odd else []
    )
    return numbered, others, issues, notes


def _ticked(text: TextTable, named: Mapping[str, str]) -> pd.Series | None:
    """Roles per row from columns called train, val and test that hold ticks (CLAM's splits_k_bool.csv)."""
    called = {}
    for column in text.columns:
        role = ROLES.get(_role_word(column))
        if role and column not in named.values():
            called[column] = role
    if not {"train", "test"} <= set(called.values()) or len(called) != len(set(called.values())):
        return None
    lower = text.frame[list(called)].apply(lambda cells: cells.str.strip().str.lower())
    if not lower.isin([*_TICKS, ""]).all(axis=None):
        return None
    ticked = lower.apply(lambda cells: cells.map(lambda cell: _TICKS.get(cell, False)))
    if (ticked.sum(axis=1) > 1).any() or not ticked.any(axis=None):
        return None
    roles = pd.Series("", index=text.frame.index, dtype=object, name=", ".join(called))
    for column, role in called.items():
        roles[ticked[column]] = role
    return roles


def _several(text: TextTable, columns: Sequence[str]) -> Issue:
    return Issue(
        "error",
        "Two splits",
        text.name,
        f"The columns {list_names(repr(column) for column in columns)} each give one.",
        "Say which: --columns split=COLUMN for train, val and test, --columns fold=COLUMN for numbered "
        "parts; or let histonic split: --columns fold=none --columns split=none.",
    )


def _unreadable(text: TextTable, column: str, words: set[str]) -> Issue:
    unknown = sorted(words - set(ROLES))
    found = (
        f"It says {list_names(repr(word) for word in unknown)}, which is neither train, val nor test."
        if unknown
        else "It does not name both train and test."
    )
    todo = "Write train, val and test; or let histonic split: --columns split=none --columns fold=none."
    return Issue("error", "Split column that cannot be read", f"{text.name}, column {column!r}", found, todo)


def _read_roles(text: TextTable, named: Mapping[str, str]) -> tuple[pd.Series | None, list[Issue]]:
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
    return None, [_unreadable(text, column, set(given[given != ""]))]


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
            f"For a fixed split: --columns fold=none --columns split={shlex.quote(column)}. "
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
