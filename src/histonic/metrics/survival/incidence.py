"""The Aalen-Johansen estimate: which share has had the event by a time, where other causes may come first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from histonic.metrics.ranks import BoolArray, FloatArray, Levels
from histonic.metrics.survival.outcome import Survival

Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class CumulativeIncidence:
    """Share of patients with the event, a rising step function.

    Attributes:
        time: ``(T,)`` 0 and then every distinct time, rising.
        incidence: ``(T,)`` share with the event by that time.
        low: ``(T,)`` lower end of the pointwise 95 % band, on the log(-log) scale.
        high: ``(T,)`` upper end.
        at_risk: ``(T,)`` patients still followed, without an event of any cause, just before that time.
        n: Patients.
        events: Events of the cause.
        competing: Events of other causes.
    """

    time: FloatArray
    incidence: FloatArray
    low: FloatArray
    high: FloatArray
    at_risk: FloatArray
    n: int
    events: int
    competing: int


def aalen_johansen(outcome: Survival, competing: BoolArray) -> CumulativeIncidence:
    """Cumulative incidence of one cause in the presence of others.

    One minus Kaplan-Meier with the other causes censored would say which share had the event if nothing else
    could happen to them; it is too high wherever something else can. Aalen and Johansen, Scandinavian Journal
    of Statistics 5:141 (1978); variance by Aalen, Annals of Statistics 6:534 (1978), as in equation 4.5 of
    Pintilie, Competing Risks (2006).

    Args:
        outcome: Time, and whether the event of interest ended it; at least one patient.
        competing: ``(n,)`` whether an event of another cause did. Neither: the patient is censored.

    Example:
        >>> outcome = Survival(np.array([1.0, 2, 3, 4]), np.array([True, False, True, False]))
        >>> curve = aalen_johansen(outcome, np.array([False, True, False, False]))
        >>> curve.time.tolist(), curve.incidence.tolist()
        ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.25, 0.25, 0.5, 0.5])
    """
    levels = Levels(outcome.time)
    own = levels.totals(outcome.event.astype(np.float64))
    every = own + levels.totals((competing & ~outcome.event).astype(np.float64))
    at_risk = np.flip(np.cumsum(np.flip(levels.totals(np.ones(len(outcome.time))))))
    alive = np.cumprod(1 - every / at_risk)
    before = np.concatenate([[1.0], alive[:-1]])
    # A sum of shares that is 1 may round to a little more.
    share = np.minimum(np.cumsum(before * own / at_risk), 1.0)
    low, high = _band(share, _variance(share, before, own, every, at_risk))
    n, start = len(outcome.time), [] if levels.values[0] == 0 else [0.0]
    return CumulativeIncidence(
        np.concatenate([start, levels.values]),
        np.concatenate([start, share]),
        np.concatenate([start, low]),
        np.concatenate([start, high]),
        np.concatenate([[float(n)] * len(start), at_risk]),
        n,
        int(outcome.event.sum()),
        int((competing & ~outcome.event).sum()),
    )


def _variance(
    share: FloatArray, before: FloatArray, own: FloatArray, every: FloatArray, at_risk: FloatArray
) -> FloatArray:
    """Of the incidence at each time: sums over the times before, of powers of the rise since, expanded."""
    first = _divide(every, (at_risk - 1) * (at_risk - every))
    second = _divide((at_risk - own) * own * before**2, (at_risk - 1) * at_risk**2)
    third = _divide(own * (at_risk - own) * before, at_risk * (at_risk - every) * (at_risk - 1))
    spread = (
        share**2 * np.cumsum(first)
        - 2 * share * np.cumsum(first * share)
        + np.cumsum(first * share**2)
        + np.cumsum(second)
        - 2 * (share * np.cumsum(third) - np.cumsum(third * share))
    )
    return np.asarray(np.maximum(spread, 0.0))


def _divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """0 where nobody is left to divide by."""
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def _band(share: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ends on the log(-log) scale; the share itself where it is 0 or 1, for there is no spread to see."""
    known = (share > 0) & (share < 1)
    log = np.log(np.where(known, share, 0.5))
    reach = Z * np.sqrt(variance) / np.where(known, -share * log, 1.0)
    low, high = (np.where(known, np.exp(log * np.exp(side * reach)), share) for side in (1.0, -1.0))
    return low, high
