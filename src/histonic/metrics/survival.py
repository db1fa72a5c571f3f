"""Survival: the order of risks, the Kaplan-Meier curve and the log-rank test.

``time`` is from inclusion to event or end of follow-up, ``event`` is 1 for an event and 0 for
censored, and a higher ``risk`` means an earlier event, in every function of this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.core.errors import CohortError
from histonic.metrics.ranks import BoolArray, FloatArray, IntArray, as_counts, ratio

PAIRS_AT_ONCE = 2**22
"""Pairs of patients held in memory at a time (32 MiB a matrix)."""


class Survival(NamedTuple):
    """Checked follow-up: finite times, not negative, and events."""

    time: FloatArray
    event: BoolArray


def check_survival(
    time: npt.ArrayLike, event: npt.ArrayLike, *, target: str = "", patients: Sequence[str] = ()
) -> Survival:
    """Make the outcome that all functions here take, and refuse what cannot be one.

    Args:
        time: ``(n,)`` follow-up, any unit, not negative.
        event: ``(n,)`` 1 or True = event, 0 or False = censored.
        target: Name for the message of an error.
        patients: Names for the message of an error; row numbers (from 0) by default.

    Raises:
        CohortError: Lengths differ, a time is negative or not finite, or an event is neither 0 nor 1.

    Example:
        >>> check_survival([2, 5], [1, 0]).event.tolist()
        [True, False]
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=np.float64)
    asked = f"Evaluate the survival target {target!r}." if target else "Evaluate survival."
    if times.ndim != 1 or times.shape != events.shape:
        found = f"Times of shape {times.shape} and events of shape {events.shape}."
        raise CohortError(asked, found, "Give one time and one event per patient.")
    rules = (
        ("time", times, np.isfinite(times) & (times >= 0), "a finite time, not negative"),
        ("event", events, np.isin(events, (0.0, 1.0)), "1 for an event or 0 for censored"),
    )
    for what, values, right, wanted in rules:
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            who = f"patient {patients[row]}" if patients else f"row {row}"
            found = f"The {what} of {who} is {values[row]:g}, not {wanted}."
            raise CohortError(asked, found, "Correct it in the label table, or leave the patient out.")
    return Survival(times, events == 1)


def has_comparable_pair(outcome: Survival) -> bool:
    """Whether any patient is known to have outlived another.

    Example:
        >>> has_comparable_pair(check_survival([1, 2], [0, 1]))
        False
    """
    time, event = outcome
    if not event.any():
        return False
    first = time[event].min()
    return bool((time > first).any() or (~event & (time == first)).any())


def concordance(
    outcome: Survival,
    risk: FloatArray,
    counts: FloatArray | None = None,
    *,
    within: npt.NDArray[Any] | None = None,
) -> FloatArray:
    """Harrell's C: how often the patient with the earlier event has the higher risk.

    A pair counts if one has an event and the other lives longer, or is censored at that very time.
    Equal risks count half. Two events at the same time do not count. Harrell et al., Statistics in
    Medicine 15:361 (1996).

    Args:
        outcome: From :func:`check_survival`.
        risk: ``(n,)``, finite; higher = earlier event.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.
        within: ``(n,)`` labels; only pairs with equal labels count. With the fold as label, risks of
            different models are not compared.

    Returns:
        One value per row of counts, in [0, 1]; chance 0.5; NaN if no pair counts.

    Example:
        >>> outcome = check_survival([1, 2, 3, 4], [1, 0, 1, 0])
        >>> float(concordance(outcome, np.array([4.0, 3.0, 1.0, 2.0])))
        0.75
    """
    drawn = as_counts(counts, len(risk))
    return weighted_concordance(outcome, risk, np.flatnonzero(outcome.event), drawn, drawn, within=within)


def weighted_concordance(
    outcome: Survival,
    risk: FloatArray,
    events: IntArray,
    weight: FloatArray,
    drawn: FloatArray,
    *,
    within: npt.NDArray[Any] | None = None,
) -> FloatArray:
    """Share of the comparable pairs that the risks put in order.

    Args:
        outcome: From :func:`check_survival`.
        risk: ``(n,)``, finite; higher = earlier event.
        events: Rows of the patients whose events begin a pair.
        weight: ``(n,)`` or ``(B, n)``, what the pairs begun by each patient weigh.
        drawn: The same shape, how often each patient ends a pair.
        within: As in :func:`concordance`.

    Returns:
        One value per row of weights; NaN if no pair counts.
    """
    right, pairs = np.zeros(drawn.shape[:-1]), np.zeros(drawn.shape[:-1])
    step = max(1, PAIRS_AT_ONCE // max(1, len(risk)))
    for start in range(0, len(events), step):
        rows = events[start : start + step]
        counted, ordered = _pairs(outcome, risk, rows, within)
        right += np.sum((weight[..., rows] @ ordered) * drawn, axis=-1)
        pairs += np.sum((weight[..., rows] @ counted) * drawn, axis=-1)
    return ratio(right, pairs)


def _pairs(
    outcome: Survival, risk: FloatArray, rows: IntArray, within: npt.NDArray[Any] | None
) -> tuple[FloatArray, FloatArray]:
    """Whether patient ``rows[i]``, who has an event, counts against each j, and how right the risks are."""
    time, event = outcome
    counted = (time > time[rows, None]) | ((time == time[rows, None]) & ~event)
    if within is not None:
        counted &= within == within[rows, None]
    ordered = 0.5 * (risk[rows, None] > risk) + 0.5 * (risk[rows, None] >= risk)
    return counted.astype(np.float64), ordered * counted


@dataclass(frozen=True)
class KaplanMeier:
    """Share of patients without an event, a step function.

    Attributes:
        time: ``(T,)`` 0 and then every distinct time, rising.
        survival: ``(T,)`` share from that time on.
        low: ``(T,)`` lower end of the pointwise 95 % band, on the log(-log) scale.
        high: ``(T,)`` upper end.
        at_risk: ``(T,)`` patients still followed just before that time.
        censored: ``(T,)`` patients censored at that time.
        n: Patients.
        events: Events.
    """

    time: FloatArray
    survival: FloatArray
    low: FloatArray
    high: FloatArray
    at_risk: FloatArray
    censored: IntArray
    n: int
    events: int

    @property
    def median(self) -> float | None:
        """First time at which the share is 0.5 or less; None if it never is."""
        below = np.flatnonzero(self.survival <= 0.5)
        return float(self.time[below[0]]) if len(below) else None


def kaplan_meier(outcome: Survival, confidence: float = 0.95) -> KaplanMeier:
    """Kaplan-Meier curve with Greenwood's band on the log(-log) scale.

    Kaplan and Meier, JASA 53:457 (1958); Kalbfleisch and Prentice (1980) for the band.

    Args:
        outcome: From :func:`check_survival`, at least one patient.
        confidence: Of the pointwise band.

    Example:
        >>> curve = kaplan_meier(check_survival([1, 2, 3, 4], [1, 0, 1, 0]))
        >>> curve.survival.round(3).tolist(), curve.median
        ([1.0, 0.75, 0.75, 0.375, 0.375], 3.0)
    """
    # Imported late: it takes a second, and only the report draws curves.
    from lifelines import KaplanMeierFitter

    fitted = KaplanMeierFitter(alpha=1 - confidence).fit(outcome.time, outcome.event)
    table = fitted.event_table
    survival = fitted.survival_function_.to_numpy(np.float64)[:, 0]
    low, high = fitted.confidence_interval_.to_numpy(np.float64).T
    # Where nobody has died yet, or nobody is left, the share has no spread to estimate.
    known = (survival > 0) & (survival < 1)
    times = table.index.to_numpy(np.float64)
    return KaplanMeier(
        times,
        survival,
        np.where(known, low, survival),
        np.where(known, high, survival),
        numbers_at_risk(outcome.time, times),
        table["censored"].to_numpy(np.int64),
        len(outcome.time),
        int(outcome.event.sum()),
    )


def numbers_at_risk(time: FloatArray, at: FloatArray) -> FloatArray:
    """Patients whose follow-up reaches each of the times ``at``.

    Example:
        >>> numbers_at_risk(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 4.0])).tolist()
        [3.0, 2.0, 0.0]
    """
    return (len(time) - np.searchsorted(np.sort(time), at, side="left")).astype(np.float64)


class LogRank(NamedTuple):
    """Result of the log-rank test."""

    chi2: float
    p: float


def log_rank(outcome: Survival, group: npt.NDArray[Any]) -> LogRank | None:
    """Whether groups differ in survival.

    Mantel, Cancer Chemotherapy Reports 50:163 (1966), hypergeometric variance.

    Args:
        outcome: From :func:`check_survival`.
        group: ``(n,)`` labels.

    Returns:
        The statistic, chi-squared with one degree of freedom fewer than groups; None with a single
        group, or without an event that had anyone of another group at risk.

    Example:
        >>> outcome = check_survival([1, 2, 3, 4], [1, 1, 1, 1])
        >>> round(log_rank(outcome, np.array([1, 1, 0, 0])).chi2, 4)
        2.8824
    """
    from lifelines.statistics import multivariate_logrank_test

    time, event = outcome
    at = np.unique(time[event])
    held = np.stack([numbers_at_risk(time[group == name], at) for name in np.unique(group)])
    if not ((held > 0).sum(axis=0) > 1).any():
        return None
    found = multivariate_logrank_test(time, group, event)
    return LogRank(float(found.test_statistic), float(found.p_value))
