"""How wrong each prediction is: classes, values and risks, each patient compared as its metric compares."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_table, split_repeats
from histonic.stages.report.cases.document import CaseTarget

FAR_SHARE = 0.25
"""Of the patients with a truth, those with the greatest errors of a value count as far from it."""
HALF = 0.5
"""A risk that is out of order with more than so many of its pairs counts as far off."""
UNKNOWN = -1.0
MINUS = "\N{MINUS SIGN}"


def rank_targets(table: PredictionTable) -> dict[str, CaseTarget]:
    """What was predicted of each patient, and how wrong it is.

    With repeats, predictions are their means. Classes: wrong before right, by how many steps of an order,
    then by how little probability the true class got. Values: by the size of the error. Risks: by how many
    more comparable patients of the same fold they put into the wrong order than into the right one (pairs as
    in the C-index).

    Args:
        table: Out-of-fold predictions of one target.

    Returns:
        One item per patient_id.

    Raises:
        TableError: A column is absent, or a cell of it cannot be used.
    """
    one = mean_table(split_repeats(table))
    names = one.texts("patient_id")
    make = {"regression": _values, "survival": _risks}.get(one.task.kind, _classes)
    return dict(zip(names, make(one), strict=True))


def order_words(task: Task) -> str:
    """What comes first in the list.

    Example:
        >>> order_words(Task("os", "survival", ("months", "dead")))
        'most out of order first'
    """
    if task.kind == "regression":
        return "largest error first"
    return "most out of order first" if task.kind == "survival" else "misclassified first"


def counted_words(task: Task, found: Sequence[CaseTarget]) -> str:
    """How many predictions went wrong, in a sentence.

    Example:
        >>> counted_words(Task("os", "survival", ("months", "dead")), [])
        'No patient has a known truth.'
    """
    known = [each for each in found if each.verdict != "unknown"]
    if not known:
        return "No patient has a known truth."
    off = sum(each.verdict in ("wrong", "far") for each in known)
    if task.kind == "regression":
        return f"The {off} largest errors of {len(known)} are marked."
    if task.kind == "survival":
        return (
            f"{off} of {len(known)} patients that can be compared are out of order with more than half of "
            "those they are compared with."
        )
    return f"{off} of {len(known)} patients were called wrong."


def _classes(table: PredictionTable) -> list[CaseTarget]:
    task = table.task
    truth, called = table.classes("truth", missing=True), table.classes("predicted")
    shares = table.probabilities()
    found = []
    for true, said, row in zip(truth, called, shares, strict=True):
        steps = abs(int(said) - int(true)) if task.kind == "ordinal" else int(said != true)
        missed = 1 - float(row[true]) if true >= 0 else 0.0
        words = (
            "truth unknown" if true < 0
            else "right" if said == true
            else f"wrong by {steps} classes" if steps > 1
            else "wrong"
        )  # fmt: skip
        found.append(
            CaseTarget(
                target=task.name,
                verdict="unknown" if true < 0 else "right" if said == true else "wrong",
                verdict_words=words,
                truth=task.classes[true] if true >= 0 else "",
                predicted=task.classes[said],
                value=float(row[said]),
                value_words=_chances(task, row, int(said), int(true)),
                order=UNKNOWN if true < 0 else steps + missed,
            )
        )
    return found


def _chances(task: Task, row: npt.NDArray[np.float64], said: int, true: int) -> str:
    """Probability of the called class, and of the true one where that is another."""
    words = f"probability {_share(row[said])}"
    return words if true in (said, -1) else f"{words}, of “{task.classes[true]}” {_share(row[true])}"


def _share(value: float) -> str:
    return f"{value:.2f}" if 0.005 <= value <= 0.995 else "below 0.01" if value < 0.5 else "above 0.99"


def _values(table: PredictionTable) -> list[CaseTarget]:
    truth, predicted = table.numbers("truth", missing=True), table.numbers("predicted")
    error = np.abs(predicted - truth)
    known = np.isfinite(error)
    far = math.inf
    if known.any():
        count = max(1, round(FAR_SHARE * int(known.sum())))
        far = float(np.sort(error[known])[-count])
    found = []
    for true, said, size in zip(truth, predicted, error, strict=True):
        is_known = math.isfinite(size)
        words = "truth unknown"
        is_far = is_known and size >= far and size > 0
        if is_known:
            words = f"{size:.3g} too {'high' if said > true else 'low'}" if size > 0 else "exact"
            words += ", one of the largest errors" if is_far else ""
        found.append(
            CaseTarget(
                target=table.task.name,
                verdict="unknown" if not is_known else "far" if is_far else "near",
                verdict_words=words,
                truth=f"{true:.3g}".replace("-", MINUS) if is_known else "",
                predicted=f"{said:.3g}".replace("-", MINUS),
                value=float(said),
                value_words="",
                order=float(size) if is_known else UNKNOWN,
            )
        )
    return found


def _risks(table: PredictionTable) -> list[CaseTarget]:
    time, event = table.numbers("time", missing=True), table.numbers("event", missing=True)
    risk, high = table.numbers("risk"), table.numbers("high_risk")
    known = np.isfinite(time) & np.isfinite(event)
    wrong, right = _pairs(table, known)
    found = []
    for place, said in enumerate(risk):
        against, pairs = wrong[place], wrong[place] + right[place]
        compared = bool(known[place]) and pairs > 0
        words = "truth unknown" if not known[place] else "nobody to compare with"
        if compared:
            words = _order_words(against, pairs)
        until = "event at" if event[place] == 1 else "no event until"
        share = against / pairs if compared else 0.0
        found.append(
            CaseTarget(
                target=table.task.name,
                verdict="unknown" if not compared else "far" if share > HALF else "near",
                verdict_words=words,
                truth=f"{until} {time[place]:.4g}" if known[place] else "",
                predicted="high risk" if high[place] > HALF else "low risk",
                value=float(said),
                value_words=f"risk {said:.2f}".replace("-", MINUS),
                # The difference: one pair out of one says less than forty of fifty. Above 0 all the same.
                order=float(against - right[place] + len(risk)) if compared else UNKNOWN,
            )
        )
    return found


def _order_words(against: float, pairs: float) -> str:
    """With how many a risk is out of order, or in it, whichever are more.

    Example:
        >>> _order_words(3, 4), _order_words(1.5, 4)
        ('out of order with 3 of 4', 'in order with 2.5 of 4')
    """
    if against > HALF * pairs:
        return f"out of order with {against:g} of {pairs:g}"
    return f"in order with {pairs - against:g} of {pairs:g}"


def _pairs(
    table: PredictionTable, known: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each patient the pairs in the wrong and in the right order, those of equal risk half each."""
    rows = np.flatnonzero(known)
    wrong, right = np.zeros(len(known)), np.zeros(len(known))
    if not len(rows):
        return wrong, right
    time = table.numbers("time", missing=True)[rows]
    event = table.numbers("event", missing=True)[rows] == 1
    risk, fold = table.numbers("risk")[rows], table.numbers("fold")[rows]
    for first in np.flatnonzero(event):
        later = (time > time[first]) | ((time == time[first]) & ~event)
        others = np.flatnonzero(later & (fold == fold[first]))
        good = 0.5 * (risk[first] > risk[others]) + 0.5 * (risk[first] >= risk[others])
        right[rows[others]] += good
        wrong[rows[others]] += 1 - good
        right[rows[first]] += good.sum()
        wrong[rows[first]] += (1 - good).sum()
    return wrong, right
