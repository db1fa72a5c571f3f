"""The Kaplan-Meier curve and the log-rank test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from histonic.metrics.ranks import FloatArray, IntArray, rows_of_groups
from histonic.metrics.survival.outcome import Survival


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


def kaplan_meier(outcome: Survival) -> KaplanMeier:
    """Kaplan-Meier curve with Greenwood's band on the log(-log) scale.

    Kaplan and Meier, JASA 53:457 (1958); Kalbfleisch and Prentice (1980) for the band.

    Args:
        outcome: From :func:`check_survival`, at least one patient.

    Example:
        >>> from histonic.metrics.survival.outcome import check_survival
        >>> curve = kaplan_meier(check_survival([1, 2, 3, 4], [1, 0, 1, 0]))
        >>> curve.survival.round(3).tolist(), curve.median
        ([1.0, 0.75, 0.75, 0.375, 0.375], 3.0)
    """
    # Imported late: it takes a second, and only the report draws curves.
    from lifelines import KaplanMeierFitter

    fitted = KaplanMeierFitter().fit(outcome.time, outcome.event)
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


def log_rank(
    outcome: Survival,
    group: npt.NDArray[Any],
    *,
    strata: npt.NDArray[Any] | None = None,
    inflation: float = 1.0,
) -> LogRank | None:
    """Whether groups differ in survival.

    Mantel, Cancer Chemotherapy Reports 50:163 (1966), hypergeometric variance.

    Args:
        outcome: From :func:`check_survival`.
        group: ``(n,)`` labels.
        strata: ``(n,)`` labels, such as folds: patients are compared within them, and the differences of
            observed and expected events added up.
        inflation: Of the variance, for p.

    Returns:
        The statistic before any inflation, chi-squared with one degree of freedom fewer than groups; None
        with a single group, or without an event that had anyone of another group at risk.

    Example:
        >>> from histonic.metrics.survival.outcome import check_survival
        >>> outcome = check_survival([1, 2, 3, 4], [1, 1, 1, 1])
        >>> round(log_rank(outcome, np.array([1, 1, 0, 0])).chi2, 4)
        2.8824
    """
    names = np.unique(group)
    excess, variance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for rows in rows_of_groups(strata, len(group)):
        here = Survival(outcome.time[rows], outcome.event[rows])
        one, more = _log_rank_parts(here, group[rows] == names[:, None])
        excess, variance = excess + one, variance + more
    # Groups that were never at risk beside another one say nothing.
    compared = np.flatnonzero(variance.diagonal() > 1e-12)[1:]
    if not len(compared):
        return None
    excess, variance = excess[compared], variance[np.ix_(compared, compared)]
    chi2 = float(excess @ np.linalg.solve(variance, excess))
    return LogRank(chi2, float(stats.chi2.sf(chi2 / inflation, len(compared))))


def _log_rank_parts(outcome: Survival, member: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Observed less expected events of each group of ``member`` ``(K, n)``, and their covariance."""
    time, event = outcome
    at = np.unique(time[event])
    risk, deaths = numbers_at_risk(time, at), _events_at(time[event], at)
    share = np.array([numbers_at_risk(time[chosen], at) for chosen in member]) / risk
    seen = np.array([_events_at(time[event & chosen], at) for chosen in member])
    weight = deaths * (risk - deaths) / np.maximum(risk - 1, 1)
    covariance = np.diag((weight * share).sum(axis=1)) - (weight * share) @ share.T
    return (seen - deaths * share).sum(axis=1), covariance


def _events_at(times: FloatArray, at: FloatArray) -> FloatArray:
    ordered = np.sort(times)
    return np.asarray(
        np.searchsorted(ordered, at, side="right") - np.searchsorted(ordered, at, side="left"), np.float64
    )
