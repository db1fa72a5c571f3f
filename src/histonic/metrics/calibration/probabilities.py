"""Whether predicted chances come true: intercept, slope and error of calibration.

``counts`` are those of :mod:`histonic.metrics.discrimination.labels`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from histonic.metrics.inference.intervals import CONFIDENCE, NORMAL_REACH, Interval
from histonic.metrics.ranks import BoolArray, FloatArray, IntArray, as_counts, ratio
from histonic.metrics.survival.censoring import still_alive
from histonic.metrics.survival.outcome import Survival

LEAST_CHANCE = 1e-6
"""Chances nearer to 0 or 1 are taken as this far from it: their logit would be infinite."""
NEWTON_STEPS = 30
STEEPEST = 50.0
"""A slope beyond this, per standard deviation of the logits, means that a resample is separated."""
ERROR_TAIL = 0.0175
"""Of the calibration error, to either side. With 2.5 % the interval held the truth in 93 of 100 cohorts: the
differences that are scaled hold noise of their own (``benchmarks/interval_coverage.py``)."""
NOISE_DRAWS = 4000
NOISE_SEED = 0
"""The noise is the same each time: the interval follows from the predictions alone."""


def logits(probability: FloatArray) -> FloatArray:
    """Log odds of chances, finite also for 0 and 1.

    Example:
        >>> logits(np.array([0.5, 0.0])).round(2).tolist()
        [0.0, -13.82]
    """
    return np.asarray(special.logit(np.clip(probability, LEAST_CHANCE, 1 - LEAST_CHANCE)))


def calibration_slope(
    positive: BoolArray, probability: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Slope of the logistic regression of truth on the logit of the predicted chance.

    1 is right; below 1 the chances are too extreme, above 1 too timid. Cox, Biometrika 45:562 (1958).

    Args:
        positive: ``(n,)`` bool.
        probability: ``(n,)`` in [0, 1].
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        One value per row of counts; NaN if the chances do not vary or separate the classes.

    Example:
        >>> positive = np.array([False, False, True, False, True, True])
        >>> chance = np.array([0.2, 0.4, 0.4, 0.6, 0.6, 0.8])
        >>> bool(calibration_slope(positive, chance) > 1)
        True
    """
    x = logits(probability)
    spread = float(x.std())
    drawn = as_counts(counts, len(x))
    if spread < 1e-9:
        return np.full(drawn.shape[:-1], np.nan)[()]
    scaled = (x - x.mean()) / spread
    return np.asarray(_logistic_line(positive, scaled, np.atleast_2d(drawn)) / spread).reshape(
        drawn.shape[:-1]
    )[()]


def _logistic_line(positive: BoolArray, x: FloatArray, drawn: FloatArray) -> FloatArray:
    """Slope ``(B,)`` of truth on x by Newton's method, all resamples at once; NaN without convergence."""
    total = drawn.sum(axis=-1)
    mean = np.clip((drawn @ positive) / total, 1e-9, 1 - 1e-9)
    intercept, slope = special.logit(mean), np.zeros(len(drawn))
    step = np.full(len(drawn), np.inf)
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            chance = special.expit(intercept[:, None] + slope[:, None] * x)
            weight = drawn * chance * (1 - chance)
            missed = drawn * (positive - chance)
            ones, first, second = weight.sum(-1), weight @ x, weight @ (x * x)
            up, along = missed.sum(-1), missed @ x
            volume = ones * second - first**2
            step = (ones * along - first * up) / volume
            intercept = intercept + np.clip((second * up - first * along) / volume, -4, 4)
            slope = slope + np.clip(step, -4, 4)
            if np.all((np.abs(step) < 1e-9) | ~np.isfinite(step)):
                break
        found = (np.abs(step) < 1e-6) & (np.abs(slope) < STEEPEST)
    return np.where(found, slope, np.nan)


def calibration_intercept(
    positive: BoolArray, probability: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Shift of the log odds that makes as many positives expected as there are.

    0 is right; below 0 the model promises too much, above 0 too little. The slope is held at 1
    (calibration in the large).

    Args:
        positive: ``(n,)`` bool.
        probability: ``(n,)`` in [0, 1].
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        One value per row of counts; NaN if a class is absent.

    Example:
        >>> found = calibration_intercept(np.array([True, True, True, False]), np.full(4, 0.5))
        >>> round(float(found), 4) == round(float(np.log(3)), 4)
        True
    """
    x = logits(probability)
    drawn = as_counts(counts, len(x))
    rows = np.atleast_2d(drawn)
    events, total = rows @ positive, rows.sum(axis=-1)
    shift = np.zeros(len(rows))
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            chance = special.expit(shift[:, None] + x)
            step = (events - (rows * chance).sum(-1)) / (rows * chance * (1 - chance)).sum(-1)
            shift = shift + np.clip(step, -3, 3)
            if np.all((np.abs(step) < 1e-10) | ~np.isfinite(step)):
                break
    shift = np.where((events > 0) & (events < total), shift, np.nan)
    return shift.reshape(drawn.shape[:-1])[()]


class CalibrationError(NamedTuple):
    """Expected calibration error with its interval, and what a perfect model would show."""

    value: float
    interval: Interval
    by_noise: float
    """Mean error that a perfectly calibrated model of as many patients would show."""


def calibration_error(positive: BoolArray, probability: FloatArray, bins: int = 5) -> CalibrationError:
    """Mean distance of predicted chance and observed share, over groups of equally many patients.

    Naeini, Cooper and Hauskrecht, AAAI 29 (2015), here with equally filled groups. Noise makes the error
    of a perfect model positive, and resampling adds more of it; the interval is therefore found by
    inversion: it holds the errors c times those seen in the groups, 0 included, that with binomial noise
    would show an error as large as the observed one neither too rarely nor too often.

    Args:
        positive: ``(n,)`` bool.
        probability: ``(n,)`` in [0, 1].
        bins: Groups at most.

    Example:
        >>> chance = np.repeat([0.25, 0.75], 8)
        >>> positive = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0]) == 1
        >>> found = calibration_error(positive, chance)
        >>> found.value, found.interval.low
        (0.0, 0.0)
    """
    groups = calibration_bins(positive.astype(np.float64), probability, bins)
    share = groups.patients / len(positive)
    seen = groups.observed - groups.predicted
    value = float(share @ np.abs(seen))
    # Half a patient of each kind more, so that a group without any is not taken as certain.
    smooth = (groups.observed * groups.patients + 0.5) / (groups.patients + 1)
    # Student's t, because the noise itself is estimated from the few patients of a group.
    freedom = np.maximum(groups.patients - 1, 2)
    wider = stats.t.ppf(0.5 + CONFIDENCE / 2, freedom) / NORMAL_REACH
    noise = wider * np.sqrt(smooth * (1 - smooth) / freedom)
    draws = np.random.default_rng(NOISE_SEED).normal(size=(NOISE_DRAWS, len(share))) * noise
    expected = groups.predicted * (1 - groups.predicted) / groups.patients
    by_noise = float(share @ np.sqrt(2 / np.pi * expected))
    if value == 0:
        return CalibrationError(0.0, Interval(0.0, float(np.quantile(np.abs(draws) @ share, 0.95))), by_noise)
    factors = np.linspace(0, 4, 161)
    tails = np.array([ERROR_TAIL, 1 - ERROR_TAIL])
    ends = np.array([np.quantile(np.abs(factor * seen + draws) @ share, tails) for factor in factors])
    low = float(np.interp(value, np.maximum.accumulate(ends[:, 1]), factors))
    high = float(np.interp(value, np.maximum.accumulate(ends[:, 0]), factors))
    # Noise alone may show more than any error that is likely; the value itself stays inside.
    return CalibrationError(value, Interval(min(1.0, low) * value, max(1.0, high) * value), by_noise)


def observed_to_expected(
    outcome: Survival, chance: FloatArray, time: float, counts: FloatArray | None = None
) -> FloatArray:
    """Share of patients with an event by ``time`` (Kaplan-Meier), over the mean predicted chance of it.

    1 is right; above 1 there were more events than promised.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        chance: ``(n,)`` predicted chance of an event by ``time``.
        time: In the unit of the outcome.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        One value per row of counts.

    Example:
        >>> outcome = Survival(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, True, True]))
        >>> float(observed_to_expected(outcome, np.full(4, 0.25), 2.0))
        2.0
    """
    drawn = as_counts(counts, len(chance))
    observed = 1 - still_alive(outcome, np.array([time]), drawn)[..., 0]
    return ratio(observed, ratio(drawn @ chance, drawn.sum(-1)))


class CalibrationBins(NamedTuple):
    """Patients in bins of rising prediction; all ``(bins,)``."""

    predicted: FloatArray
    """Mean prediction."""
    observed: FloatArray
    """Mean truth: the share of positives, or the mean value."""
    patients: IntArray
    """How many."""


def calibration_bins(truth: FloatArray, predicted: FloatArray, bins: int = 5) -> CalibrationBins:
    """Mean truth against mean prediction in bins that hold equally many patients.

    Args:
        truth: ``(n,)`` 0/1 of a class, or values.
        predicted: ``(n,)`` probabilities, or values in the same unit.
        bins: At most so many; equal predictions share a bin.

    Example:
        >>> bins = calibration_bins(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.3, 0.6, 0.8]), bins=2)
        >>> bins.observed.tolist(), bins.patients.tolist()
        ([0.0, 1.0], [2, 2])
    """
    cuts = np.quantile(predicted, np.arange(1, bins) / bins)
    _, of = np.unique(np.searchsorted(cuts, predicted, side="left"), return_inverse=True)
    count = np.bincount(of)
    return CalibrationBins(
        np.bincount(of, weights=predicted) / count, np.bincount(of, weights=truth) / count, count
    )
