"""The small search inside a fold: which combinations of settings are tried, and which one wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from histonic.core.errors import SettingsError
from histonic.core.settings import make_settings
from histonic.stages.train.settings import SEARCHABLE, TrainSettings

TrialLosses = Mapping[tuple[int, int], Mapping[int, Sequence[float]]]
"""Per repeat and fold, per combination that is tried in it, its validation loss in each inner fold."""


def search_choices(settings: TrainSettings) -> tuple[TrainSettings, ...]:
    """The settings of every combination to try, in the order of the grid; only themselves without a search.

    With ``search_trials`` so many different combinations are drawn at random by the seed.

    Raises:
        SettingsError: A key cannot be searched, a value cannot be used, or a combination is named twice.

    Example:
        >>> settings = TrainSettings(
        ...     store="s", labels="l.csv", target=["os"], out="run",
        ...     search={"learning_rate": "0.01,0.001", "aggregator": "convnet,abmil"})
        >>> [(each.aggregator, each.learning_rate) for each in search_choices(settings)]
        [('convnet', 0.01), ('convnet', 0.001), ('abmil', 0.01), ('abmil', 0.001)]
    """
    if not settings.search:
        for key, unused in (
            ("search_trials", settings.search_trials),
            ("search_folds", settings.search_folds > 1),
        ):
            if unused:
                raise SettingsError(
                    f"Train with {key}.", "There is nothing to search.", "Add --search KEY=VALUE,VALUE."
                )
        return (settings,)
    # By name: the settings saved beside a run are sorted, and its trials are known by their number.
    texts = {
        key: [text.strip() for text in settings.search[key].split(",")] for key in sorted(settings.search)
    }
    for key, options in texts.items():
        _check_key(key, options)
    grid = [dict(zip(texts, values, strict=True)) for values in product(*texts.values())]
    if settings.search_trials is not None and settings.search_trials < len(grid):
        rng = np.random.default_rng(settings.seed)
        kept = sorted(rng.choice(len(grid), settings.search_trials, replace=False))
        grid = [grid[place] for place in kept]
    base = settings.model_dump()
    return tuple(make_settings(TrainSettings, {**base, **changes}, "--search") for changes in grid)


def chosen_values(settings: TrainSettings) -> dict[str, Any]:
    """What one combination says of the searched keys."""
    return {key: getattr(settings, key) for key in settings.search}


def best_choice(losses: Mapping[int, Sequence[float]]) -> int:
    """The combination whose mean validation loss is lowest; of equal ones the first.

    Args:
        losses: Per combination its validation loss in each inner fold.

    Example:
        >>> best_choice({0: [0.6, 0.8], 1: [0.5, 0.7]})
        1
    """
    return min(losses, key=lambda number: float(np.mean(losses[number])))


def _check_key(key: str, options: Sequence[str]) -> None:
    asked = f"Search {key}={','.join(options)}."
    if key not in SEARCHABLE:
        raise SettingsError(
            asked, f"{key!r} cannot be searched.", f"Keys that can be: {', '.join(SEARCHABLE)}."
        )
    if "" in options or len(set(options)) < len(options):
        raise SettingsError(asked, "A value is empty or named twice.", "Name each value once: KEY=A,B,C.")
