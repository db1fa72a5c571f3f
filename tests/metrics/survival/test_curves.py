"""Kaplan-Meier curves and log-rank tests against lifelines and cases done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test, multivariate_logrank_test
from statsmodels.duration.survfunc import survdiff

from histonic.metrics.survival.curves import kaplan_meier, log_rank
from histonic.metrics.survival.outcome import Survival, check_survival


def cohort(seed: int, n: int = 70, censored: float = 0.5) -> tuple[Survival, np.ndarray]:
    """Times and risks with many ties."""
    rng = np.random.default_rng(seed)
    time = np.ceil(rng.exponential(10, n))
    event = rng.random(n) >= censored
    event[:2] = True
    return check_survival(time, event), np.round(rng.normal(size=n) - time / 20, 1)


outcomes = st.lists(
    st.tuples(st.integers(0, 5), st.booleans(), st.integers(-3, 3)), min_size=2, max_size=25
).map(lambda rows: tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("censored", [0.0, 0.5, 0.95])
def test_kaplan_meier_equals_lifelines(seed: int, censored: float) -> None:
    outcome, _ = cohort(seed, censored=censored)
    curve = kaplan_meier(outcome)
    fitted = KaplanMeierFitter().fit(outcome.time, outcome.event)
    assert np.array_equal(curve.time, fitted.survival_function_.index)
    assert np.allclose(curve.survival, fitted.survival_function_.iloc[:, 0], atol=1e-12)
    band = fitted.confidence_interval_survival_function_.to_numpy()
    inner = (curve.survival > 0) & (curve.survival < 1)
    assert np.allclose(curve.low[inner], band[inner, 0], atol=1e-9)
    assert np.allclose(curve.high[inner], band[inner, 1], atol=1e-9)
    assert np.array_equal(curve.at_risk, fitted.event_table["at_risk"])
    assert np.array_equal(curve.censored, fitted.event_table["censored"])
    median = fitted.median_survival_time_
    assert curve.median == (None if np.isinf(median) else median)


def test_kaplan_meier_by_hand() -> None:
    curve = kaplan_meier(check_survival([6, 6, 6, 6, 7, 9, 10, 10], [1, 1, 1, 0, 1, 0, 1, 0]))
    assert curve.time.tolist() == [0, 6, 7, 9, 10]
    assert curve.survival == pytest.approx([1, 5 / 8, 5 / 8 * 3 / 4, 5 / 8 * 3 / 4, 5 / 8 * 3 / 4 / 2])
    assert curve.at_risk.tolist() == [8, 8, 4, 3, 2]
    assert curve.median == 7
    assert (curve.n, curve.events) == (8, 5)


@given(outcomes)
def test_kaplan_meier_falls_inside_its_band(rows: tuple[np.ndarray, ...]) -> None:
    time, event, _ = rows
    curve = kaplan_meier(check_survival(time, event))
    assert np.all(np.diff(curve.survival) <= 0)
    assert np.all((curve.low <= curve.survival) & (curve.survival <= curve.high))
    assert np.all((curve.low >= 0) & (curve.high <= 1))


@pytest.mark.parametrize("seed", range(4))
def test_log_rank_equals_lifelines(seed: int) -> None:
    outcome, risk = cohort(seed)
    high = risk > np.median(risk)
    found = log_rank(outcome, high)
    assert found is not None
    parts = [part[chosen] for part in outcome for chosen in (high, ~high)]
    expected = logrank_test(parts[0], parts[1], parts[2], parts[3])
    assert found.chi2 == pytest.approx(expected.test_statistic, rel=1e-9)
    assert found.p == pytest.approx(expected.p_value, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_stratified_log_rank_equals_statsmodels(seed: int) -> None:
    outcome, risk = cohort(seed)
    high, fold = risk > np.median(risk), np.arange(len(risk)) % 4
    found = log_rank(outcome, high, strata=fold)
    assert found is not None
    expected = survdiff(outcome.time, outcome.event.astype(int), high.astype(int), strata=fold)
    assert found == pytest.approx(expected, rel=1e-9)
    twice = log_rank(outcome, high, strata=fold, inflation=2.0)
    assert twice is not None and twice.chi2 == found.chi2 and twice.p > found.p


def test_log_rank_of_three_groups_equals_lifelines() -> None:
    outcome, risk = cohort(8, n=90)
    group = np.digitize(risk, np.quantile(risk, [1 / 3, 2 / 3]))
    found = log_rank(outcome, group)
    assert found is not None
    expected = multivariate_logrank_test(outcome.time, group, outcome.event)
    assert found == pytest.approx((expected.test_statistic, expected.p_value), rel=1e-9)


def test_log_rank_needs_two_groups_at_risk() -> None:
    outcome = check_survival([1, 2, 3], [0, 1, 1])
    assert log_rank(outcome, np.zeros(3)) is None
    assert log_rank(outcome, np.array([1, 0, 0])) is None


@pytest.mark.long
def test_log_rank_p_is_uniform_without_effect() -> None:
    rng = np.random.default_rng(0)
    small = 0
    for _ in range(400):
        outcome = check_survival(rng.exponential(size=60), rng.random(60) < 0.6)
        found = log_rank(outcome, rng.random(60) < 0.5)
        small += found is not None and found.p < 0.1
    # 40 expected with a spread of 6.
    assert 22 <= small <= 58
