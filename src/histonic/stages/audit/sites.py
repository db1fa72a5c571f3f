"""What is left of a model's result when only patients of the same site are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.task import Task
from histonic.metrics.discrimination.pairs import (
    Estimate,
    Order,
    PairCounts,
    count_pairs,
    difference,
    estimate_share,
)
from histonic.runs.predictions import PredictionTable
from histonic.stages.audit.confounders import measure_of
from histonic.stages.audit.findings import Finding, ModelOrder, WithinSites

FloatArray = npt.NDArray[np.float64]
FEWEST_PAIRS = 20
"""Pairs within sites below which nothing is said."""
NEARLY_CHANCE = 0.6
"""Only if the interval within sites ends below this is it said that nothing is predicted there."""


def within_sites(task: Task, predictions: pd.DataFrame) -> WithinSites | None:
    """Compare the order of the patients of a fold with the order of those of them from the same site.

    If a model has learned to tell sites apart instead of tissue, and sites differ in the target, it orders
    patients of different sites well and patients of one site not at all. The second share is a stratified
    concordance (for survival: Harrell's C stratified by site).

    Args:
        task: The target.
        predictions: As in ``predictions/<task>.csv``. Patients are compared within a fold of a repeat, for
            whom the same networks predicted.

    Returns:
        None if fewer than two sites are named, or too few pairs of one site can be compared.

    Raises:
        TableError: A column is absent or a cell cannot be used.

    Example:
        >>> site, truth = np.repeat(["a", "b"], 30), np.r_[np.arange(30.0), np.arange(20.0, 50.0)]
        >>> table = pd.DataFrame({"patient_id": np.arange(60).astype(str), "site": site, "fold": 0,
        ...     "truth": truth, "predicted": np.where(site == "a", 1.0, 2.0)})
        >>> found = within_sites(Task("ki67", "regression", ("ki67",)), table)
        >>> found.conclusion, round(found.within[0], 2), found.pooled[0] > 0.6
        ('chance', 0.5, True)
    """
    table = PredictionTable(task, predictions)
    sites = np.array(table.texts("site"), dtype=object)
    orders, scores, known = _read(table)
    keep = known & (sites != "")
    if len(set(sites[keep])) < 2:
        return None
    rows = np.flatnonzero(keep)
    patients, fold = _patients_and_folds(table, rows)
    both = np.array([f"{a}\0{b}" for a, b in zip(fold, sites[rows], strict=True)])
    pooled, within = [], []
    for order, score in zip(orders, scores, strict=True):
        chosen = _of_rows(order, rows)
        pooled.append(_by_patient(count_pairs(chosen, score[rows], fold), patients))
        within.append(_by_patient(count_pairs(chosen, score[rows], both), patients))
    # A class that never meets another one within a site has no pair there, and is left out of both means.
    kept = [k for k, each in enumerate(within) if each.pairs.sum() >= FEWEST_PAIRS]
    all_, same = (estimate_share([group[k] for k in kept]) for group in (pooled, within))
    if all_ is None or same is None:
        return None
    gap = difference(all_, same)
    meeting = np.sum([each.pairs for each in within], axis=0) > 0
    site_of = dict(zip(patients.tolist(), sites[rows], strict=True))
    return WithinSites(
        task.name,
        int(patients.max()) + 1,
        len({site_of[patient] for patient in np.flatnonzero(meeting)}),
        measure_of(task),
        all_[:3],
        same[:3],
        gap,
        "one" if _pairs_of(pooled, kept) == _pairs_of(within, kept) else _conclusion(all_, same, gap),
        by_site=table.splits_sites(),
    )


def _pairs_of(counts: Sequence[PairCounts], chosen: Sequence[int]) -> float:
    return float(sum(counts[k].pairs.sum() for k in chosen))


def model_order(task: Task, predictions: pd.DataFrame) -> ModelOrder | None:
    """What share of the pairs of a fold's patients the predictions order rightly; None if there is no pair.

    Args:
        task: The target.
        predictions: As in ``predictions/<task>.csv``.

    Raises:
        TableError: A column is absent or a cell cannot be used.
    """
    table = PredictionTable(task, predictions)
    orders, scores, known = _read(table)
    rows = np.flatnonzero(known)
    if not len(rows):
        return None
    patients, fold = _patients_and_folds(table, rows)
    counts = [
        _by_patient(count_pairs(_of_rows(order, rows), score[rows], fold), patients)
        for order, score in zip(orders, scores, strict=True)
    ]
    found = estimate_share([each for each in counts if each.pairs.sum() > 0])
    if found is None:
        return None
    return ModelOrder(task.name, measure_of(task), int(patients.max()) + 1, *found[:3])


def _of_rows(order: Order, rows: npt.NDArray[np.int64]) -> Order:
    return Order(order.value[rows], None if order.event is None else order.event[rows])


def _patients_and_folds(
    table: PredictionTable, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Number of the patient, and name of the fold of a repeat, of some rows."""
    patients = np.unique(np.array(table.texts("patient_id"))[rows], return_inverse=True)[1]
    many = "repeat" in table.frame.columns
    repeats = table.texts("repeat") if many else ["0"] * len(table.frame)
    folds = [f"{a}/{b}" for a, b in zip(repeats, table.texts("fold"), strict=True)]
    return np.asarray(patients, dtype=np.int64), np.array(folds)[rows]


def _read(table: PredictionTable) -> tuple[list[Order], list[FloatArray], npt.NDArray[np.bool_]]:
    """Truth and score, one item a class where there are several, and the rows whose truth is known."""
    task = table.task
    if task.kind == "survival":
        time, event = (table.numbers(name, missing=True) for name in ("time", "event"))
        return [Order(time, event == 1)], [table.numbers("risk")], np.isfinite(time) & np.isfinite(event)
    if task.kind == "regression":
        truth = table.numbers("truth", missing=True)
        return [Order(truth)], [table.numbers("predicted")], np.isfinite(truth)
    classes = table.classes("truth", missing=True)
    if task.kind == "ordinal":
        return [Order(classes.astype(np.float64))], [table.numbers("score")], classes >= 0
    chosen = [1] if task.kind == "binary" else [int(k) for k in np.unique(classes[classes >= 0])]
    probabilities = table.probabilities()
    orders = [Order((classes == k).astype(np.float64)) for k in chosen]
    return orders, [probabilities[:, k] for k in chosen], classes >= 0


def _by_patient(counts: PairCounts, patients: npt.NDArray[np.int64]) -> PairCounts:
    """Rows of several repeats added up, so that a patient counts as one."""
    sums = [np.bincount(patients, each).astype(np.float64) for each in counts]
    return PairCounts(sums[0], sums[1])


def _conclusion(pooled: Estimate, within: Estimate, gap: Sequence[float]) -> str:
    """See :class:`WithinSites`; what is left within sites is judged by itself."""
    if within.low > 0.5:
        if gap[1] > 0:
            return "falls"
        return "holds" if pooled.low > 0.5 else "within"
    if gap[1] > 0 and pooled.low > 0.5:
        return "chance" if within.high < NEARLY_CHANCE else "unclear"
    return "few" if pooled.low > 0.5 else "none"


def site_finding(found: WithinSites) -> Finding | None:
    """What the comparison means; None if there is nothing to say."""
    where = f"target {found.target}, {found.n} patients of {found.sites} sites"
    numbers = (
        f"Of 100 pairs of patients of the same fold the predictions order {_share(found.pooled)} rightly, of "
        f"100 of these from the same site {_share(found.within)}."
    )
    elsewhere = "test on a site that the model has not seen."
    todo = f"T{elsewhere[1:]}" if found.by_site else f"Train with --split site, and {elsewhere}"
    if found.conclusion == "one":
        return Finding(
            "note",
            "within-sites",
            f"All that is compared for {found.target} lies within sites",
            where,
            "No fold holds patients of two sites. Of 100 pairs of patients of the same site the predictions "
            f"order {_share(found.within)} rightly.",
            "The leading metric says the same of this run. How patients of different sites are told apart, "
            "it does not say.",
        )
    if found.conclusion == "within":
        return Finding(
            "note",
            "within-sites",
            f"{found.target} is predicted within sites, and hidden by differences between them",
            where,
            numbers,
            "Predictions of patients of different sites are not on one scale: compare them within a site.",
        )
    if found.conclusion == "chance":
        return Finding(
            "error",
            "within-sites",
            f"Within a site, {found.target} is not predicted",
            where,
            f"{numbers} What the model knows may be the site, not the tissue.",
            f"Do not report the result over all sites alone. {todo}",
        )
    if found.conclusion == "falls":
        return Finding(
            "warning",
            "within-sites",
            f"Part of the result on {found.target} comes from differences between sites",
            where,
            numbers,
            f"Report both numbers. {todo}",
        )
    if found.conclusion == "unclear":
        return Finding(
            "warning",
            "within-sites",
            f"Within a site the result on {found.target} falls, and too few pairs tell what is left",
            where,
            f"{numbers} What the model knows may be the site, not the tissue, in part or in whole.",
            f"Do not report the result over all sites alone. More patients a site would tell. {todo}",
        )
    if found.conclusion == "few":
        return Finding(
            "note",
            "within-sites",
            f"Too few pairs within sites to tell whether {found.target} is predicted there",
            where,
            numbers,
            "More patients a site would tell.",
        )
    if found.conclusion == "holds":
        return Finding(
            "note",
            "within-sites",
            f"{found.target} is predicted within sites as across them",
            where,
            numbers,
            "Whether that is more than chance, the leading metric tells.",
        )
    return None


def _share(estimate: Sequence[float]) -> str:
    value, low, high = (f"{100 * number:.0f}" for number in estimate)
    return f"{value} (95 % interval {low} to {high})"
