"""Survival measures that allow for censoring by weights: Uno's C, AUC at a time, Brier score.

Each patient who is followed to the end stands for those who were lost before: the weights are the inverse
of the chance of still being followed, estimated from the same patients. ``time``, ``event`` and ``risk`` are
as in :mod:`histonic.metrics.survival.concordance`.
"""

from __future__ import annotations

import numpy as np

from histonic.metrics.ranks import BoolArray, FloatArray, Levels, as_counts, ratio
from histonic.metrics.survival.concordance import weighted_concordance
from histonic.metrics.survival.outcome import Survival


def still_followed(outcome: Survival, at: FloatArray, counts: FloatArray | None = None) -> FloatArray:
    """Kaplan-Meier estimate of the chance of not being censored up to and with each of the times ``at``.

    Patients with an event leave before those who are censored at the same time.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        at: ``(T,)`` times.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        ``(T,)`` or ``(B, T)``.

    Example:
        >>> outcome = Survival(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]))
        >>> still_followed(outcome, np.array([1.0, 2.0])).tolist()
        [1.0, 0.5]
    """
    return _product_limit(outcome, ~outcome.event, at, as_counts(counts, len(outcome.time)), later=True)


def still_alive(outcome: Survival, at: FloatArray, counts: FloatArray | None = None) -> FloatArray:
    """Kaplan-Meier estimate of the chance of no event up to and with each of the times ``at``.

    Arguments and shapes are those of :func:`still_followed`.
    """
    return _product_limit(outcome, outcome.event, at, as_counts(counts, len(outcome.time)), later=False)


def _product_limit(
    outcome: Survival, leaves: BoolArray, at: FloatArray, drawn: FloatArray, *, later: bool
) -> FloatArray:
    """The product over times of 1 - left / at risk; ``later``: others who go at that time go first."""
    levels = Levels(outcome.time)
    total, left = levels.totals(drawn), levels.totals(drawn * leaves)
    at_risk = np.flip(np.cumsum(np.flip(total, -1), axis=-1), -1)
    if later:
        at_risk = at_risk - (total - left)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(left > 0, 1 - left / at_risk, 1.0)
    curve = np.cumprod(share, axis=-1)
    begun = np.concatenate([np.ones((*curve.shape[:-1], 1)), curve], axis=-1)
    return np.asarray(begun[..., np.searchsorted(levels.values, at, side="right")])


def _weights(outcome: Survival, drawn: FloatArray) -> FloatArray:
    """``(n,)`` or ``(B, n)``: 1 / chance of still being followed for events, 0 for censored patients."""
    followed = still_followed(outcome, outcome.time, drawn)
    return np.where(outcome.event & (followed > 0), 1 / np.where(followed > 0, followed, 1), 0.0)


def uno_concordance(
    outcome: Survival, risk: FloatArray, counts: FloatArray | None = None, *, until: float = np.inf
) -> FloatArray:
    """Uno's C: Harrell's, with pairs weighted so that the censoring of the cohort does not shift it.

    Uno et al., Statistics in Medicine 30:1105 (2011).

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        risk: ``(n,)``, finite; higher = earlier event.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.
        until: Only events before this time count; best where some are still followed.

    Returns:
        One value per row of counts, in [0, 1]; chance 0.5; NaN if no pair counts.

    Example:
        >>> outcome = Survival(np.array([1.0, 2, 3, 4]), np.array([True, False, True, False]))
        >>> round(float(uno_concordance(outcome, np.array([4.0, 3.0, 1.0, 2.0]))), 3)
        0.571
    """
    drawn = as_counts(counts, len(risk))
    events = np.flatnonzero(outcome.event & (outcome.time < until))
    return weighted_concordance(outcome, risk, events, drawn * _weights(outcome, drawn) ** 2, drawn)


def auc_at(
    outcome: Survival, risk: FloatArray, times: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Chance that a patient with an event by time t has a higher risk than one without: for each t.

    Cumulative cases, dynamic controls; Uno et al., JASA 102:527 (2007), Hung and Chiang, Canadian Journal of
    Statistics 38:8 (2010). Equal risks count half.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        risk: ``(n,)``, finite; higher = earlier event.
        times: ``(T,)``.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        ``(T,)`` or ``(B, T)``; NaN where all or none have had an event.

    Example:
        >>> outcome = Survival(np.array([1.0, 2, 3, 4]), np.array([True, True, True, True]))
        >>> auc_at(outcome, np.array([4.0, 2.0, 3.0, 1.0]), np.array([1.0, 2.0])).tolist()
        [1.0, 0.75]
    """
    drawn = as_counts(counts, len(risk))
    weight, levels = drawn * _weights(outcome, drawn), Levels(risk)
    found = []
    for time in times:
        cases = levels.totals(weight * (outcome.time <= time))
        controls = levels.totals(drawn * (outcome.time > time))
        lower = np.cumsum(controls, axis=-1) - controls / 2
        found.append(ratio((cases * lower).sum(-1), cases.sum(-1) * controls.sum(-1)))
    return np.stack(found, axis=-1)


def mean_auc(
    outcome: Survival, risk: FloatArray, times: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Mean of :func:`auc_at` over rising ``times``, each weighted by the share of events since the last.

    Lambert and Chevret, Statistical Methods in Medical Research 25:2088 (2016).

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        risk: ``(n,)``, finite; higher = earlier event.
        times: ``(T,)``, rising.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        One value per row of counts, in [0, 1]; chance 0.5; NaN without an event.
    """
    alive = still_alive(outcome, times, counts)
    steps = -np.diff(np.concatenate([np.ones((*alive.shape[:-1], 1)), alive], axis=-1), axis=-1)
    weighted = np.where(steps > 0, auc_at(outcome, risk, times, counts), 0) * steps
    return ratio(weighted.sum(-1), 1 - alive[..., -1])


def brier_at(
    outcome: Survival, alive: FloatArray, times: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Squared error of predicted survival at each time; Graf et al., Statistics in Medicine 18:2529 (1999).

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        alive: ``(n, T)`` predicted chance of no event up to each time.
        times: ``(T,)``.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        ``(T,)`` or ``(B, T)``; 0 is perfect, 0.25 is that of 'a half' for everyone.

    Example:
        >>> outcome = Survival(np.array([1.0, 3.0]), np.array([True, True]))
        >>> brier_at(outcome, np.full((2, 1), 0.5), np.array([2.0])).tolist()
        [0.25]
    """
    drawn = as_counts(counts, len(outcome.time))
    weight = drawn * _weights(outcome, drawn)
    followed = still_followed(outcome, times, drawn)
    found = []
    for number, time in enumerate(times):
        gone, there = outcome.time <= time, outcome.time > time
        late = followed[..., number]
        error = (weight * gone) @ alive[:, number] ** 2
        error = error + np.where(late > 0, 1 / np.where(late > 0, late, 1), 0) * (
            (drawn * there) @ (1 - alive[:, number]) ** 2
        )
        found.append(error / drawn.sum(-1))
    return np.stack(found, axis=-1)


def integrated_brier(
    outcome: Survival, alive: FloatArray, times: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Mean of :func:`brier_at` over the span of rising ``times``, two or more, by the trapezoidal rule.

    Arguments are those of :func:`brier_at`.

    Returns:
        One value per row of counts; 0 is perfect.
    """
    scores = brier_at(outcome, alive, times, counts)
    return np.asarray(np.trapezoid(scores, times, axis=-1) / (times[-1] - times[0]))


def baseline_hazard(outcome: Survival, risk: FloatArray, times: FloatArray) -> FloatArray:
    """Breslow's cumulative hazard of a patient of risk 0, where ``risk`` is a log hazard ratio.

    With it, ``exp(-baseline_hazard * exp(risk))`` is the chance of no event. Breslow, JRSS B 34:216 (1972).

    Args:
        outcome: Of the patients that the model was fitted to.
        risk: ``(n,)`` their log hazard ratios.
        times: ``(T,)``.

    Returns:
        ``(T,)``, rising; constant after the last event.

    Example:
        >>> outcome = Survival(np.array([1.0, 2.0]), np.array([True, True]))
        >>> baseline_hazard(outcome, np.zeros(2), np.array([0.5, 1.0, 3.0])).tolist()
        [0.0, 0.5, 1.5]
    """
    levels = Levels(outcome.time)
    at_risk = np.flip(np.cumsum(np.flip(levels.totals(np.exp(risk)))))
    steps = levels.totals(outcome.event.astype(np.float64)) / at_risk
    total = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(total[np.searchsorted(levels.values, times, side="right")])
