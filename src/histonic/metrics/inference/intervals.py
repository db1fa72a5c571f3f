"""95 % intervals by resampling patients.

Patients are drawn with replacement, and all metrics see the same resamples, as rows of counts. The
ends are bias-corrected and accelerated (BCa), which covers the truth more evenly on both sides than
plain percentiles where a metric nears its best value. Correlations and precisions take the jackknife's
error on a scale of their own instead, and differences of two of them as it is. Both reach further than 1.96
errors where the error itself rests on few patients, see :func:`reach_of`;
``benchmarks/interval_coverage.py`` measures what this gains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special, stats

from histonic.metrics.ranks import FloatArray

Statistic = Callable[[FloatArray], FloatArray]
"""Counts ``(B, n)`` to values ``(B,)``, NaN where undefined."""

Scale = Literal["logit", "fisher", "linear"]
"""``logit`` for shares in (0, 1), ``fisher`` (inverse hyperbolic tangent) for correlations in (-1, 1),
``linear`` for differences of these."""

FORWARD: dict[Scale, Callable[[Any], Any]] = {
    "logit": special.logit, "fisher": np.arctanh, "linear": np.asarray
}  # fmt: skip
BACK: dict[Scale, Callable[[Any], Any]] = {
    "logit": special.expit, "fisher": np.tanh, "linear": np.asarray
}  # fmt: skip
CONFIDENCE = 0.95
NORMAL_REACH = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
COUNTS_AT_ONCE = 2**20
"""Counts held in memory at a time (8 MiB)."""
JACKKNIFE_GROUPS = 500
"""Patients are left out in so many groups at most; one by one if there are fewer."""


def bootstrap(
    statistics: Sequence[Statistic], n: int, resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Values of all statistics on the same resamples of ``n`` patients.

    Args:
        statistics: Functions of counts ``(B, n)``.
        n: Number of patients.
        resamples: How often ``n`` patients are drawn with replacement.
        rng: The only source of randomness.

    Returns:
        ``(statistics, resamples)``, NaN where a statistic is undefined on a resample.

    Example:
        >>> ages = np.array([40.0, 50.0, 60.0])
        >>> means = bootstrap([lambda counts: counts @ ages / 3], 3, 500, np.random.default_rng(0))
        >>> means.shape, bool(40 <= means.min() and means.max() <= 60)
        ((1, 500), True)
    """
    step = max(1, COUNTS_AT_ONCE // n)
    parts = []
    for start in range(0, resamples, step):
        counts = _draw_counts(n, min(step, resamples - start), rng)
        parts.append(np.stack([statistic(counts) for statistic in statistics]))
    return np.concatenate(parts, axis=1)


def _draw_counts(n: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """``(resamples, n)``: how often each patient was drawn; rows sum to ``n``."""
    cell = rng.integers(0, n, (resamples, n)) + n * np.arange(resamples)[:, None]
    drawn = np.bincount(cell.ravel(), minlength=resamples * n)
    return drawn.reshape(resamples, n).astype(np.float64)


def leave_out(statistics: Sequence[Statistic], n: int) -> FloatArray:
    """Values of all statistics with each patient left out, or each of 500 groups if there are more.

    Returns:
        ``(statistics, G)``, G the smaller of ``n`` and :data:`JACKKNIFE_GROUPS`.
    """
    groups = min(n, JACKKNIFE_GROUPS)
    group = np.arange(n) % groups
    step = max(1, COUNTS_AT_ONCE // n)
    parts = []
    for start in range(0, groups, step):
        names = np.arange(start, min(start + step, groups))
        counts = (group != names[:, None]).astype(np.float64)
        parts.append(np.stack([statistic(counts) for statistic in statistics]))
    return np.concatenate(parts, axis=1)


class Interval(NamedTuple):
    """Ends of an interval, ``low <= high``."""

    low: float
    high: float


def reach_of(left_out: FloatArray) -> float:
    """How many standard errors the interval reaches: 1.96, or more if few patients make up the error.

    The variance is a mean of squared influences. If a few patients have most of it, it is as uncertain as
    one from a small sample: with kurtosis k of the influences, as one with 2 G / (k - 1) degrees of freedom
    (moments of a chi-squared; Satterthwaite, Biometrics Bulletin 2:110, 1946), at most G - 1.

    Args:
        left_out: ``(G,)`` from :func:`leave_out`; NaN are left aside.

    Example:
        >>> round(reach_of(np.linspace(0, 1, 1000)), 2), reach_of(np.append(np.zeros(9), 1.0)) > 3
        (1.96, True)
    """
    values = left_out[np.isfinite(left_out)]
    if len(values) < 3 or np.ptp(values) == 0:
        return NORMAL_REACH
    centred = (values - values.mean()) / np.ptp(values)
    kurtosis = float(np.mean(centred**4) / np.mean(centred**2) ** 2)
    freedom = max(2.0, min(len(values) - 1, 2 * len(values) / max(kurtosis - 1, 1e-9)))
    return float(np.sqrt(len(values) / (len(values) - 1)) * stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))


def bca_interval(
    value: float, resampled: FloatArray, left_out: FloatArray, reach: float = NORMAL_REACH
) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval. Efron, JASA 82:171 (1987).

    Args:
        value: The statistic on all patients, finite.
        resampled: ``(B,)`` from :func:`bootstrap`; NaN are left aside.
        left_out: ``(G,)`` from :func:`leave_out`; NaN are left aside.
        reach: Standard errors to either side; :func:`reach_of` for one that minds few patients.

    Returns:
        The interval; None if no resample has a value.

    Example:
        >>> resampled = np.random.default_rng(0).normal(0.7, 0.05, 2000)
        >>> low, high = bca_interval(0.7, resampled, np.array([0.69, 0.7, 0.71]))
        >>> round(low, 1), round(high, 1)
        (0.6, 0.8)
    """
    values = resampled[np.isfinite(resampled)]
    if not len(values):
        return None
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]))
    # Ties with the value count half. The acceleration is at most 1/6, so that the denominator below
    # stays positive for a bias bounded by 3.1 and an ordinary reach; a longer one stops at the last resample.
    below = np.mean(values < value) + np.mean(values == value) / 2
    bias = special.ndtri(np.clip(below, 0.001, 0.999))
    ends = bias + reach * np.array([-1.0, 1.0])
    stretch = 1 - _acceleration(left_out) * ends
    shares = np.where(stretch > 0, special.ndtr(bias + ends / np.where(stretch > 0, stretch, 1)), ends > 0)
    low, high = np.sort(np.quantile(values, shares))
    return Interval(float(low), float(high))


def jackknife_interval(value: float, left_out: FloatArray, scale: Scale) -> Interval | None:
    """Value plus and minus the jackknife's standard errors on a scale where they are alike everywhere.

    Efron and Stein, Annals of Statistics 9:586 (1981) for the error; :func:`reach_of` says how many.

    Args:
        value: The statistic on all patients.
        left_out: ``(G,)`` from :func:`leave_out`; NaN are left aside.
        scale: Where the interval is symmetric.

    Returns:
        The interval; None where a value lies at an end of the scale, which has no error there.

    Example:
        >>> low, high = jackknife_interval(0.5, np.linspace(0.49, 0.51, 100), "fisher")
        >>> round(low, 2), round(high, 2)
        (0.38, 0.61)
    """
    values = left_out[np.isfinite(left_out)]
    with np.errstate(all="ignore"):
        moved, middle = FORWARD[scale](values), float(FORWARD[scale](value))
    if len(values) < 3 or not (np.isfinite(moved).all() and np.isfinite(middle)):
        return None
    error = np.sqrt((len(moved) - 1) * np.mean((moved - moved.mean()) ** 2))
    ends = middle + reach_of(moved) * error * np.array([-1.0, 1.0])
    low, high = BACK[scale](ends)
    return Interval(float(low), float(high))


def _acceleration(left_out: FloatArray) -> float:
    """A sixth of the skewness of the patients' influence, as the jackknife sees it."""
    values = left_out[np.isfinite(left_out)]
    if not len(values) or np.ptp(values) == 0:
        return 0.0
    influence = values.mean() - values
    influence /= np.abs(influence).max()
    return float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))


def percentile_band(resampled: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pointwise 95 % band of a curve, by percentiles.

    Args:
        resampled: ``(B, points)``; NaN are left aside.

    Returns:
        Lower and upper ends ``(points,)``; NaN where no resample has a value.
    """
    kept = np.where(np.isfinite(resampled), resampled, np.nan)
    ends = np.full((2, kept.shape[1]), np.nan)
    some = np.isfinite(kept).any(axis=0)
    ends[:, some] = np.nanquantile(kept[:, some], [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2], axis=0)
    return ends[0], ends[1]


def exact_bound(units: int) -> float:
    """Lower end of the exact 95 % interval of a share when all of ``units`` trials succeeded.

    Clopper and Pearson, Biometrika 26:404 (1934). Where every pair is right no resample can differ,
    and the bootstrap would report certainty.

    Example:
        >>> round(exact_bound(20), 3)
        0.832
    """
    return float((0.5 - CONFIDENCE / 2) ** (1 / max(units, 1)))
