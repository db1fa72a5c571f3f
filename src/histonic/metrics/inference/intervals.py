"""95 % intervals by resampling patients.

Patients are drawn with replacement, and all metrics see the same resamples, as rows of counts. The
ends are bias-corrected and accelerated (BCa), which covers the truth more evenly on both sides than
plain percentiles where a metric nears its best value. Correlations and precisions take the jackknife's
error on a scale of their own instead, and differences of two of them as it is. Both reach further than 1.96
errors where the error itself rests on few patients, see :func:`reach_of`;
``benchmarks/interval_coverage.py`` measures what this gains.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from histonic.metrics.ranks import FloatArray, rows_of_groups

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
SMALLEST_STRATUM = 5
"""Patients of a fold that is resampled by itself."""
JACKKNIFE_GROUPS = 500
"""Patients are left out in so many groups at most; one by one if there are fewer."""


def resampling_strata(fold: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Number of the stratum in which each patient is resampled: the folds, those of few patients in one.

    Args:
        fold: ``(n,)`` labels.

    Returns:
        ``(n,)``; folds of fewer than :data:`SMALLEST_STRATUM` patients, in which resamples hardly differ,
        form a stratum of their own together, with the smallest other one if they are still too few.

    Example:
        >>> resampling_strata(np.repeat([0, 1, 2, 3], [9, 8, 3, 4])).tolist() == [0] * 9 + [1] * 8 + [2] * 7
        True
    """
    _, of = np.unique(fold, return_inverse=True)
    sizes = np.bincount(of)
    few = sizes < SMALLEST_STRATUM
    if sizes[few].sum() < SMALLEST_STRATUM and few.any() and not few.all():
        few |= np.arange(len(sizes)) == np.flatnonzero(~few)[np.argmin(sizes[~few])]
    number = np.where(few, len(sizes), np.arange(len(sizes)))
    return np.asarray(np.unique(number[of], return_inverse=True)[1], dtype=np.int64)


def bootstrap(
    statistics: Sequence[Statistic],
    n: int,
    resamples: int,
    rng: np.random.Generator,
    strata: npt.NDArray[np.int64] | None = None,
) -> FloatArray:
    """Values of all statistics on the same resamples of ``n`` patients.

    Args:
        statistics: Functions of counts ``(B, n)``.
        n: Number of patients.
        resamples: How often ``n`` patients are drawn with replacement.
        rng: The only source of randomness.
        strata: ``(n,)`` from :func:`resampling_strata`: of each as many patients are drawn as it has.

    Returns:
        ``(statistics, resamples)``, NaN where a statistic is undefined on a resample.

    Example:
        >>> ages = np.array([40.0, 50.0, 60.0])
        >>> means = bootstrap([lambda counts: counts @ ages / 3], 3, 500, np.random.default_rng(0))
        >>> means.shape, bool(40 <= means.min() and means.max() <= 60)
        ((1, 500), True)
    """
    if not statistics:
        return np.empty((0, resamples))
    step = max(1, COUNTS_AT_ONCE // n)
    parts = []
    for start in range(0, resamples, step):
        counts = np.zeros((min(step, resamples - start), n))
        for rows in rows_of_groups(strata, n):
            counts[:, rows] = draw_counts(len(rows), len(counts), rng)
        parts.append(np.stack([statistic(counts) for statistic in statistics]))
    return np.concatenate(parts, axis=1)


def draw_counts(n: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """``(resamples, n)``: how often each patient was drawn; rows sum to ``n``."""
    cell = rng.integers(0, n, (resamples, n)) + n * np.arange(resamples)[:, None]
    drawn = np.bincount(cell.ravel(), minlength=resamples * n)
    return drawn.reshape(resamples, n).astype(np.float64)


def leave_out(
    statistics: Sequence[Statistic], n: int, strata: npt.NDArray[np.int64] | None = None
) -> FloatArray:
    """Values of all statistics with each patient left out, or each of about 500 groups if there are more.

    Args:
        statistics: Functions of counts ``(B, n)``.
        n: Number of patients.
        strata: ``(n,)`` from :func:`resampling_strata`. Values are then moved to the same mean in all of
            them, and widened by what a stratum's own mean takes from its spread, so that the jackknife's
            error is the one of a stratified sample.

    Returns:
        ``(statistics, G)``, G the smaller of ``n`` and :data:`JACKKNIFE_GROUPS` or a few more.
    """
    group, names = _jackknife_groups(n, strata)
    if not statistics:
        return np.empty((0, len(names)))
    step = max(1, COUNTS_AT_ONCE // n)
    parts = []
    for start in range(0, len(names), step):
        counts = (group != np.arange(start, min(start + step, len(names)))[:, None]).astype(np.float64)
        parts.append(np.stack([statistic(counts) for statistic in statistics]))
    found = np.concatenate(parts, axis=1)
    return found if strata is None else _within_strata(found, names)


def _jackknife_groups(
    n: int, strata: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Group of each patient ``(n,)``, and the stratum in which each group lies ``(G,)``."""
    group, names = np.zeros(n, dtype=np.int64), list[int]()
    for number, rows in enumerate(rows_of_groups(strata, n)):
        many = (
            min(len(rows), max(2, round(JACKKNIFE_GROUPS * len(rows) / n)))
            if n > JACKKNIFE_GROUPS
            else len(rows)
        )
        group[rows] = len(names) + np.arange(len(rows)) % many
        names += [number] * many
    return group, np.array(names)


def _within_strata(left_out: FloatArray, strata: npt.NDArray[np.int64]) -> FloatArray:
    """Left-out values ``(statistics, G)`` about one mean, spread as in a stratified sample."""
    groups = left_out.shape[1]
    moved = np.full_like(left_out, np.nan)
    with warnings.catch_warnings():
        # Of a stratum without a value.
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmean(left_out, axis=1, keepdims=True)
        for number in np.unique(strata):
            here = strata == number
            many = int(here.sum())
            own = np.nanmean(left_out[:, here], axis=1, keepdims=True)
            # The error is taken from all groups as if they were one sample of G.
            scale = np.sqrt((many - 1) / many * groups / (groups - 1))
            moved[:, here] = middle + scale * (left_out[:, here] - own)
    return moved


class Interval(NamedTuple):
    """Ends of an interval, ``low <= high``."""

    low: float
    high: float


def reach_of(left_out: FloatArray, strata: int = 1) -> float:
    """How many standard errors the interval reaches: 1.96, or more if few patients make up the error.

    The variance is a mean of squared influences. If a few patients have most of it, it is as uncertain as
    one from a small sample: with kurtosis k of the influences, as one with 2 G / (k - 1) degrees of freedom
    (moments of a chi-squared; Satterthwaite, Biometrics Bulletin 2:110, 1946), at most G - 1.

    Args:
        left_out: ``(G,)`` from :func:`leave_out`; NaN are left aside.
        strata: In so many patients were resampled, each of which takes its mean from the spread of resamples.

    Example:
        >>> round(reach_of(np.linspace(0, 1, 1000)), 2), reach_of(np.append(np.zeros(9), 1.0)) > 3
        (1.96, True)
    """
    values = left_out[np.isfinite(left_out)]
    if len(values) < 3 or np.ptp(values) == 0:
        return NORMAL_REACH
    centred = (values - values.mean()) / np.ptp(values)
    kurtosis = float(np.mean(centred**4) / np.mean(centred**2) ** 2)
    freedom = max(2.0, min(len(values) - strata, 2 * len(values) / max(kurtosis - 1, 1e-9)))
    wider = np.sqrt(len(values) / max(1, len(values) - strata))
    return float(wider * stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))


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
