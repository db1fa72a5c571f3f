"""Whether follow-up looks as if events and censored had been exchanged, for many cohorts at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.metrics.ranks import BoolArray, FloatArray, IntArray

MOST_EVIDENCE = 3.0
"""Log likelihood by which the inverse coding may explain the times better before it is believed: 20 to 1."""
MOST_TREND, MOST_SHAPE = 2.0, 1.2
"""Standard errors by which events may be later than the censored, if the shape of their times is no more."""
LEAST_LATE = 0.75
LATE_P = 0.02
"""Events among those followed longest: so large a share, and so unlikely a one, make the coding doubtful."""
LAST_SHARE = 0.1
FEWEST_LAST = 10
"""Those followed longest are a tenth of the patients, and at least so many."""

_SHAPES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0)
"""Of Weibull distributions: hazards that fall, and that rise."""
_ENDS = (1.03, 1.1, 1.25, 1.5, 2.0, 4.0)
"""Where a study may have ended, in longest times."""
_STARTS = (0.2, 0.4, 0.6)
"""Until when nobody may have been censored by the end of the study, in longest times."""
_LOSSES = (2.0, 1.0, 0.5)
"""Mean times to a loss beside the end of the study, in those which the loss alone would have."""
_WEIBULL_COST, _STEP_COST = 0.5, 1.0
"""Price in log likelihood of a shape, and of a start of censoring or a loss beside the end of the study."""


@dataclass(frozen=True)
class CodingSigns:
    """What speaks for an inverted coding, ``(R,)`` each, for R cohorts.

    Attributes:
        evidence: Log likelihood of the times if events and censored are exchanged, less that of the coding as
            it is.
        trend: By how many standard errors events are later than the censored.
        shape: Of the Weibull distribution that fits the events best; above 1 their hazard rises.
        other_shape: The same of the censored, taken for events.
        patients: In each cohort.
        events: Of them.
        last: Patients who were followed longest.
        late: Share of events among them.
    """

    evidence: FloatArray
    trend: FloatArray
    shape: FloatArray
    other_shape: FloatArray
    patients: int
    events: IntArray
    last: int
    late: FloatArray

    @property
    def late_p(self) -> FloatArray:
        """Probability of so many events among the last, if they had nothing to do with time."""
        from scipy import stats  # takes a third of a second, which tables without times need not wait for

        few = np.round(self.late * self.last) - 1
        return np.asarray(stats.hypergeom.sf(few, self.patients, self.events, self.last))

    @property
    def exchanged(self) -> CodingSigns:
        """The signs of the same cohorts with events and censored exchanged."""
        others = self.patients - self.events
        return CodingSigns(
            evidence=-self.evidence,
            trend=-self.trend,
            shape=self.other_shape,
            other_shape=self.shape,
            patients=self.patients,
            events=others,
            last=self.last,
            late=1 - self.late,
        )

    @property
    def by_shape(self) -> BoolArray:
        """Whether the times are those of an inverted coding, by their likelihood."""
        return (self.evidence > MOST_EVIDENCE) & (self.trend > 0)

    @property
    def by_order(self) -> BoolArray:
        """Whether events are later than the censored although their own hazard does not rise."""
        return (self.trend > MOST_TREND) & (self.shape <= MOST_SHAPE)

    @property
    def by_last(self) -> BoolArray:
        """Whether those followed longest had too many events."""
        return (self.late >= LEAST_LATE) & (self.late_p < LATE_P)

    @property
    def inverted(self) -> BoolArray:
        """Whether the coding looks inverted."""
        return self.by_shape | self.by_order | self.by_last


def coding_signs(time: npt.ArrayLike, event: npt.ArrayLike) -> CodingSigns:
    """Look at cohorts of equal size for the marks of exchanged events and censored.

    What tells them apart is the end of a study: it censors late and close together, and sets a last day,
    while deaths have long tails. Events are taken for exponential or Weibull; the censored for those, for
    patients who entered over a while before the study's end, or for both. The likelihood of the best of these
    is set against that with the two exchanged, less a price for each parameter. Beside it events that are
    later than the censored, though their own hazard does not rise, are a sign, and those among the patients
    who were followed longest. Where events and losses are both exponential nothing can tell them apart.

    Args:
        time: ``(R, n)``, follow-up.
        event: ``(R, n)``, 1 for an event; each cohort has some of both.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> death, end = rng.exponential(30, (1, 200)), rng.uniform(0, 60, (1, 200))
        >>> time, event = np.minimum(death, end), death <= end
        >>> bool(coding_signs(time, event).inverted[0]), bool(coding_signs(time, ~event).inverted[0])
        (False, True)
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=np.float64)
    order = np.argsort(times, axis=1, kind="stable")
    times, events = np.take_along_axis(times, order, 1), np.take_along_axis(events, order, 1)
    times = np.maximum(times, times[:, -1:] * 1e-4)
    n = times.shape[1]
    as_it_is = _event_fit(times, events) + _censored_fit(times, 1 - events)
    exchanged = _event_fit(times, 1 - events) + _censored_fit(times, events)
    centred = events - events.mean(axis=1, keepdims=True)
    last = min(max(FEWEST_LAST, round(LAST_SHARE * n)), n)
    apart = times - times.mean(axis=1, keepdims=True)
    error = np.sqrt((centred**2).sum(axis=1) * (apart**2).sum(axis=1) / (n - 1))
    return CodingSigns(
        evidence=exchanged - as_it_is,
        trend=(centred * apart).sum(axis=1) / np.maximum(error, 1e-300),
        shape=_best_shape(times, events),
        other_shape=_best_shape(times, 1 - events),
        patients=n,
        events=events.sum(axis=1).astype(int),
        last=last,
        late=events[:, -last:].mean(axis=1),
    )


def _weibull(times: FloatArray, marked: FloatArray, shape: float) -> FloatArray:
    """Greatest log likelihood ``(R,)`` of Weibull times of one shape; the others are censored."""
    count, log = marked.sum(axis=1), np.log(times)
    scale = np.log(count / np.exp(shape * log).sum(axis=1)) + np.log(shape)
    return np.asarray(count * scale + (shape - 1) * (marked * log).sum(axis=1) - count)


def _event_fit(times: FloatArray, marked: FloatArray) -> FloatArray:
    """Greatest log likelihood of the events, less what its parameters cost."""
    best = _weibull(times, marked, 1.0)
    for shape in _SHAPES:
        best = np.maximum(best, _weibull(times, marked, shape) - _WEIBULL_COST)
    return best


def _best_shape(times: FloatArray, marked: FloatArray) -> FloatArray:
    """Shape ``(R,)`` of the likeliest Weibull distribution of the events."""
    shapes = np.array([1.0, *_SHAPES])
    best = np.argmax([_weibull(times, marked, shape) for shape in shapes], axis=0)
    return np.asarray(shapes[best])


def _censored_fit(times: FloatArray, marked: FloatArray) -> FloatArray:
    """Greatest log likelihood of the censored: lost, or there when the study ended, or both."""
    best = _event_fit(times, marked)
    n, longest = times.shape[1], times[:, -1:]
    first = np.where(marked > 0, times, np.inf).min(axis=1, keepdims=True)
    starts = [0 * longest, np.minimum(first, 0.98 * longest), *(share * longest for share in _STARTS)]
    alone = times.mean(axis=1, keepdims=True) / np.maximum(marked.mean(axis=1, keepdims=True), 0.02)
    lost = {share: (times.sum(axis=1) / (share * alone[:, 0]), 1 / (share * alone)) for share in _LOSSES}
    for factor in (1 + 1 / n, *_ENDS):
        end = factor * longest
        left = np.log(end - times)
        ended = 1 / (end - times)
        for number, start in enumerate(starts):
            since = times >= start
            staying = np.where(since, left - np.log(end - start), 0).sum(axis=1)
            price = _STEP_COST * (number > 0)
            if number < 2:  # with the end of the study alone nobody is censored before the start
                best = np.maximum(best, staying - (marked * left).sum(axis=1) - price)
            for total, rate in lost.values() if number != 1 else ():
                hazard = (marked * np.log(rate + since * ended)).sum(axis=1)
                best = np.maximum(best, staying - total + hazard - price - _STEP_COST)
    return best
