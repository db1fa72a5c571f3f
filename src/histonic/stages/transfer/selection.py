"""Choosing training settings from a grid by mean rank, without a look at the task under test."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

import numpy as np
from scipy.stats import rankdata

from histonic.core.errors import SettingsError

T = TypeVar("T", bound=Hashable)


def expand_grid(grid: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """All combinations of a grid, by a readable name.

    Example:
        >>> expand_grid({"batch": [32, 64], "multitask.head_rate": [5]})
        {'batch=32,head_rate=5': {'batch': 32, 'multitask.head_rate': 5}, \
'batch=64,head_rate=5': {'batch': 64, 'multitask.head_rate': 5}}
        >>> expand_grid({})
        {'': {}}
    """
    keys = sorted(grid)
    combinations = [dict(zip(keys, values, strict=True)) for values in product(*(grid[key] for key in keys))]
    return {
        ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in each.items()): each
        for each in combinations
    }


def with_changes(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some changed; ``outer.inner`` changes one key of a nested model.

    Example:
        >>> with_changes({"multitask": {"balance": True}}, {"multitask.head_rate": 5, "batch": 8})
        {'multitask': {'balance': True, 'head_rate': 5}, 'batch': 8}
    """
    changed = dict(values)
    for key, value in changes.items():
        outer, _, inner = key.partition(".")
        if inner:
            changed[outer] = {**dict(changed.get(outer) or {}), inner: value}
        elif isinstance(value, Mapping) and isinstance(changed.get(outer), Mapping):
            changed[outer] = {**changed[outer], **value}
        else:
            changed[outer] = value
    return changed


def mean_ranks(scores: Mapping[str, Mapping[T, float]], excluded: Collection[T] = ()) -> dict[str, float]:
    """Mean rank of each setting over the tasks that are not excluded; 1 is best, ties share their ranks.

    Mormont et al., IEEE JBHI (2021): the task under test has no say in its own settings, nor have the
    tasks related to it.

    Args:
        scores: Setting -> task -> validation score; higher is better. All settings have the same tasks.
        excluded: The task under test and its relatives.

    Raises:
        SettingsError: No task is left.

    Example:
        >>> mean_ranks({"a": {"x": 0.9, "y": 0.1}, "b": {"x": 0.8, "y": 0.7}}, excluded=["x"])
        {'a': 2.0, 'b': 1.0}
    """
    tasks = [task for task in next(iter(scores.values())) if task not in set(excluded)]
    if not tasks:
        raise SettingsError(
            f"Choose settings for {', '.join(str(task) for task in excluded)}.",
            "No other task is left to choose by.",
            "Add tile sets that are not related to it, or give no grid.",
        )
    table = np.array([[scores[setting][task] for task in tasks] for setting in scores])
    ranks = rankdata(-table, axis=0).mean(axis=1)
    return {setting: float(rank) for setting, rank in zip(scores, ranks, strict=True)}
