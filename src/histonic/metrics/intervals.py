"""95 % intervals by resampling patients.

Patients are drawn with replacement, and all metrics see the same resamples, as rows of counts. The
ends are bias-corrected and accelerated (BCa), which covers the truth more evenly on both sides than
plain percentiles where a metric nears its best value (``benchmarks/interval_coverage.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from histonic.metrics.ranks import FloatArray

Statistic = Callable[[FloatArray], FloatArray]
"""Counts ``(B, n)`` to values ``(B,)``, NaN where undefined."""

CONFIDENCE = 0.95
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


def bca_interval(value: float, resampled: FloatArray, left_out: FloatArray) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval. Efron, JASA 82:171 (1987).

    Args:
        value: The statistic on all patients, finite.
        resampled: ``(B,)`` from :func:`bootstrap`; NaN are left aside.
        left_out: ``(G,)`` from :func:`leave_out`; NaN are left aside.

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
    # Ties with the value count half. The acceleration is at most 1/6, so that with the bias bounded
    # by 3.1 the denominator below stays positive.
    below = np.mean(values < value) + np.mean(values == value) / 2
    bias = special.ndtri(np.clip(below, 0.001, 0.999))
    reach = bias + special.ndtri(np.array([0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]))
    shares = special.ndtr(bias + reach / (1 - _acceleration(left_out) * reach))
    low, high = np.sort(np.quantile(values, shares))
    return Interval(float(low), float(high))


def _acceleration(left_out: FloatArray) -> float:
    """A sixth of the skewness of the patients' influence, as the jackknife sees it."""
    values = left_out[np.isfinite(left_out)]
    if not len(values) or np.ptp(values) == 0:
        return 0.0
    influence = values.mean() - values
    influence /= np.abs(influence).max()
    return float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))


def exact_bound(units: int) -> float:
    """Lower end of the exact 95 % interval of a share when all of ``units`` trials succeeded.

    Clopper and Pearson, Biometrika 26:404 (1934). Where every pair is right no resample can differ,
    and the bootstrap would report certainty.

    Example:
        >>> round(exact_bound(20), 3)
        0.832
    """
    return float((0.5 - CONFIDENCE / 2) ** (1 / max(units, 1)))
