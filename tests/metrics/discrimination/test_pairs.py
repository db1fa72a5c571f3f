"""Shares of pairs equal the known measures, and their intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.metrics.discrimination.pairs import Order, count_pairs, difference, estimate_share
from histonic.metrics.survival.concordance import concordance
from histonic.metrics.survival.outcome import check_survival

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def share(order: Order, score: np.ndarray, groups: np.ndarray | None = None) -> float:
    found = estimate_share([count_pairs(order, score, groups)])
    assert found is not None
    return found.value


def test_share_of_a_class_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(0)
    truth, score = (rng.random(80) < 0.3).astype(float), rng.normal(size=80).round(1)
    assert share(Order(truth), score) == pytest.approx(sklearn_metrics.roc_auc_score(truth, score))


def test_share_of_survival_is_harrells_c() -> None:
    rng = np.random.default_rng(1)
    time, event = rng.integers(1, 15, 90).astype(float), rng.random(90) < 0.6
    risk, site = rng.normal(size=90).round(1), rng.integers(0, 3, 90)
    outcome = check_survival(time, event)
    assert share(Order(time, event), risk) == pytest.approx(float(concordance(outcome, risk)))
    within = float(concordance(outcome, risk, within=site))
    assert share(Order(time, event), risk, site) == pytest.approx(within)


def test_many_pairs_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    order, score = Order(rng.normal(size=40)), rng.normal(size=40)
    whole = count_pairs(order, score)
    monkeypatch.setattr("histonic.metrics.discrimination.pairs.PAIRS_AT_ONCE", 100)
    assert np.array_equal(count_pairs(order, score).right, whole.right)


def test_interval_has_the_width_of_delong() -> None:
    """Of the area under the curve of normal scores the standard error is known from repetition."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        truth = np.repeat([0.0, 1.0], 60)
        found.append(estimate_share([count_pairs(Order(truth), truth + rng.normal(size=120))]))
    values = np.array([each.value for each in found])
    errors = np.array([np.sqrt(np.sum(each.influence**2)) for each in found])
    assert errors.mean() == pytest.approx(values.std(), rel=0.12)
    covered = np.mean([each.low <= values.mean() <= each.high for each in found])
    assert 0.91 <= covered <= 0.99


def test_perfect_order_keeps_an_interval() -> None:
    found = estimate_share([count_pairs(Order(np.arange(30.0)), np.arange(30.0))])
    assert found.value == 1.0 and found.high == 1.0 and 0.7 < found.low < 0.9


def test_nothing_to_compare_is_none() -> None:
    assert estimate_share([count_pairs(Order(np.ones(5)), np.arange(5.0))]) is None
    assert estimate_share([]) is None


def test_classes_are_averaged() -> None:
    order, score = Order(np.array([0.0, 0.0, 1.0])), np.array([0.0, 2.0, 1.0])
    one, other = count_pairs(order, score), count_pairs(order, -score)
    assert estimate_share([one, other]).value == pytest.approx(0.5)


def test_equal_scores_do_not_differ() -> None:
    found = estimate_share([count_pairs(Order(np.arange(20.0)), np.arange(20.0) % 7)])
    assert difference(found, found) == (0.0, 0.0, 0.0)
