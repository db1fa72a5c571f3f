"""Smooth calibration of predicted survival at one time: ICI, E50 and E90.

Austin, Harrell and van Klaveren, Statistics in Medicine 39:2714 (2020): a Cox model of the follow-up on a
restricted cubic spline of the complementary log-log of the predicted chance says which share had the event by
that time among patients with the same predicted chance. Knots as in
:mod:`histonic.metrics.calibration.smooth`.
"""

from __future__ import annotations

import numpy as np

from histonic.metrics.calibration.smooth import SmoothCalibration, SmoothErrors, distances, spline_basis
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival.censoring import baseline_hazard, still_followed
from histonic.metrics.survival.cox import cox_coefficients
from histonic.metrics.survival.outcome import Survival

FEWEST_EVENTS = 100
"""Below so many events by the time a curve shows noise, and there is none (Vergouwe et al., Journal of
Clinical Epidemiology 58:475, 2005; Collins et al., Statistics in Medicine 35:214, 2016)."""
LEAST_CHANCE = 1e-6
NOISE_DRAWS = 100
NOISE_SEED = 0
"""The noise is the same each time: it follows from the predictions and the follow-up alone."""


def log_hazards(chance: FloatArray) -> FloatArray:
    """Complementary log-log of chances, finite also for 0 and 1.

    Example:
        >>> log_hazards(np.array([1 - np.exp(-1.0)])).round(6).tolist()
        [0.0]
    """
    return np.asarray(np.log(-np.log1p(-np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE))))


def smooth_survival_calibration(
    outcome: Survival, chance: FloatArray, time: float
) -> SmoothCalibration | None:
    """Smooth calibration of the predicted chance of an event by one time.

    What noise makes of a perfect model is found by cohorts drawn from it: times that follow the predicted
    chances by hazards that do not change up to the time, ends of follow-up from the cohort's own.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        chance: ``(n,)`` predicted chance of an event by ``time``.
        time: In the unit of the outcome.

    Returns:
        None with fewer than :data:`FEWEST_EVENTS` events by then, with chances that do not vary, or where no
        curve fits best.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> chance = rng.uniform(0.1, 0.6, 800)
        >>> times = rng.exponential(-2 / np.log1p(-chance))
        >>> found = smooth_survival_calibration(Survival(times, np.ones(800, bool)), chance, 2.0)
        >>> bool(found.errors.ici < found.by_noise_most.ici)
        True
    """
    if int((outcome.event & (outcome.time <= time)).sum()) < FEWEST_EVENTS:
        return None
    log = log_hazards(chance)
    if float(np.ptp(log)) < 1e-9:
        return None
    # A Cox model has no intercept: its baseline is that.
    design = spline_basis(log)[:, 1:]
    observed = _share_by(outcome, design, time)
    if observed is None:
        return None
    rng = np.random.default_rng(NOISE_SEED)
    drawn = []
    for _ in range(NOISE_DRAWS):
        share = _share_by(_drawn_cohort(outcome, log, time, rng), design, time)
        if share is not None:
            drawn.append(distances(share[None], chance)[0])
    if not drawn:
        return None
    noise = np.array(drawn)
    return SmoothCalibration(
        observed,
        SmoothErrors(*distances(observed[None], chance)[0].tolist()),
        SmoothErrors(*noise.mean(axis=0).tolist()),
        SmoothErrors(*np.quantile(noise, 0.95, axis=0).tolist()),
    )


def _share_by(outcome: Survival, design: FloatArray, time: float) -> FloatArray | None:
    """Share with the event by ``time`` at each patient's place on the spline, ``(n,)``."""
    # Follow-up ends at that time: later hazards need not be proportional to say what came before.
    ended = Survival(np.minimum(outcome.time, time), outcome.event & (outcome.time <= time))
    found = cox_coefficients(ended, design)
    if found is None:
        return None
    log = design @ found
    hazard = float(baseline_hazard(ended, log, np.array([time]))[0])
    return np.asarray(-np.expm1(-hazard * np.exp(log)))


def _drawn_cohort(outcome: Survival, log: FloatArray, time: float, rng: np.random.Generator) -> Survival:
    """As many patients of a perfect model, their follow-up ending as in this cohort."""
    comes = rng.exponential(time / np.exp(log))
    moments = np.unique(outcome.time)
    followed = still_followed(outcome, moments)
    # By inversion of the curve; who is followed to its end ends after the time that counts.
    place = np.searchsorted(-followed, -rng.random(len(log)), side="left")
    ends = np.append(moments, np.inf)[place]
    return Survival(np.minimum(np.minimum(comes, ends), 1e12), comes <= ends)
