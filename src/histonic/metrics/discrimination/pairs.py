"""Share of patient pairs in the right order, for every kind of target, with an interval without resamples.

The area under the ROC curve, Harrell's C and the concordance of a number with its prediction are the same
share: of the pairs of patients whose truth is in order, how many have their scores in that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from histonic.metrics.inference.intervals import CONFIDENCE
from histonic.metrics.ranks import BoolArray, FloatArray, IntArray

PAIRS_AT_ONCE = 2**22
"""Pairs of patients held in memory at a time."""


@dataclass(frozen=True)
class Order:
    """Which patient of a pair should get the higher score.

    Attributes:
        value: ``(n,)`` class or number, the higher the higher the score; for survival the follow-up time.
        event: ``(n,)`` True for an event; None if the target is no survival. Then the earlier event
            should get the higher score.
    """

    value: FloatArray
    event: BoolArray | None = None

    def above(self, rows: IntArray, others: IntArray) -> BoolArray:
        """Whether each of ``rows`` should score higher than each of ``others``: ``(rows, others)``."""
        one, other = self.value[rows, None], self.value[others]
        if self.event is None:
            return np.asarray(one > other)
        later = (other > one) | ((other == one) & ~self.event[others])
        return np.asarray(later & self.event[rows, None])


class PairCounts(NamedTuple):
    """Pairs that each patient is part of."""

    right: FloatArray
    """``(n,)`` in the right order; equal scores count half."""
    pairs: FloatArray
    """``(n,)`` that can be compared."""


class Estimate(NamedTuple):
    """A share of pairs with its 95 % interval.

    Attributes:
        value: In [0, 1]; chance 0.5.
        low: Lower end.
        high: Upper end.
        influence: ``(n,)`` how much the value changes with the weight of each patient.
    """

    value: float
    low: float
    high: float
    influence: FloatArray


def count_pairs(order: Order, score: FloatArray, groups: npt.NDArray[Any] | None = None) -> PairCounts:
    """Count the pairs of each patient.

    Args:
        order: The truth.
        score: ``(n,)`` finite.
        groups: ``(n,)`` labels; only pairs within a group count. All pairs by default.

    Example:
        >>> found = count_pairs(Order(np.array([0.0, 1.0, 2.0])), np.array([1.0, 3.0, 2.0]))
        >>> found.right.tolist(), found.pairs.tolist()
        ([2.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    """
    right, pairs = np.zeros(len(score)), np.zeros(len(score))
    for members in _members(groups, len(score)):
        step = max(1, PAIRS_AT_ONCE // len(members))
        for start in range(0, len(members), step):
            rows = members[start : start + step]
            above = order.above(rows, members)
            one, other = score[rows, None], score[members]
            ordered = above * (0.5 * (one > other) + 0.5 * (one >= other))
            right[rows] += ordered.sum(axis=1)
            right[members] += ordered.sum(axis=0)
            pairs[rows] += above.sum(axis=1)
            pairs[members] += above.sum(axis=0)
    return PairCounts(right, pairs)


def _members(groups: npt.NDArray[Any] | None, n: int) -> Iterator[IntArray]:
    if groups is None:
        yield np.arange(n)
        return
    _, of = np.unique(groups, return_inverse=True)
    ordered = np.argsort(of, kind="stable")
    for members in np.split(ordered, np.cumsum(np.bincount(of))[:-1]):
        if len(members) > 1:
            yield members


def estimate_share(counts: Sequence[PairCounts], *, widening: float = 1.0) -> Estimate | None:
    """Share of pairs in the right order, with an interval from the patients' influence.

    The variance is the sum of squared influences (infinitesimal jackknife; for the ROC curve DeLong,
    DeLong and Clarke-Pearson, Biometrics 44:837, 1988), the interval is taken on the logit scale. It takes
    patients as the unit, however many pairs each is part of.

    Args:
        counts: Of one score; or one item a class, over which the mean is taken.
        widening: Factor on the standard error, for scores that are less independent than patients are.

    Returns:
        None if some item has no pair.

    Example:
        >>> order = Order(np.repeat([0.0, 1.0], 50))
        >>> found = estimate_share([count_pairs(order, np.arange(100.0) % 50)])
        >>> round(found.value, 3), round(found.low, 2), round(found.high, 2)
        (0.5, 0.39, 0.61)
    """
    totals = [float(each.pairs.sum()) for each in counts]
    if not counts or min(totals) <= 0:
        return None
    values = [float(each.right.sum()) / total for each, total in zip(counts, totals, strict=True)]
    influence = np.mean(
        [
            2 * (each.right - value * each.pairs) / total
            for each, value, total in zip(counts, values, totals, strict=True)
        ],
        axis=0,
    )
    value = float(np.mean(values))
    return Estimate(value, *_interval(value, widening * influence), widening * influence)


def _interval(value: float, influence: FloatArray) -> tuple[float, float]:
    taking_part = int(np.count_nonzero(influence)) or len(influence)
    # At 0 and 1 every influence is 0; half a wrong answer among the patients keeps the width above it.
    inside = min(max(value, 0.5 / (taking_part + 1)), 1 - 0.5 / (taking_part + 1))
    error = float(np.sqrt(np.sum(influence**2) * taking_part / max(taking_part - 1, 1)))
    error = max(error, np.sqrt(inside * (1 - inside) / taking_part) if value in (0.0, 1.0) else 0.0)
    reach = special.ndtri(0.5 + CONFIDENCE / 2) * error / (inside * (1 - inside))
    low, high = special.expit(special.logit(inside) + np.array([-reach, reach]))
    return min(float(low), value), max(float(high), value)


def difference(first: Estimate, second: Estimate) -> tuple[float, float, float]:
    """First minus second, of the same patients, with its 95 % interval.

    Example:
        >>> one = Estimate(0.8, 0.7, 0.9, np.full(100, 0.01))
        >>> other = Estimate(0.6, 0.5, 0.7, np.full(100, -0.01))
        >>> [round(number, 3) for number in difference(one, other)]
        [0.2, -0.192, 0.592]
    """
    gap = first.value - second.value
    error = float(np.sqrt(np.sum((first.influence - second.influence) ** 2)))
    reach = float(special.ndtri(0.5 + CONFIDENCE / 2)) * error
    return gap, gap - reach, gap + reach
