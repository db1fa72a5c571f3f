"""How the networks of a run were trained: losses by epoch, and what the folds chose."""

from __future__ import annotations

import pandas as pd

from histonic.runs.run import WholeRun
from histonic.stages.report.document.sections import ChosenSettings, NetworkHistory

CURVES = ("learning_rate", "train_loss", "validation_loss")
"""Columns of ``history.csv`` over the epochs of one network."""


def network_histories(run: WholeRun) -> list[NetworkHistory]:
    """Losses by epoch, one item per network."""
    networks = ["repeat", "fold", "initialisation"]
    ordered = run.history.sort_values([*networks, "epoch"])
    return [
        NetworkHistory(
            repeat=int(repeat),
            fold=int(fold),
            initialisation=int(initialisation),
            **{key: [float(value) for value in rows[key]] for key in CURVES},
            epoch=[int(value) for value in rows["epoch"]],
        )
        for (repeat, fold, initialisation), rows in ordered.groupby(networks)
    ]


def search_rows(search: pd.DataFrame | None) -> list[ChosenSettings]:
    """What each fold chose among the settings that were tried; empty without a search."""
    if search is None:
        return []
    keys = [name for name in search.columns if name not in ("repeat", "fold", "validation_loss", "chosen")]
    tried = len(search[keys].drop_duplicates())
    kept = search[search["chosen"] == 1]
    differ = len(kept[keys].drop_duplicates()) > 1
    return [
        ChosenSettings(
            repeat=int(row["repeat"]),
            fold=int(row["fold"]),
            chosen=", ".join(f"{key} {row[key]}" for key in keys),
            tried=tried,
            differ=differ,
        )
        for row in kept.to_dict("records")
    ]
