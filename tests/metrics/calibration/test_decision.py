"""Net benefit against its definition, and survival without censoring against the binary form."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.metrics.calibration.decision import net_benefit, net_benefit_by
from histonic.metrics.survival.curves import kaplan_meier
from histonic.metrics.survival.outcome import Survival

THRESHOLDS = np.array([0.05, 0.2, 0.5, 0.9])


def test_by_definition() -> None:
    rng = np.random.default_rng(0)
    positive, chance = rng.random(50) < 0.4, rng.random(50).round(1)
    for threshold, value in zip(THRESHOLDS, net_benefit(positive, chance, THRESHOLDS), strict=True):
        treated = chance >= threshold
        found, needless = np.sum(treated & positive), np.sum(treated & ~positive)
        assert value == pytest.approx((found - needless * threshold / (1 - threshold)) / 50)


def test_a_perfect_model_reaches_the_share_of_positives() -> None:
    positive = np.arange(10) < 3
    assert net_benefit(positive, positive * 1.0, THRESHOLDS) == pytest.approx(np.full(4, 0.3))


def test_counts_are_patients_drawn_again() -> None:
    rng = np.random.default_rng(1)
    positive, chance, counts = rng.random(30) < 0.4, rng.random(30), rng.integers(0, 3, (3, 30))
    for row, values in zip(counts, net_benefit(positive, chance, THRESHOLDS, counts), strict=True):
        again = net_benefit(np.repeat(positive, row), np.repeat(chance, row), THRESHOLDS)
        assert values == pytest.approx(again)


def test_survival_without_censoring_is_the_binary_form() -> None:
    rng = np.random.default_rng(2)
    time, chance = rng.exponential(size=40), rng.random(40)
    outcome = Survival(time, np.ones(40, bool))
    expected = net_benefit(time <= 0.7, chance, THRESHOLDS)
    assert net_benefit_by(outcome, chance, 0.7, THRESHOLDS) == pytest.approx(expected)


def test_treating_all_under_censoring_uses_the_kaplan_meier_share() -> None:
    rng = np.random.default_rng(3)
    outcome = Survival(rng.exponential(size=60).round(1), rng.random(60) < 0.5)
    curve = kaplan_meier(outcome)
    alive = curve.survival[np.searchsorted(curve.time, 0.8, side="right") - 1]
    found = net_benefit_by(outcome, np.ones(60), 0.8, THRESHOLDS)
    assert found == pytest.approx((1 - alive) - alive * THRESHOLDS / (1 - THRESHOLDS))


def test_treating_nobody_has_no_benefit() -> None:
    outcome = Survival(np.array([1.0, 2.0]), np.array([True, False]))
    assert net_benefit_by(outcome, np.zeros(2), 1.5, np.array([0.5])).tolist() == [0.0]
