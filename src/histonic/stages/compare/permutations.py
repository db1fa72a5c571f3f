"""Predictions of two runs on one scale, so that patients can swap them in a permutation test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from histonic.metrics.discrimination import labels, regression
from histonic.metrics.ranks import FloatArray, rows_of_groups
from histonic.metrics.survival import censoring
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.outcome import check_survival
from histonic.runs.predictions import PredictionTable
from histonic.runs.primary import primary_of
from histonic.stages.evaluate.evaluated import fold_or_none, met_classes
from histonic.stages.evaluate.survival_times import evaluated_times

MOST_REPEATS = 30
"""To which two numbers of repeats are brought by taking repeats several times."""


class Permutation(NamedTuple):
    """What :func:`histonic.metrics.inference.comparisons.permutation_p` needs."""

    score: tuple[Callable[[FloatArray], float], Callable[[FloatArray], float]]
    """The leading metric, mean over the repeats, of predictions ``(n, repeats, W)`` in each run's folds."""
    first: FloatArray
    second: FloatArray
    note: str
    """What the reader should know; empty if nothing."""


def permuted(first: Sequence[PredictionTable], second: Sequence[PredictionTable]) -> Permutation:
    """Predictions of the same patients in the same order by two runs.

    Scores are turned to ranks within each run, repeat and fold, from 0 to 1, since networks may use different
    scales; called classes stay as they are. A patient exchanges all repeats at once; those of a run with
    fewer of them are taken several times, so that both runs have as many; were that more than
    :data:`MOST_REPEATS`, the first ones of both are used, and the note says so.

    Args:
        first: Tables of one run, one a repeat.
        second: Of the other.
    """
    repeats, note = math.lcm(len(first), len(second)), ""
    if repeats > MOST_REPEATS:
        repeats = min(len(first), len(second))
        note = f"The permutation uses the first {repeats} repeat(s) of both runs."
    pairs, scores = [], []
    for tables in (first, second):
        chosen = [tables[repeat % len(tables)] for repeat in range(repeats)]
        pairs.append(np.stack([_prediction(table) for table in chosen], axis=1))
        scores.append(_mean_metric(chosen))
    return Permutation((scores[0], scores[1]), pairs[0], pairs[1], note)


def _mean_metric(tables: Sequence[PredictionTable]) -> Callable[[FloatArray], float]:
    """The leading metric in the folds of some tables, mean over them, of predictions ``(n, tables, W)``."""
    metrics = [_metric(table) for table in tables]
    return lambda found: float(np.mean([metric(found[:, at]) for at, metric in enumerate(metrics)]))


def _ranks(scores: FloatArray, table: PredictionTable) -> FloatArray:
    """Ranks ``(n, W)`` of scores within folds, between 0 and 1."""
    found = np.empty_like(scores)
    for rows in rows_of_groups(table.numbers("fold"), len(scores)):
        found[rows] = (stats.rankdata(scores[rows], axis=0) - 0.5) / len(rows)
    return found


def _prediction(table: PredictionTable) -> FloatArray:
    """``(n, W)``, what the leading metric takes: ranks of the scores, probabilities, values or calls."""
    kind, primary = table.task.kind, primary_of(table.task)
    if primary == "Quadratic weighted kappa":
        return table.classes("predicted")[:, None].astype(np.float64)
    if primary == "Brier score":
        return table.probabilities()
    if primary in ("Mean absolute error", "Median absolute error"):
        return table.numbers("predicted")[:, None]
    if primary == "AUROC" and kind != "binary":
        return _ranks(table.probabilities(), table)
    if kind == "ordinal":
        return _ranks((table.probabilities() @ np.array(table.task.class_values))[:, None], table)
    column = {"regression": "predicted", "survival": "risk"}.get(kind)
    values = table.probabilities()[:, 1] if column is None else table.numbers(column)
    return _ranks(values[:, None], table)


def _metric(table: PredictionTable) -> Callable[[FloatArray], float]:
    """The leading metric of predictions ``(n, W)``, as the report computes it."""
    kind, within = table.task.kind, fold_or_none(table.numbers("fold"))
    if kind == "survival":
        return _survival_metric(table, within)
    if kind == "regression":
        value, primary = table.numbers("truth"), primary_of(table.task)
        if primary == "Mean absolute error":
            return lambda found: float(regression.mean_absolute_error(value, found[:, 0]))
        if primary == "Median absolute error":
            return lambda found: float(regression.median_absolute_error(value, found[:, 0]))
        return lambda found: float(regression.spearman(value, found[:, 0], within=within))
    return _class_metric(table, within)


def _class_metric(table: PredictionTable, within: npt.NDArray[Any] | None) -> Callable[[FloatArray], float]:
    truth, kind, primary = table.classes("truth"), table.task.kind, primary_of(table.task)
    if primary == "Brier score":
        return lambda found: float(labels.brier(truth, found))
    if primary == "Spearman correlation":
        order = truth.astype(np.float64)
        return lambda found: float(regression.spearman(order, found[:, 0], within=within))
    area = partial(labels.auroc, within=within)
    if kind == "binary":
        return lambda found: float(area(truth == 1, found[:, 0]))
    if primary == "AUROC":
        met = met_classes(truth, within)
        return lambda found: float(labels.macro(area, truth, found, np.ones(len(truth)), met))
    agreement = partial(labels.quadratic_kappa_within, truth, classes=len(table.task.classes), within=within)
    return lambda found: float(agreement(found[:, 0].astype(np.int64)))


def _survival_metric(
    table: PredictionTable, within: npt.NDArray[Any] | None
) -> Callable[[FloatArray], float]:
    outcome = check_survival(table.numbers("time"), table.numbers("event"))
    primary, times = primary_of(table.task), evaluated_times(outcome)
    if primary == "Uno's C":
        return lambda found: float(censoring.uno_concordance(outcome, found[:, 0], until=times.last))
    if primary == "Mean AUC over time":
        return lambda found: float(censoring.mean_auc(outcome, found[:, 0], times.grid))
    return lambda found: float(survival.concordance(outcome, found[:, 0], within=within))
