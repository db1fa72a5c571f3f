"""Regression metrics against scipy and scikit-learn, and their chance levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from histonic.metrics.discrimination import regression


def values(seed: int, n: int = 60, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n) * 3 + 10
    predicted = truth + rng.normal(size=n) * 2
    return (np.round(truth), np.round(predicted)) if ties else (truth, predicted)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_scipy_and_scikit_learn(seed: int, ties: bool) -> None:
    truth, predicted = values(seed, ties=ties)
    expected = stats.spearmanr(truth, predicted).statistic
    assert regression.spearman(truth, predicted) == pytest.approx(expected, abs=1e-12)
    expected = sk.mean_absolute_error(truth, predicted)
    assert regression.mean_absolute_error(truth, predicted) == pytest.approx(expected, abs=1e-12)
    assert regression.explained_variance(truth, predicted) == pytest.approx(
        sk.r2_score(truth, predicted), abs=1e-12
    )


def test_counts_repeat_patients() -> None:
    truth, predicted = values(1, ties=True)
    counts = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=3)
    for metric in (regression.spearman, regression.mean_absolute_error, regression.explained_variance):
        found = metric(truth, predicted, counts.astype(float))
        for row, times in enumerate(counts):
            repeated = metric(np.repeat(truth, times), np.repeat(predicted, times))
            assert found[row] == pytest.approx(repeated, abs=1e-12)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=25))
def test_spearman_knows_only_the_order(rows: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(rows, dtype=float).T
    found = regression.spearman(truth, predicted)
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        assert np.isnan(found)
        return
    assert -1 - 1e-12 <= found <= 1 + 1e-12
    assert regression.spearman(truth, predicted**3) == pytest.approx(found, abs=1e-12)
    assert regression.spearman(truth, -predicted) == pytest.approx(-found, abs=1e-12)
    assert regression.spearman(predicted, truth) == pytest.approx(found, abs=1e-12)


def test_explained_variance_survives_a_large_offset() -> None:
    truth, predicted = values(2)
    near = regression.explained_variance(truth, predicted)
    assert regression.explained_variance(truth + 1e8, predicted + 1e8) == pytest.approx(near, abs=1e-5)


def test_explained_variance_of_a_constant_truth_is_undefined() -> None:
    truth = np.array([0.1, 0.1, 0.1, 5.0])
    counts = np.array([[1.0, 1, 1, 0], [1.0, 1, 1, 1]])
    assert np.isnan(regression.explained_variance(truth, truth, counts)).tolist() == [True, False]


def test_explained_variance_of_the_mean_is_zero_and_of_worse_is_below() -> None:
    truth = np.array([1.0, 2.0, 3.0])
    assert regression.explained_variance(truth, truth[::-1]) == pytest.approx(-3)


def test_mean_of_other_folds() -> None:
    truth = np.array([1.0, 2.0, 6.0, 8.0, 10.0])
    fold = np.array([0, 0, 1, 1, 2])
    expected = [8.0, 8.0, 13 / 3, 13 / 3, 17 / 4]
    assert regression.mean_of_other_folds(truth, fold) == pytest.approx(expected)
    assert regression.mean_of_other_folds(truth, np.zeros(5)) == pytest.approx([5.4] * 5)
    shares = regression.mean_of_other_folds(np.eye(2)[[0, 1, 1, 1]], np.array([0, 0, 1, 1]))
    assert shares.tolist() == [[0, 1], [0, 1], [0.5, 0.5], [0.5, 0.5]]


def test_calibration_line_equals_scipy() -> None:
    truth, predicted = values(3)
    line = regression.calibration_line(truth, predicted)
    expected = stats.linregress(predicted, truth)
    assert line == pytest.approx((expected.slope, expected.intercept))
    assert regression.calibration_line(truth, np.ones(60)) is None


# ------------------------------------------------------------------- within groups


def triples(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    """By definition: sums over three different patients of the signs, as they stand in the docstring."""
    n = len(truth)
    found = np.zeros(3)
    for i in range(n):
        for j in range(n):
            for k in range(n):
                if len({i, j, k}) == 3:
                    for at, (one, other) in enumerate(
                        ((truth, predicted), (truth, truth), (predicted, predicted))
                    ):
                        found[at] += np.sign(one[i] - one[j]) * np.sign(other[i] - other[k])
    return tuple(found / max(n - 2, 1))


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_within_is_the_share_of_triples(ties: bool) -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(size=19).round(0 if ties else 9)
    predicted = (truth + rng.normal(size=19)).round(0 if ties else 9)
    group = np.repeat([0, 1, 2], [9, 7, 3])
    sums = np.sum([triples(truth[group == k], predicted[group == k]) for k in range(3)], axis=0)
    expected = sums[0] / np.sqrt(sums[1] * sums[2])
    assert regression.spearman_within(truth, predicted, group) == pytest.approx(expected, abs=1e-12)
    assert regression.spearman(truth, predicted, within=group) == pytest.approx(expected, abs=1e-12)


def test_spearman_within_small_groups_is_that_of_the_population() -> None:
    """Normal values of correlation 0.6 have a Spearman correlation of 6 / pi asin(0.3) = 0.582."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=9000)
    predicted = 0.6 * truth + 0.8 * rng.normal(size=9000)
    small = regression.spearman_within(truth, predicted, np.arange(9000) // 6)
    assert small == pytest.approx(6 / np.pi * np.arcsin(0.3), abs=0.015)
    # Ranks as they are would be lower by 3 (rho - tau) / 7 = 0.07.
    each = [stats.spearmanr(truth[k : k + 6], predicted[k : k + 6])[0] for k in range(0, 9000, 6)]
    assert np.mean(each) < 0.54


def test_spearman_within_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    truth, predicted, group = rng.normal(size=60), rng.normal(size=60), np.arange(60) % 2
    counts = rng.integers(0, 3, (5, 60)).astype(float)
    whole = regression.spearman_within(truth, predicted, group, counts)
    monkeypatch.setattr(regression, "PAIRS_AT_ONCE", 70)
    assert regression.spearman_within(truth, predicted, group, counts) == pytest.approx(whole, abs=1e-12)


def test_two_patients_a_group_say_nothing() -> None:
    value = regression.spearman_within(np.arange(4.0), np.arange(4.0), np.array([0, 0, 1, 1]))
    assert np.isnan(value)


def test_median_absolute_error_is_the_median_of_the_patients_drawn() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.normal(size=31), rng.normal(size=31)
    counts = rng.integers(0, 3, (6, 31))
    found = regression.median_absolute_error(truth, predicted, counts.astype(float))
    expected = [np.median(np.repeat(np.abs(truth - predicted), row)) for row in counts]
    assert found == pytest.approx(expected, abs=1e-12)
    assert np.isnan(regression.median_absolute_error(truth, predicted, np.zeros(31)))


def test_few_patients_dominate_heavy_tails_only() -> None:
    rng = np.random.default_rng(0)
    normal = [len(regression.dominating(rng.normal(size=60) ** 2)) for _ in range(200)]
    heavy = [len(regression.dominating(rng.standard_cauchy(size=60) ** 2)) for _ in range(200)]
    assert sum(map(bool, normal)) == 0 and sum(map(bool, heavy)) > 150
