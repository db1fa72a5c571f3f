"""Comparisons of models: against formulas written out, and honest where there is no difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import roc_auc_score

from histonic.core.errors import CohortError
from histonic.metrics.discrimination.labels import auroc
from histonic.metrics.inference.comparisons import crossed_p, delong, holm, permutation_p
from histonic.metrics.inference.intervals import bootstrap


def drawn(seed: int, n: int = 60, shared: float = 0.7, gain: float = 0.0) -> tuple[np.ndarray, ...]:
    """Truth and correlated scores of two models with ties; ``gain`` makes the first one better."""
    rng = np.random.default_rng(seed)
    positive = np.arange(n) % 3 == 0
    common, own = rng.normal(size=n), rng.normal(size=(2, n))
    scores = np.sqrt(shared) * common + np.sqrt(1 - shared) * own + 0.8 * positive
    scores[0] += gain * positive
    return positive, scores[0].round(1), scores[1].round(1)


def by_hand(positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Difference and variance from the pairs themselves, as in the paper."""
    areas, tens, ones = [], [], []
    for score in (first, second):
        pairs = (score[positive][:, None] > score[~positive]) + 0.5 * (
            score[positive][:, None] == score[~positive]
        )
        areas.append(pairs.mean())
        tens.append(pairs.mean(axis=1))
        ones.append(pairs.mean(axis=0))
    contrast = np.array([1.0, -1.0])
    covariance = np.cov(tens) / positive.sum() + np.cov(ones) / (~positive).sum()
    return float(areas[0] - areas[1]), float(contrast @ covariance @ contrast)


@pytest.mark.parametrize("seed", range(8))
def test_delong_is_the_formula_of_the_paper(seed: int) -> None:
    positive, first, second = drawn(seed)
    found = delong(positive, first, second)
    value, variance = by_hand(positive, first, second)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(positive, first) - roc_auc_score(positive, second))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(value) / np.sqrt(variance)), rel=1e-9)
    assert found.high - found.low == pytest.approx(2 * 1.959964 * np.sqrt(variance), rel=1e-6)
    other = delong(positive, second, first)
    assert (other.value, other.low, other.high) == pytest.approx((-found.value, -found.high, -found.low))


@pytest.mark.parametrize("seed", range(6))
def test_delong_within_folds_is_a_weighted_sum_of_the_folds(seed: int) -> None:
    """By definition: each fold's difference and variance, weighted by its share of all pairs."""
    positive, first, second = drawn(seed, n=90)
    fold = np.random.default_rng(seed).choice(3, 90, p=(0.5, 0.3, 0.2))
    weights, values, variances = [], [], []
    for name in range(3):
        here = fold == name
        value, variance = by_hand(positive[here], first[here], second[here])
        weights.append(positive[here].sum() * (~positive[here]).sum())
        values.append(value)
        variances.append(variance)
    share = np.array(weights) / np.sum(weights)
    found = delong(positive, first, second, folds=(fold, fold))
    error = np.sqrt(share**2 @ variances)
    assert found.value == pytest.approx(share @ values, abs=1e-12)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.value) / error), rel=1e-9)
    areas = [auroc(positive, score, within=fold) for score in (first, second)]
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-12)


def test_delong_of_other_folds_and_repeats() -> None:
    positive, first, second = drawn(2, n=80, gain=0.8)
    rng = np.random.default_rng(0)
    folds = rng.integers(0, 4, (80, 2)), rng.integers(0, 4, (80, 3))
    scores = [np.stack([score + 0.1 * rng.normal(size=80) for _ in range(k)], axis=1) for score, k in
              ((first, 2), (second, 3))]  # fmt: skip
    found = delong(positive, *scores, folds=folds)
    means = [
        np.mean([auroc(positive, each, within=fold) for each, fold in zip(score.T, of.T, strict=True)])
        for score, of in zip(scores, folds, strict=True)
    ]
    assert found.value == pytest.approx(means[0] - means[1], abs=1e-12)
    assert found.low < found.value < found.high


def test_a_single_patient_of_a_kind_in_a_fold_takes_the_spread_of_the_others() -> None:
    positive, first, second = drawn(5, n=60)
    fold = np.where(positive, np.cumsum(positive) % 4, np.arange(60) % 4)
    alone = np.flatnonzero(positive)[:1]
    fold[positive & (fold == fold[alone])] = (fold[alone] + 1) % 4
    whole = delong(positive, first, second)
    found = delong(positive, first, second, folds=(fold, fold))
    assert 0.7 < (found.high - found.low) / (whole.high - whole.low) < 1.6


def test_no_pair_in_any_fold_is_refused() -> None:
    positive = np.array([True, True, False, False])
    score = np.arange(4.0)
    with pytest.raises(CohortError, match="No fold holds a positive and a negative"):
        delong(positive, score, score, folds=(positive, positive))


def test_delong_agrees_with_the_paired_bootstrap() -> None:
    positive, first, second = drawn(3, n=300, gain=0.4)
    found = delong(positive, first, second)
    values = bootstrap(
        [lambda counts: auroc(positive, first, counts) - auroc(positive, second, counts)],
        300,
        4000,
        np.random.default_rng(0),
    )[0]
    assert np.quantile(values, [0.025, 0.975]) == pytest.approx([found.low, found.high], abs=0.012)


def test_models_that_are_the_same_do_not_differ() -> None:
    positive, first, _ = drawn(0)
    assert delong(positive, first, np.exp(first)) == (0.0, 0.0, 0.0, 1.0)
    with pytest.raises(CohortError, match="1 positive and 59 negative"):
        delong(np.arange(60) == 0, first, first)


@pytest.mark.long
def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    both = []
    for seed in range(300):
        positive, first, second = drawn(seed, n=90)
        rng = np.random.default_rng(seed)

        def area(score: np.ndarray, truth: np.ndarray = positive) -> float:
            return float(auroc(truth, score))

        permuted = permutation_p(area, first, second, permutations=60, rng=rng)
        both.append((delong(positive, first, second).p, permuted - rng.random() / 61))
    for values in zip(*both, strict=True):
        assert stats.kstest(values, "uniform").pvalue > 0.01


def test_a_real_difference_is_found_by_permutation() -> None:
    positive, first, second = drawn(1, n=240, gain=1.0)
    p = permutation_p(
        lambda score: float(auroc(positive, score)),
        first,
        second,
        permutations=400,
        rng=np.random.default_rng(0),
    )
    assert p == pytest.approx(1 / 401)


def test_predictions_of_several_columns_are_swapped_whole() -> None:
    truth = np.arange(12) % 3
    first, second = np.eye(3)[truth], np.eye(3)[(truth + 1) % 3]

    def right(probabilities: np.ndarray) -> float:
        assert np.allclose(probabilities.sum(axis=1), 1)
        return float((probabilities.argmax(axis=1) == truth).mean())

    assert permutation_p(right, first, second, permutations=300, rng=np.random.default_rng(0)) < 0.02


def test_a_p_value_of_twice_the_variance() -> None:
    """A difference of 1.96 errors is one of 1.386 errors that are 1.414 times as large."""
    assert crossed_p(2 * stats.norm.sf(1.96)) == pytest.approx(2 * stats.norm.sf(1.96 / np.sqrt(2)))
    assert crossed_p(1.0) == 1.0 and 0 < crossed_p(1e-12) < 1e-5


@given(arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 1)))
def test_holm_is_stepwise_bonferroni(p: np.ndarray) -> None:
    corrected = holm(p)
    order = np.argsort(p, kind="stable")
    for place, row in enumerate(order):
        expected = max(min(1.0, p[order[k]] * (len(p) - k)) for k in range(place + 1))
        assert corrected[row] == pytest.approx(expected)
    assert (corrected >= p).all()
