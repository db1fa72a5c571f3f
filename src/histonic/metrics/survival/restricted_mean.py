"""Restricted mean survival time: how long patients live without the event, up to a stated time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from histonic.core.errors import CohortError
from histonic.metrics.inference.intervals import NORMAL_REACH
from histonic.metrics.ranks import BoolArray
from histonic.metrics.survival.curves import numbers_at_risk
from histonic.metrics.survival.outcome import Survival


class RestrictedMean(NamedTuple):
    """A restricted mean, and the variance of its estimate."""

    value: float
    """In the unit of the outcome, at most the time that it is restricted to."""
    variance: float
    """Greenwood's, in the square of the unit; 0 without any event."""


def restricted_mean(outcome: Survival, until: float) -> RestrictedMean:
    """Area under the Kaplan-Meier curve from 0 to ``until``.

    Royston and Parmar, BMC Medical Research Methodology 13:152 (2013). The variance is that of the estimate
    (Klein and Moeschberger, Survival Analysis, 2003, section 4.5), not the spread of the patients' times.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`, at least one patient.
        until: Not beyond the last patient's follow-up, unless the curve has come to 0 by then.

    Raises:
        CohortError: The curve ends above 0 before ``until``.

    Example:
        >>> restricted_mean(Survival(np.array([1.0, 2.0, 3.0]), np.array([True, True, True])), 3.0).value
        2.0
    """
    at, deaths = np.unique(outcome.time[outcome.event & (outcome.time <= until)], return_counts=True)
    risk = numbers_at_risk(outcome.time, at)
    alive = np.concatenate([[1.0], np.cumprod(1 - deaths / risk)])
    last = float(outcome.time.max())
    if last < until and alive[-1] > 0:
        raise CohortError(
            f"Restricted mean survival time up to {until:g}.",
            f"No patient is followed beyond {last:g}, and not all had the event by then.",
            f"Ask for {last:g} at most.",
        )
    areas = alive * np.diff(np.concatenate([[0.0], at, [until]]))
    # Area after each event; with nobody left it is 0, and so is its part of the variance.
    after = np.cumsum(areas[::-1])[::-1][1:]
    left = risk - deaths
    parts = np.divide(after**2 * deaths, risk * left, out=np.zeros_like(after), where=left > 0)
    return RestrictedMean(float(areas.sum()), float(parts.sum()))


class RestrictedMeanDifference(NamedTuple):
    """Of two restricted means, in the unit of the outcome, with its 95 % interval."""

    value: float
    low: float
    high: float


def restricted_mean_difference(
    outcome: Survival, group: BoolArray, until: float, *, inflation: float = 1.0
) -> RestrictedMeanDifference:
    """Restricted mean of the patients outside ``group`` less that of those in it, with Wald's interval.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        group: ``(n,)``, patients of the group; some in it and some not.
        until: As for :func:`restricted_mean`, for both.
        inflation: Of the variance.

    Raises:
        CohortError: A curve ends above 0 before ``until``.

    Example:
        >>> outcome = Survival(np.array([1.0, 3.0, 4.0, 4.0]), np.array([True, True, False, False]))
        >>> restricted_mean_difference(outcome, np.array([True, True, False, False]), 4.0).value
        2.0
    """
    rest, own = (
        restricted_mean(Survival(outcome.time[chosen], outcome.event[chosen]), until)
        for chosen in (~group, group)
    )
    value = rest.value - own.value
    reach = NORMAL_REACH * float(np.sqrt(inflation * (rest.variance + own.variance)))
    return RestrictedMeanDifference(value, value - reach, value + reach)
