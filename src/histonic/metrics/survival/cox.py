"""Cox's model for a few columns by Newton's method, fast enough to be fitted to hundreds of drawn cohorts."""

from __future__ import annotations

import numpy as np

from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival.outcome import Survival

NEWTON_STEPS = 40
STEEPEST = 30.0
"""A coefficient beyond this, per standard deviation, means that the fit runs off to infinity."""


def cox_coefficients(outcome: Survival, covariates: FloatArray) -> FloatArray | None:
    """Log hazard ratios of some columns, by partial likelihood with Breslow's ties.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        covariates: ``(n, k)``, finite; best of unit spread.

    Returns:
        ``(k,)``; None without events, or where no finite coefficients are best.

    Example:
        >>> outcome = Survival(np.array([1.0, 2, 3, 4, 5]), np.array([True, True, True, False, True]))
        >>> found = cox_coefficients(outcome, np.array([[2.0], [0.0], [1.0], [-1.0], [0.5]]))
        >>> bool(found[0] > 0)
        True
    """
    if not outcome.event.any():
        return None
    order = np.argsort(-outcome.time, kind="stable")
    time, event, x = outcome.time[order], outcome.event[order], covariates[order]
    # Of each event the last place among those of its time: everyone up to it is at risk.
    last = np.searchsorted(-time, -time[event], side="right") - 1
    moved = x[event].sum(axis=0)
    products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    found = np.zeros(x.shape[1])
    step = np.full_like(found, np.inf)
    for _ in range(NEWTON_STEPS):
        log = x @ found
        weight = np.exp(log - log.max())[:, None]
        total = np.cumsum(weight, axis=0)[last]
        mean = np.cumsum(weight * x, axis=0)[last] / total
        square = (np.cumsum(weight * products, axis=0)[last] / total).sum(axis=0)
        information = square.reshape(x.shape[1], -1) - mean.T @ mean
        try:
            step = np.linalg.solve(information, moved - mean.sum(axis=0))
        except np.linalg.LinAlgError:
            return None
        found = found + np.clip(step, -2, 2)
        if not np.isfinite(found).all() or np.abs(found).max() > STEEPEST:
            return None
        if np.abs(step).max() < 1e-9:
            break
    return found if np.abs(step).max() < 1e-6 else None
