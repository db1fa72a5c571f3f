"""Whether the leading metrics of some targets are told apart from chance, counted together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from histonic.metrics.inference.comparisons import BOTH_WAYS, holm
from histonic.metrics.inference.intervals import NORMAL_REACH, Interval
from histonic.metrics.inference.scores import Score

AgainstChance = Literal["better", "near", "several", "covers", "worse", "unknown"]
CROSSED_REACH = math.sqrt(BOTH_WAYS)
"""In cross-validation each pair of patients counts twice, which up to doubles the variance of what networks
that learned only noise show; so many half widths must lie between a score and chance."""
LEVEL = 0.05
ROUNDING = 1e-9
"""Relative difference of an interval's end from chance that is none: a constant prediction is not better."""


@dataclass(frozen=True)
class Verdict:
    """How the leading metric of a target stands to chance.

    Attributes:
        word: ``better`` or ``worse`` than chance; ``near``: only the printed interval leaves it out, not one
            as wide as cross-validation asks for; ``several``: it would be told apart if it were the only
            target; ``covers``: it is not told apart; ``unknown``: there is no interval.
        interval: By which this was judged; None if there is none.
        p: Two-sided p that goes with it, of this target alone.
        p_holm: The same, corrected for all targets.
        targets: How many were counted.
    """

    word: AgainstChance
    interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    targets: int = 1


def judge(scores: Sequence[Score], crossed: Sequence[bool]) -> list[Verdict]:
    """Hold the leading metrics of the targets of one cohort against chance.

    A p-value is the level at which the interval would just reach chance; those of all targets are corrected
    by Holm's method, so that the chance of any false "better" or "worse" stays below 5 %.

    Args:
        scores: The leading metric of each target.
        crossed: Whether its predictions are cross-validated; the interval then counts :data:`CROSSED_REACH`
            times as wide.

    Example:
        >>> far = Score("AUROC", 0.8, 0.7, 0.9, chance=0.5, higher_is_better=True)
        >>> close = Score("AUROC", 0.62, 0.51, 0.73, chance=0.5, higher_is_better=True)
        >>> [verdict.word for verdict in judge([far, close], [True, True])]
        ['better', 'near']
        >>> [verdict.word for verdict in judge([close], [False]) + judge([close, close], [False, False])]
        ['better', 'several', 'several']
    """
    alone = [_alone(score, each) for score, each in zip(scores, crossed, strict=True)]
    corrected = iter(holm([each.p for each in alone if each.p is not None]).tolist())
    count = sum(each.p is not None for each in alone)
    found = []
    for each in alone:
        if each.p is None:
            found.append(each)
            continue
        p_holm = next(corrected)
        lost = each.word in ("better", "worse") and p_holm >= LEVEL
        word: AgainstChance = "several" if lost else each.word
        found.append(Verdict(word, each.interval, each.p, p_holm, count))
    return found


def _alone(score: Score, crossed: bool) -> Verdict:
    value, low, high, chance = score.value, score.low, score.high, score.chance
    if value is None or low is None or high is None or chance is None:
        return Verdict("unknown")
    reach = CROSSED_REACH if crossed else 1.0
    wide = Interval(value - reach * (value - low), value + reach * (high - value)) if crossed else None
    judged = wide or Interval(low, high)
    half, distance = (value - low if value > chance else high - value), abs(value - chance)
    near_zero = ROUNDING * max(1.0, abs(chance))
    if distance <= near_zero:
        return Verdict("covers", judged, 1.0)
    p = 0.0 if half <= 0 else float(2 * stats.norm.sf(NORMAL_REACH * distance / (reach * half)))
    if distance <= half + near_zero:
        return Verdict("covers", judged, p)
    if distance <= reach * half + near_zero:
        return Verdict("near", judged, p)
    return Verdict("better" if (value > chance) == score.higher_is_better else "worse", judged, p)
