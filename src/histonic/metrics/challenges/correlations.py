"""Intervals of published correlations, of which only value and number of cases are known."""

from __future__ import annotations

import math

from scipy import stats


def fisher_interval(value: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a correlation by Fisher's z, with the standard error 1 / sqrt(n - 3).

    The intervals published for TUPAC16's second task are one standard error wide on either side, which is
    about 68 % (``confidence=0.6827``), not 95 %.

    Args:
        value: The correlation, in (-1, 1).
        n: Number of cases, more than 3.
        confidence: Share of intervals that hold the truth.

    Example:
        >>> [round(end, 3) for end in fisher_interval(0.632, 321)]
        [0.561, 0.693]
        >>> [round(end, 4) for end in fisher_interval(0.632, 321, confidence=0.6827)]
        [0.5971, 0.6645]
    """
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) / math.sqrt(n - 3)
    middle = math.atanh(value)
    return math.tanh(middle - reach), math.tanh(middle + reach)
