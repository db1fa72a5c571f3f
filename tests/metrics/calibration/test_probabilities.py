"""Calibration against scikit-learn and hand computation, and intervals that know of noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from histonic.metrics.calibration import probabilities as calibration
from histonic.metrics.calibration.probabilities import (
    calibration_error,
    calibration_intercept,
    calibration_slope,
    logits,
    observed_to_expected,
)
from histonic.metrics.survival.outcome import Survival


def drawn(seed: int, n: int = 120, slope: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=n)
    return rng.random(n) < special.expit(true), special.expit(true / slope)


@pytest.mark.parametrize("seed", range(5))
def test_slope_is_that_of_a_logistic_regression(seed: int) -> None:
    positive, chance = drawn(seed)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits(chance)[:, None], positive)
    assert float(calibration_slope(positive, chance)) == pytest.approx(model.coef_[0, 0], abs=1e-5)


@pytest.mark.parametrize("metric", [calibration_slope, calibration_intercept])
def test_counts_are_patients_drawn_again(metric) -> None:  # type: ignore[no-untyped-def]
    positive, chance = drawn(1)
    counts = np.random.default_rng(0).integers(0, 3, (4, len(chance)))
    for row, value in zip(counts, metric(positive, chance, counts), strict=True):
        assert value == pytest.approx(metric(np.repeat(positive, row), np.repeat(chance, row)), abs=1e-8)


def test_intercept_makes_expected_and_observed_equal() -> None:
    positive, chance = drawn(3)
    shift = float(calibration_intercept(positive, chance))
    assert special.expit(logits(chance) + shift).sum() == pytest.approx(positive.sum(), abs=1e-7)


def test_separated_or_equal_chances_have_no_slope() -> None:
    positive = np.arange(20) >= 10
    assert np.isnan(calibration_slope(positive, np.linspace(0.01, 0.99, 20)))
    assert np.isnan(calibration_slope(positive, np.full(20, 0.4)))
    assert np.isnan(calibration_intercept(np.ones(20, bool), np.full(20, 0.4)))


def test_certain_chances_are_taken_as_nearly_certain() -> None:
    positive, chance = drawn(2)
    chance[:2] = (0.0, 1.0)
    assert np.isfinite(calibration_slope(positive, chance))


def test_error_by_hand() -> None:
    # Two groups of ten: 0.2 predicted and 0.5 seen, 0.8 predicted and 0.7 seen.
    chance = np.repeat([0.2, 0.8], 10)
    positive = np.concatenate([np.arange(10) < 5, np.arange(10) < 7])
    found = calibration_error(positive, chance, bins=2)
    assert found.value == pytest.approx((0.3 + 0.1) / 2)
    assert found.interval.low <= found.value <= found.interval.high
    # E|noise| of each group is sqrt(2/pi) sqrt(.16/10).
    assert found.by_noise == pytest.approx(np.sqrt(2 / np.pi * 0.016))


@pytest.mark.long
def test_a_calibrated_model_is_not_accused() -> None:
    accused = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        chance = special.expit(rng.normal(size=100))
        accused += calibration_error(rng.random(100) < chance, chance).interval.low > 0
    assert accused <= 10


def test_the_interval_of_the_error_leaves_less_than_the_plain_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(100)
    positive = rng.random(100) < chance**2
    found = calibration_error(positive, chance).interval
    monkeypatch.setattr(calibration, "ERROR_TAIL", 0.025)
    plain = calibration_error(positive, chance).interval
    assert found.low < plain.low and plain.high < found.high


def test_many_patients_show_an_error_that_is_there() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(4000)
    found = calibration_error(rng.random(4000) < chance**2, chance)
    # E|p - p^2| is 1/6.
    assert found.interval.low < 1 / 6 < found.interval.high
    assert found.interval.low > 0.12


def test_observed_to_expected_without_censoring_is_a_ratio_of_shares() -> None:
    time = np.arange(1.0, 11.0)
    outcome = Survival(time, np.ones(10, bool))
    chance = np.linspace(0.1, 0.5, 10)
    assert float(observed_to_expected(outcome, chance, 4.0)) == pytest.approx(0.4 / chance.mean())
