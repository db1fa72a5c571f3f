"""The leading metric of a target: the one that is held against chance and tested in comparisons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from histonic.core.errors import SettingsError
from histonic.core.task import Task, TaskKind

LEADING: dict[TaskKind, tuple[str, ...]] = {
    "binary": ("AUROC", "Brier score"),
    "multiclass": ("AUROC", "Brier score"),
    "ordinal": ("Quadratic weighted kappa", "Spearman correlation", "AUROC", "Brier score"),
    "regression": ("Spearman correlation", "Mean absolute error", "Median absolute error"),
    "survival": ("C-index", "Uno's C", "Mean AUC over time"),
}
"""Metrics that can lead, by kind of target, the default first. Others have no fair level of chance where
predictions of several folds are put together (AUPRC, accuracies, R²), or no permutation test."""
ALIASES = {
    "mae": "Mean absolute error",
    "kappa": "Quadratic weighted kappa",
    "spearman": "Spearman correlation",
}


def primary_of(task: Task) -> str:
    """The leading metric of a target.

    Example:
        >>> primary_of(Task("ki67", "regression", ("ki67",)))
        'Spearman correlation'
    """
    return task.primary or LEADING[task.kind][0]


def with_primary(tasks: Sequence[Task], asked: Sequence[str]) -> tuple[Task, ...]:
    """The targets, each with the leading metric that was asked for.

    Args:
        tasks: The targets.
        asked: ``TARGET=METRIC``; case, blanks, hyphens and apostrophes of the metric do not count.

    Raises:
        SettingsError: No such target, or a metric that cannot lead it.

    Example:
        >>> task = Task("ki67", "regression", ("ki67",))
        >>> with_primary([task], ["ki67=mean-absolute-error"])[0].primary
        'Mean absolute error'
    """
    found = {task.name: task for task in tasks}
    for text in asked:
        name, sign, metric = (part.strip() for part in text.rpartition("="))
        if not sign or name not in found:
            raise SettingsError(
                f"Let a metric lead: {text!r}.",
                f"There is no target {name!r}; there are {', '.join(found)}." if sign else "It has no '='.",
                "Write TARGET=METRIC, such as " + f"{next(iter(found), 'msi')}=AUROC.",
            )
        task = found[name]
        known = {_key(each): each for each in LEADING[task.kind]}
        known |= {key: each for key, each in ALIASES.items() if each in LEADING[task.kind]}
        if _key(metric) not in known:
            raise SettingsError(
                f"Let {metric!r} lead the target {name!r} ({task.kind}).",
                "Only metrics can that compare patients within folds, or have a level of chance by fold.",
                f"Use one of {', '.join(LEADING[task.kind])}; all others are reported beside it.",
            )
        found[name] = replace(task, primary=known[_key(metric)])
    return tuple(found.values())


def _key(metric: str) -> str:
    return re.sub(r"[\s\-_'’]", "", metric).casefold()
