"""Predictions of two runs on one scale, so that patients can swap them in a permutation test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from histonic.metrics.discrimination import labels, regression
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.outcome import check_survival
from histonic.runs.predictions import PredictionTable

MOST_REPEATS = 30
"""To which two numbers of repeats are brought by taking repeats several times."""


class Permutation(NamedTuple):
    """What :func:`histonic.metrics.inference.comparisons.permutation_p` needs."""

    score: Callable[[FloatArray], float]
    """The leading metric, mean over the repeats, of predictions ``(n, repeats, W)``."""
    first: FloatArray
    second: FloatArray
    note: str
    """What the reader should know; empty if nothing."""


def permuted(first: Sequence[PredictionTable], second: Sequence[PredictionTable]) -> Permutation:
    """Predictions of the same patients in the same order by two runs.

    Scores are turned to ranks within each run and repeat, since two models may use different scales;
    called classes stay as they are. A patient exchanges all repeats at once; those of a run with fewer of
    them are taken several times, so that both runs have as many; were that more than :data:`MOST_REPEATS`,
    the first ones of both are used, and the note says so.

    Args:
        first: Tables of one run, one a repeat.
        second: Of the other.
    """
    repeats, note = math.lcm(len(first), len(second)), ""
    if repeats > MOST_REPEATS:
        repeats = min(len(first), len(second))
        note = f"The permutation uses the first {repeats} repeat(s) of both runs."
    pairs = []
    for tables in (first, second):
        each = [_prediction(table) for table in tables[:repeats]]
        pairs.append(np.stack([each[repeat % len(each)] for repeat in range(repeats)], axis=1))
    metric = _metric(first[0])

    def score(predictions: FloatArray) -> float:
        return float(np.mean([metric(predictions[:, repeat]) for repeat in range(repeats)]))

    return Permutation(score, pairs[0], pairs[1], note)


def _prediction(table: PredictionTable) -> FloatArray:
    """``(n, W)``: ranks of the scores, or the called class."""
    kind = table.task.kind
    if kind == "ordinal":
        return table.classes("predicted")[:, None].astype(np.float64)
    if kind == "multiclass":
        return np.asarray(stats.rankdata(table.probabilities(), axis=0))
    column = {"regression": "predicted", "survival": "risk"}.get(kind)
    values = table.probabilities()[:, 1] if column is None else table.numbers(column)
    return np.asarray(stats.rankdata(values))[:, None]


def _metric(table: PredictionTable) -> Callable[[FloatArray], float]:
    """The leading metric of predictions ``(n, W)``."""
    kind = table.task.kind
    if kind == "survival":
        outcome = check_survival(table.numbers("time"), table.numbers("event"))
        return lambda found: float(survival.concordance(outcome, found[:, 0]))
    if kind == "regression":
        value = table.numbers("truth")
        return lambda found: float(regression.spearman(value, found[:, 0]))
    truth = table.classes("truth")
    if kind == "binary":
        return lambda found: float(labels.auroc(truth == 1, found[:, 0]))
    if kind == "multiclass":
        return lambda found: float(labels.macro(labels.auroc, truth, found, np.ones(len(truth))))
    count = len(table.task.classes)
    return lambda found: float(
        labels.quadratic_kappa(labels.confusion(truth, found[:, 0].astype(np.int64), count))
    )
