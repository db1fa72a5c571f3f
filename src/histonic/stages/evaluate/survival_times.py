"""Predicted survival of each patient from other patients, and the times at which it is evaluated."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival.censoring import baseline_hazard, still_alive
from histonic.metrics.survival.hazard import log_hazard_slope
from histonic.metrics.survival.outcome import Survival

RISK_GROUPS = ("low risk", "high risk")
PARTS = 5
"""Parts of a cohort that was predicted as a whole, such as a fixed test part."""
PARTS_SEED = 0
STILL_FOLLOWED = 0.1
"""Measures weighted for censoring end where this share of the patients is left: later weights explode."""
GRID_POINTS = 25


class Predicted(NamedTuple):
    """Chances of no event, for patients in rows and times in columns."""

    by_risk: FloatArray
    """``(n, T)`` from the predicted risks."""
    by_none: FloatArray
    """``(n, T)`` from the Kaplan-Meier curve, the same for all patients of a part."""


def parts_of(fold: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Parts for cross-fitting: the folds, or five parts drawn at random where all patients are in one.

    Example:
        >>> parts_of(np.array([0, 1, 0])).tolist(), len(set(parts_of(np.zeros(10))))
        ([0, 1, 0], 5)
    """
    if len(np.unique(fold)) > 1:
        return fold
    return np.random.default_rng(PARTS_SEED).permutation(np.arange(len(fold)) % PARTS)


class RiskModel(NamedTuple):
    """A Cox model with the risk as its only covariate, and the patients that it was fitted to."""

    outcome: Survival
    risk: FloatArray
    slope: float
    """Log hazard ratio per unit of risk."""

    @classmethod
    def fit(cls, outcome: Survival, risk: FloatArray) -> RiskModel:
        """Slope by partial likelihood; 0 where no finite one is best.

        Args:
            outcome: Follow-up of the patients to fit.
            risk: ``(n,)``.
        """
        slope = log_hazard_slope(outcome, risk)
        return cls(outcome, risk, slope if np.isfinite(slope) else 0.0)

    def predict(self, risk: FloatArray, times: FloatArray) -> Predicted:
        """Chances of no event of other patients, by Breslow's baseline and by the Kaplan-Meier curve.

        Args:
            risk: ``(m,)`` on the scale of the fitted ones.
            times: ``(T,)``, rising.
        """
        centre = float(self.risk.mean())
        hazard = baseline_hazard(self.outcome, self.slope * (self.risk - centre), times)
        by_risk = np.exp(-hazard * np.exp(self.slope * (risk - centre))[:, None])
        return Predicted(by_risk, np.tile(still_alive(self.outcome, times), (len(risk), 1)))


def predict_survival(
    outcome: Survival, risk: FloatArray, part: npt.NDArray[Any], times: FloatArray
) -> Predicted:
    """Chance of no event up to each time, made without the patient's own part.

    A risk is an order with a scale of its own, no probability. For each part, a Cox model with the risk
    as its only covariate (its slope and Breslow's baseline) is fitted to the patients of the other parts.

    Args:
        outcome: Follow-up of all patients.
        risk: ``(n,)`` out-of-fold risks on one scale.
        part: ``(n,)`` labels; see :func:`parts_of`.
        times: ``(T,)``, rising.

    Example:
        >>> outcome = Survival(np.array([1.0, 2, 3, 4]), np.array([True, True, True, True]))
        >>> found = predict_survival(outcome, np.zeros(4), np.array([0, 0, 1, 1]), np.array([3.5]))
        >>> found.by_none[:, 0].tolist()
        [0.5, 0.5, 0.0, 0.0]
    """
    by_risk, by_none = np.ones((len(risk), len(times))), np.ones((len(risk), len(times)))
    for name in np.unique(part):
        here = part == name
        others = RiskModel.fit(Survival(outcome.time[~here], outcome.event[~here]), risk[~here])
        by_risk[here], by_none[here] = others.predict(risk[here], times)
    return Predicted(by_risk, by_none)


class Times(NamedTuple):
    """When survival is evaluated."""

    last: float
    """Where a tenth of the patients is still followed."""
    horizon: float
    """The round time nearest to the median time of events."""
    quartiles: tuple[float, ...]
    """Of the times of events, rounded to two digits."""
    grid: FloatArray
    """``(T,)``, rising, from the first event to ``last``; empty if that is no span."""


def evaluated_times(outcome: Survival, until: float = np.inf) -> Times:
    """Times that suit a cohort.

    Args:
        outcome: Its follow-up.
        until: Nothing is evaluated later, because the patients that a model was fitted to end there.

    Example:
        >>> found = evaluated_times(Survival(np.arange(1.0, 41.0), np.ones(40, bool)))
        >>> found.last, found.horizon, found.quartiles
        (36.0, 20.0, (11.0, 20.0, 30.0))
    """
    last = min(until, float(np.quantile(outcome.time, 1 - STILL_FOLLOWED, method="lower")))
    at = outcome.time[outcome.event]
    first = float(at.min()) if len(at) else last
    quartiles = [_two_digits(value) for value in np.quantile(at, (0.25, 0.5, 0.75))] if len(at) else []
    inside = tuple(value for value in dict.fromkeys(quartiles) if first <= value <= last)
    middle = float(np.median(at)) if len(at) else last
    rounds = [time for time in round_times(float(outcome.time.max())) if first <= time <= last]
    horizon = min(rounds, key=lambda time: abs(time - middle)) if rounds else last
    grid = np.linspace(first, last, GRID_POINTS) if last > first else np.empty(0)
    return Times(last, float(horizon), inside, grid)


def _two_digits(value: float) -> float:
    if value <= 0:
        return 0.0
    return float(np.round(value, 1 - int(np.floor(np.log10(value)))))


def round_times(last: float) -> FloatArray:
    """0 and four to eight round times up to ``last``."""
    if last <= 0:
        return np.zeros(1)
    exponent = int(np.floor(np.log10(last / 4)))
    step = max(m for m in (1, 2, 2.5, 5) if m * 4 * 10.0**exponent <= last) * 10.0**exponent
    # 7 * 0.1 lies above 0.7, and a patient followed to 0.7 would not count as at risk then.
    times = np.round(step * np.arange(int(last / step + 1e-9) + 1), max(0, 1 - exponent))
    return np.asarray(times[times <= last], dtype=np.float64)
