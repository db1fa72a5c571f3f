"""95 % intervals of shares, and of ratios of two shares, from counts of patients; nothing is resampled.

Counts may be means over repeats, and so no whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import optimize

from histonic.metrics.inference.intervals import NORMAL_REACH, Interval

FARTHEST = 40.0
"""Logarithm of a ratio beyond which none is looked for."""
FAR = 1e9
"""Standard errors where there is no error at all."""


def wilson(hits: float, trials: float) -> Interval | None:
    """Of a share of patients. Wilson, JASA 22:209 (1927).

    Covers near its 95 % also in few patients and near 0 and 1, where it never leaves [0, 1]; recommended for
    that by Brown, Cai and DasGupta, Statistical Science 16:101 (2001).

    Args:
        hits: Patients with what is counted.
        trials: All patients.

    Returns:
        The interval; None without patients.

    Example:
        >>> low, high = wilson(9, 10)
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
    """
    if not trials > 0:
        return None
    share, square = hits / trials, NORMAL_REACH**2 / trials
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    # At the ends of the scale the formula gives them but for rounding.
    low = 0.0 if hits <= 0 else max(0.0, middle - half)
    return Interval(low, 1.0 if hits >= trials else min(1.0, middle + half))


def ratio_of_shares(hits: float, trials: float, other_hits: float, other_trials: float) -> Interval | None:
    """Of ``(hits / trials) / (other_hits / other_trials)``, of two groups of patients.

    All ratios that the score test does not refuse. Miettinen and Nurminen, Statistics in Medicine 4:213
    (1985). It has ends also where a count is 0 and the logarithm of the ratio has no error.

    Returns:
        The interval, from 0 where ``hits`` is 0 and to infinity where ``other_hits`` is; None where both are,
        or where a group is empty.

    Example:
        >>> low, high = ratio_of_shares(8, 10, 2, 10)
        >>> round(low, 2), round(high, 2)
        (1.36, 14.92)
    """
    if not (trials > 0 and other_trials > 0) or (hits <= 0 and other_hits <= 0):
        return None

    def beyond(reach: float) -> Callable[[float], float]:
        return lambda log: _score(math.exp(log), hits, trials, other_hits, other_trials) - reach

    low = 0.0 if hits <= 0 else _root(beyond(NORMAL_REACH))
    return Interval(low, math.inf if other_hits <= 0 else _root(beyond(-NORMAL_REACH)))


def _root(function: Callable[[float], float]) -> float:
    return math.exp(float(optimize.brentq(function, -FARTHEST, FARTHEST, xtol=1e-12)))


def _score(ratio: float, hits: float, trials: float, other_hits: float, other_trials: float) -> float:
    """Standard errors by which the shares differ from this ratio; falls as the ratio rises.

    The error is that of the likeliest shares which have the ratio.
    """
    # The share of the other group solves a x^2 - b x + c = 0.
    together = trials + other_trials
    a = together * ratio
    b = trials * ratio + hits + other_trials + other_hits * ratio
    c = hits + other_hits
    share = 2 * c / (b + math.sqrt(max(b * b - 4 * a * c, 0.0)))
    mine = min(share * ratio, 1.0)
    variance = mine * (1 - mine) / trials + ratio**2 * share * (1 - share) / other_trials
    variance *= together / max(together - 1, 1e-9)
    difference = hits / trials - ratio * other_hits / other_trials
    if variance <= 0:
        return math.copysign(FAR, difference) if difference else 0.0
    return difference / math.sqrt(variance)
