"""Smooth calibration of survival by its definition, with statsmodels for the Cox model."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from histonic.metrics.calibration.survival import FEWEST_EVENTS, smooth_survival_calibration
from histonic.metrics.survival.outcome import Survival


def drawn(seed: int, n: int = 500, power: float = 1.0) -> tuple[Survival, np.ndarray]:
    """Chances of an event by 2 that come true, with ``power`` 1."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.05, 0.75, n)
    hazard = -np.log1p(-chance) / 2
    hazard = np.median(hazard) * (hazard / np.median(hazard)) ** power
    time, end = rng.exponential(1 / hazard), rng.uniform(0.5, 5, n)
    return Survival(np.minimum(time, end), time <= end), chance


@pytest.mark.parametrize("power", [1.0, 0.4])
def test_errors_are_those_of_their_definition(power: float) -> None:
    """Harrell's spline term by term, the Cox model by statsmodels, the baseline event by event."""
    outcome, chance = drawn(0, power=power)
    time, event = np.minimum(outcome.time, 2), outcome.event & (outcome.time <= 2)
    x = np.log(-np.log(1 - chance))
    a, b, c = np.quantile(x, (0.1, 0.5, 0.9))
    curved = [
        max(v - a, 0) ** 3 - max(v - b, 0) ** 3 * (c - a) / (c - b) + max(v - c, 0) ** 3 * (b - a) / (c - b)
        for v in x
    ]
    design = np.column_stack([x, curved])
    weights = sm.PHReg(time, design, status=event.astype(int), ties="breslow").fit().params
    hazard = sum(1 / np.exp(design[time >= each] @ weights).sum() for each in time[event])
    observed = 1 - np.exp(-hazard * np.exp(design @ weights))
    found = smooth_survival_calibration(outcome, chance, 2.0)
    assert found is not None
    assert found.observed == pytest.approx(observed, abs=1e-6)
    apart = np.abs(observed - chance)
    assert found.errors.ici == pytest.approx(apart.mean(), abs=1e-6)
    assert found.errors.e50 == pytest.approx(np.median(apart), abs=1e-6)
    assert found.errors.e90 == pytest.approx(np.quantile(apart, 0.9), abs=1e-6)


def test_noise_is_told_from_errors() -> None:
    right = [smooth_survival_calibration(*drawn(seed), 2.0) for seed in range(8)]
    assert np.mean([each.errors.ici for each in right if each]) == pytest.approx(
        np.mean([each.by_noise.ici for each in right if each]), rel=0.45
    )
    assert sum(each.errors.ici > each.by_noise_most.ici for each in right if each) <= 2
    wrong = [smooth_survival_calibration(*drawn(seed, power=0.2), 2.0) for seed in range(4)]
    assert all(each.errors.ici > each.by_noise_most.ici for each in wrong if each)


def test_there_is_none_below_the_floor() -> None:
    outcome, chance = drawn(1)
    by_then = np.flatnonzero(outcome.event & (outcome.time <= 2))
    few = outcome.event.copy()
    few[by_then[FEWEST_EVENTS - 1 :]] = False
    assert smooth_survival_calibration(Survival(outcome.time, few), chance, 2.0) is None
    few[by_then[FEWEST_EVENTS - 1]] = True
    assert smooth_survival_calibration(Survival(outcome.time, few), chance, 2.0) is not None
    assert smooth_survival_calibration(outcome, np.full(500, 0.3), 2.0) is None
