"""Hazard ratios: Cox's proportional hazards, for one number a patient and for tables of covariates."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from histonic.metrics.ranks import FloatArray, Levels
from histonic.metrics.survival.outcome import Survival

NEWTON_STEPS = 40
STEEPEST = 30.0
"""A log hazard ratio beyond this, per standard deviation, means that the fit runs off to infinity."""
PENALTY = 0.01
"""Ridge penalty of models that predict, per patient; keeps rare categories finite."""

FULLY = {"precision": 1e-10, "r_precision": 1e-13}
"""By default lifelines stops up to 1e-4 before the best log hazard ratio."""


class HazardRatio(NamedTuple):
    """How many times as often events come, with the 95 % interval and p of Wald."""

    value: float
    low: float
    high: float
    p: float


def log_hazard_slope(outcome: Survival, risk: FloatArray) -> float:
    """Log hazard ratio per unit of ``risk``, by partial likelihood with Breslow's ties.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        risk: ``(n,)``, finite.

    Returns:
        The slope; 0 without events or without differences in risk; NaN if the risk alone orders all
        events, for then no finite slope is best.

    Example:
        >>> outcome = Survival(np.array([1.0, 2, 3, 4, 5]), np.array([True, True, True, False, True]))
        >>> slope = log_hazard_slope(outcome, np.array([2.0, 0.0, 1.0, -1.0, 0.5]))
        >>> bool(slope > 0)
        True
    """
    spread = float(risk.std())
    if spread < 1e-12 or not outcome.event.any():
        return 0.0
    x = (risk - risk.mean()) / spread
    levels = Levels(outcome.time)
    deaths = levels.totals(outcome.event.astype(np.float64))
    moved = levels.totals(outcome.event * x)
    slope = 0.0
    for _ in range(NEWTON_STEPS):
        weight = np.exp(slope * x)
        parts = [np.flip(np.cumsum(np.flip(levels.totals(weight * x**k)))) for k in range(3)]
        mean = parts[1] / parts[0]
        curvature = float(np.sum(deaths * (parts[2] / parts[0] - mean**2)))
        if curvature <= 1e-12:
            return float("nan")
        step = float(np.sum(moved - deaths * mean)) / curvature
        slope += float(np.clip(step, -2, 2))
        if abs(slope) > STEEPEST:
            return float("nan")
        if abs(step) < 1e-10:
            break
    return slope / spread


def hazard_ratio(
    outcome: Survival,
    covariate: FloatArray,
    *,
    strata: npt.NDArray[Any] | None = None,
    inflation: float = 1.0,
) -> HazardRatio | None:
    """Hazard ratio per unit of one covariate, such as 1 for high and 0 for low risk.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        covariate: ``(n,)``, finite.
        strata: ``(n,)`` labels, such as folds: each has a baseline hazard of its own.
        inflation: Of the variance of the log ratio, for interval and p.

    Returns:
        The ratio; None if it is not finite: a group without events, or no differences.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> risk = rng.normal(size=200)
        >>> outcome = Survival(rng.exponential(np.exp(-risk)), np.ones(200, bool))
        >>> found = hazard_ratio(outcome, risk)
        >>> found.low < np.e < found.high
        True
    """
    fitted = fit_cox(outcome, pd.DataFrame({"x": covariate}), penalty=0.0, strata=strata)
    if fitted is None:
        return None
    log = float(fitted.params_["x"])
    error = float(np.sqrt(inflation) * fitted.standard_errors_["x"])
    if not np.isfinite([log, error]).all() or not 0 < error < STEEPEST:
        return None
    low, high = np.exp(log + float(stats.norm.ppf(0.975)) * error * np.array([-1.0, 1.0]))
    found = HazardRatio(
        float(np.exp(log)), float(low), float(high), float(2 * stats.norm.sf(abs(log) / error))
    )
    return found if np.isfinite(found).all() else None


def fit_cox(  # type: ignore[no-untyped-def]
    outcome: Survival,
    table: pd.DataFrame,
    *,
    penalty: float = PENALTY,
    strata: npt.NDArray[Any] | None = None,
):
    """Cox model by lifelines, ties after Efron.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        table: One row a patient, numbers only.
        penalty: Of the squared coefficients.
        strata: ``(n,)`` labels: each has a baseline hazard of its own.

    Returns:
        A ``lifelines.CoxPHFitter``; None if it does not converge.
    """
    # Imported late: it takes a second.
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    frame = table.assign(_time=outcome.time, _event=outcome.event)
    if strata is not None:
        # A stratum without an event adds nothing, and lifelines stumbles over it.
        number = np.unique(strata, return_inverse=True)[1]
        frame = frame.assign(_stratum=number)[np.isin(number, number[outcome.event])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            apart = None if strata is None else ["_stratum"]
            fitter = CoxPHFitter(penalizer=penalty, strata=apart)
            return fitter.fit(frame, "_time", "_event", fit_options=FULLY)
        except (ConvergenceError, ConvergenceWarning, np.linalg.LinAlgError, ValueError, ZeroDivisionError):
            return None


class LikelihoodRatio(NamedTuple):
    """Test whether covariates add to a model that is nested in the larger one."""

    statistic: float
    degrees: int
    p: float


def likelihood_ratio(without: float, with_: float, degrees: int) -> LikelihoodRatio:
    """Twice the gain in log likelihood, as chi-squared. Wilks, Annals of Mathematical Statistics 9:60 (1938).

    Args:
        without: Log likelihood of the smaller model.
        with_: Of the larger one.
        degrees: Coefficients that it has more.

    Example:
        >>> round(likelihood_ratio(-100.0, -98.08, 1).p, 3)
        0.05
    """
    statistic = max(0.0, 2 * (with_ - without))
    return LikelihoodRatio(statistic, degrees, float(stats.chi2.sf(statistic, degrees)))
