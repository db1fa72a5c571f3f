"""How long patients were followed: the median by the reverse Kaplan-Meier method."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from histonic.metrics.survival.curves import kaplan_meier
from histonic.metrics.survival.outcome import Survival


class MedianTime(NamedTuple):
    """A median time with its 95 % interval, in the unit of the outcome."""

    value: float | None
    """None if the curve does not come down to one half."""
    low: float | None
    """None if the lower end of the band does not come down to one half."""
    high: float | None
    """None if the upper end of the band does not: the interval is open."""


def median_follow_up(outcome: Survival) -> MedianTime:
    """Median time for which patients were followed, or would have been without the event.

    The Kaplan-Meier curve with the parts changed: the end of follow-up is what is waited for, and an event
    cuts the wait short (Schemper and Smith, Controlled Clinical Trials 17:343, 1996). The plain median of the
    times would be short where many had the event early. Ends: times at which the band on the log(-log) scale
    holds one half (Brookmeyer and Crowley, Biometrics 38:29, 1982). At equal times the end of follow-up goes
    before the event, as with ``survfit(Surv(time, 1 - event) ~ 1)``.

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`, at least one patient; with
            competing causes, ``event`` is True for them too, as they also cut the wait short.

    Example:
        >>> from histonic.metrics.survival.outcome import check_survival
        >>> median_follow_up(check_survival([1, 2, 3, 4], [0, 1, 0, 0])).value
        3.0
    """
    curve = kaplan_meier(Survival(outcome.time, ~outcome.event))

    def first(below: np.ndarray) -> float | None:
        places = np.flatnonzero(below)
        return float(curve.time[places[0]]) if len(places) else None

    # Where nobody is left the curve has no spread, and does not close the interval upwards.
    high = first((curve.high <= 0.5) & (curve.survival > 0))
    return MedianTime(curve.median, first(curve.low <= 0.5), high)
