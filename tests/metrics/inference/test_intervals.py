"""Intervals against scipy's bootstrap, their coverage, and that they depend on nothing but the seed."""

from __future__ import annotations

import inspect
import time
from functools import partial

import numpy as np
import pytest
from scipy import stats

from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference import intervals
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.outcome import check_survival

SEED = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"
"""What SciPy calls its source of chance; before 1.15 by another name."""


def mean_of(values: np.ndarray) -> intervals.Statistic:
    return lambda counts: counts @ values / counts.sum(axis=1)


def test_every_resample_has_n_patients() -> None:
    totals = intervals.bootstrap([lambda counts: counts.sum(axis=1)], 17, 50, np.random.default_rng(0))
    assert np.all(totals == 17)


def test_resamples_are_shared_and_seeded() -> None:
    values = np.random.default_rng(1).normal(size=30)
    draw = partial(intervals.bootstrap, n=30, resamples=200)
    twice = draw([mean_of(values), mean_of(2 * values)], rng=np.random.default_rng(5))
    assert np.allclose(twice[1], 2 * twice[0])
    assert np.array_equal(twice[:1], draw([mean_of(values)], rng=np.random.default_rng(5)))
    assert not np.array_equal(twice[:1], draw([mean_of(values)], rng=np.random.default_rng(6)))


def test_pieces_do_not_change_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=30)
    whole = intervals.bootstrap([mean_of(values)], 30, 100, np.random.default_rng(5))
    monkeypatch.setattr(intervals, "COUNTS_AT_ONCE", 200)
    pieces = intervals.bootstrap([mean_of(values)], 30, 100, np.random.default_rng(5))
    assert np.allclose(whole, pieces, atol=1e-14)
    assert np.allclose(
        intervals.leave_out([mean_of(values)], 30)[0], [np.delete(values, i).mean() for i in range(30)]
    )


def test_many_patients_are_left_out_in_groups() -> None:
    values = np.arange(1250.0)
    left = intervals.leave_out([mean_of(values)], 1250)[0]
    assert len(left) == intervals.JACKKNIFE_GROUPS
    assert left[3] == pytest.approx(np.delete(values, [3, 503, 1003]).mean())


def test_interval_equals_scipy() -> None:
    values = np.random.default_rng(2).exponential(size=40)
    resampled = intervals.bootstrap([mean_of(values)], 40, 20_000, np.random.default_rng(0))[0]
    left = intervals.leave_out([mean_of(values)], 40)[0]
    found = intervals.bca_interval(float(values.mean()), resampled, left)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", **{SEED: np.random.default_rng(1)}
    ).confidence_interval
    # Two runs of 20 000 resamples differ by about 1 % of the width.
    assert found == pytest.approx((expected.low, expected.high), abs=0.02)


def test_bias_moves_the_interval_to_the_other_side() -> None:
    # A median bias of half a standard deviation: the ends lie at 2 * 0.5 -+ 1.96.
    resampled = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    found = intervals.bca_interval(0.5, resampled, np.array([-1.0, 0.0, 1.0]))
    assert found == pytest.approx((1 - 1.96, 1 + 1.96), abs=0.01)


def test_undefined_resamples_are_left_aside() -> None:
    resampled = np.concatenate((np.random.default_rng(0).normal(size=500), np.full(100, np.nan)))
    left = np.array([-1.0, 0.0, 1.0, np.nan])
    found = intervals.bca_interval(0.0, resampled, left)
    assert found == intervals.bca_interval(0.0, resampled[:500], left[:3])
    assert intervals.bca_interval(0.0, np.full(5, np.nan), left) is None


def test_a_statistic_that_does_not_vary_has_an_interval_of_no_width() -> None:
    assert intervals.bca_interval(0.5, np.full(10, 0.5), np.full(4, 0.5)) == (0.5, 0.5)


def test_extreme_values_stay_within_the_resamples() -> None:
    resampled = np.random.default_rng(0).random(1000)
    left = np.concatenate((np.zeros(49), [1.0]))
    for value in (-3.0, 0.0, 1.0, 3.0):
        found = intervals.bca_interval(value, resampled, left)
        assert found is not None
        assert 0 <= found.low <= found.high <= 1


def test_exact_bound_is_that_of_clopper_and_pearson() -> None:
    expected = stats.binomtest(12, 12).proportion_ci(0.95, "exact").low
    assert intervals.exact_bound(12) == pytest.approx(expected)


METRICS = ["auroc", "average precision", "spearman", "concordance"]


def null_cohort(name: str, n: int, rng: np.random.Generator) -> tuple[intervals.Statistic, float]:
    """A metric of predictions that know nothing, and its chance level."""
    score = rng.normal(size=n)
    if name == "spearman":
        return partial(regression.spearman, rng.normal(size=n), score), 0.0
    if name == "concordance":
        outcome = check_survival(rng.exponential(size=n), rng.random(n) < 0.6)
        return partial(survival.concordance, outcome, score), 0.5
    positive = rng.permutation(n) < 0.4 * n
    if name == "auroc":
        return partial(labels.auroc, positive, score), 0.5
    return partial(labels.average_precision, positive, score), labels.chance_precision(positive.sum(), n)


@pytest.mark.long
@pytest.mark.parametrize("name", METRICS)
def test_intervals_cover_chance_when_nothing_is_known(name: str) -> None:
    rng = np.random.default_rng(11)
    above = below = 0
    for _ in range(300):
        statistic, chance = null_cohort(name, 60, rng)
        resampled = intervals.bootstrap([statistic], 60, 400, rng)[0]
        value = float(statistic(np.ones((1, 60)))[0])
        found = intervals.bca_interval(value, resampled, intervals.leave_out([statistic], 60)[0])
        assert found is not None
        above += found.low > chance
        below += found.high < chance
    # 15 misses expected with a spread of 4; a 90 % interval would miss 30, a 99 % one 3.
    assert 5 <= above + below <= 25
    assert min(above, below) >= 1


@pytest.mark.parametrize(("n", "seconds"), [(500, 2.0), (2000, 15.0)])
def test_two_thousand_resamples_are_quick(n: int, seconds: float) -> None:
    rng = np.random.default_rng(0)
    statistics = [null_cohort(name, n, rng)[0] for name in METRICS]
    begin = time.process_time()
    for statistic in statistics:
        intervals.bootstrap([statistic], n, 2000, rng)
    assert time.process_time() - begin < len(METRICS) * seconds


def test_reach_is_that_of_student_for_normal_influences() -> None:
    influence = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    assert intervals.reach_of(influence) == pytest.approx(1.96, abs=0.005)
    # Kurtosis 3 in a sample of 20: 2 * 20 / 2 = 20 degrees of freedom, at most 19.
    small = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    assert intervals.reach_of(small) == pytest.approx(np.sqrt(20 / 19) * stats.t.ppf(0.975, 19), abs=0.01)


def test_few_influential_patients_widen_the_interval() -> None:
    even, uneven = np.tile([0.0, 1.0], 50), (np.arange(100) < 3).astype(float)
    assert intervals.reach_of(uneven) > 2.3 > intervals.reach_of(even)
    assert intervals.reach_of(np.zeros(10)) == pytest.approx(1.96, abs=0.01)


@pytest.mark.parametrize(("scale", "value"), [("logit", 0.9), ("fisher", -0.7)])
def test_jackknife_interval_stays_on_its_scale(scale: intervals.Scale, value: float) -> None:
    left = value + 0.02 * np.random.default_rng(0).uniform(-1, 1, 60)
    low, high = intervals.jackknife_interval(value, left, scale) or (0, 0)
    assert (0 if scale == "logit" else -1) < low < value < high < 1
    # Wider on the side of the middle of the scale.
    middle = 0.5 if scale == "logit" else 0.0
    assert (abs(low - value) > abs(high - value)) == (value > middle)


def test_jackknife_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(3).normal(0, 0.01, 80)
    left = intervals.leave_out([mean_of(values)], 80)[0]
    found = intervals.jackknife_interval(float(values.mean()), left, "fisher")
    expected = stats.t.interval(0.95, 79, values.mean(), values.std(ddof=1) / np.sqrt(80))
    # Near 0 the scale is the plain one.
    assert found == pytest.approx(expected, abs=2e-4)


def test_jackknife_interval_of_a_difference_is_the_paired_t_interval() -> None:
    change = np.random.default_rng(0).normal(0.1, 1, 400)
    left = (change.sum() - change) / 399
    found = intervals.jackknife_interval(float(change.mean()), left, "linear")
    expected = stats.t.interval(0.95, 399, change.mean(), change.std(ddof=1) / 20)
    assert found == pytest.approx(expected, abs=1e-3)


def test_no_jackknife_interval_at_the_end_of_a_scale() -> None:
    assert intervals.jackknife_interval(1.0, np.ones(20), "logit") is None


def test_a_band_leaves_undefined_points_out() -> None:
    drawn = np.stack([np.arange(101.0), np.full(101, np.nan)], axis=1)
    low, high = intervals.percentile_band(drawn)
    assert (low[0], high[0]) == pytest.approx((2.5, 97.5))
    assert np.isnan(low[1]) and np.isnan(high[1])
