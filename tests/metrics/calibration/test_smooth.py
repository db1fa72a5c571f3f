"""Smooth calibration by the definition of its spline, against statsmodels, and of models that are right."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import special

from histonic.metrics.calibration.probabilities import logits
from histonic.metrics.calibration.smooth import FEWEST_OF_A_CLASS, smooth_calibration, spline_basis


def drawn(seed: int, n: int = 500, slope: float = 1.0, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1.2, n)
    return rng.random(n) < special.expit(slope * x + bend * x**2), special.expit(x)


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_those_of_their_definition(seed: int) -> None:
    """Harrell's formula for three knots, written down term by term, and statsmodels for the regression."""
    positive, chance = drawn(seed, slope=0.6, bend=0.3)
    x = np.log(chance / (1 - chance))
    a, b, c = np.quantile(x, (0.1, 0.5, 0.9))
    curved = [
        max(v - a, 0) ** 3 - max(v - b, 0) ** 3 * (c - a) / (c - b) + max(v - c, 0) ** 3 * (b - a) / (c - b)
        for v in x
    ]
    fit = sm.GLM(
        positive.astype(float), np.column_stack([np.ones_like(x), x, curved]), sm.families.Binomial()
    )
    observed = fit.fit(tol=1e-12).fittedvalues
    found = smooth_calibration(positive, chance)
    assert found is not None
    assert found.observed == pytest.approx(observed, abs=1e-6)
    apart = sorted(abs(o - p) for o, p in zip(observed, chance, strict=True))
    assert found.errors.ici == pytest.approx(sum(apart) / 500, abs=1e-6)
    assert found.errors.e50 == pytest.approx((apart[249] + apart[250]) / 2, abs=1e-6)
    assert found.errors.e90 == pytest.approx(apart[449] + 0.1 * (apart[450] - apart[449]), abs=1e-6)


def test_the_spline_is_straight_beyond_the_outer_knots() -> None:
    x = np.linspace(-3, 3, 61)
    bend = np.diff(spline_basis(x)[:, 2], 2)
    assert np.abs(bend[:5]).max() < 1e-9 and np.abs(bend[-5:]).max() < 1e-9
    assert np.abs(bend[20:40]).max() > 1e-4


def test_errors_beyond_noise_are_seen_and_noise_is_not() -> None:
    """Of 40 perfect models some 5 % lie above the 0.95 quantile, and their mean is what noise makes."""
    right = [smooth_calibration(*drawn(seed)) for seed in range(40)]
    icis = [each.errors.ici for each in right if each]
    assert len(icis) == 40
    assert np.mean(icis) == pytest.approx(np.mean([each.by_noise.ici for each in right if each]), rel=0.2)
    assert sum(each.errors.ici > each.by_noise_most.ici for each in right if each) <= 6
    wrong = [smooth_calibration(*drawn(seed, slope=0.4)) for seed in range(10)]
    assert all(each.errors.ici > each.by_noise_most.ici for each in wrong if each)


def test_a_known_bend_is_found() -> None:
    positive, chance = drawn(0, n=6000, slope=0.5)
    truth = special.expit(0.5 * special.logit(chance))
    found = smooth_calibration(positive, chance)
    assert found is not None
    assert found.errors.ici == pytest.approx(np.abs(truth - chance).mean(), abs=0.012)


def test_there_is_none_below_the_floor() -> None:
    chance = np.random.default_rng(0).random(400)
    for few in (FEWEST_OF_A_CLASS - 1, 400 - FEWEST_OF_A_CLASS + 1):
        assert smooth_calibration(np.random.default_rng(1).permutation(400) < few, chance) is None
    positive = np.random.default_rng(1).permutation(400) < FEWEST_OF_A_CLASS
    assert smooth_calibration(positive, chance) is not None


def test_equal_or_separating_chances_have_no_curve() -> None:
    positive = np.arange(400) < 200
    assert smooth_calibration(positive, np.full(400, 0.5)) is None
    assert smooth_calibration(positive, np.linspace(0.9, 0.1, 400)) is None


def test_where_knots_fall_together_the_curve_is_straight() -> None:
    rng = np.random.default_rng(0)
    chance = np.where(rng.random(600) < 0.7, 0.4, 0.6)
    assert spline_basis(special.logit(chance)).shape == (600, 2)
    positive = rng.random(600) < chance
    found = smooth_calibration(positive, chance)
    assert found is not None
    # A line through two places goes through the observed share at both.
    shares = np.where(chance < 0.5, positive[chance < 0.5].mean(), positive[chance > 0.5].mean())
    assert found.observed == pytest.approx(shares, abs=1e-9)


def test_predictions_that_promise_far_too_much_have_a_curve() -> None:
    """Newton's method would begin at their own slope, which is many times the one that fits."""
    rng = np.random.default_rng(4)
    x = 1.5 * rng.normal(size=300)
    positive = rng.random(300) < special.expit(x)
    chance = special.expit(8 * x)
    found = smooth_calibration(positive, chance)
    assert found is not None
    fitted = sm.GLM(positive * 1.0, spline_basis(logits(chance)), family=sm.families.Binomial()).fit(
        tol=1e-12
    )
    assert found.observed == pytest.approx(fitted.fittedvalues, abs=1e-6)
