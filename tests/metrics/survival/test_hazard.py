"""Hazard ratios against lifelines and scikit-survival, with ties and heavy censoring."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv
from statsmodels.duration.hazard_regression import PHReg

from histonic.metrics.inference.comparisons import crossed_p
from histonic.metrics.survival.hazard import fit_cox, hazard_ratio, likelihood_ratio, log_hazard_slope
from histonic.metrics.survival.outcome import Survival


def drawn(seed: int, n: int = 90) -> tuple[Survival, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk = np.round(rng.normal(size=n), seed % 3)
    time, end = rng.exponential(np.exp(-0.7 * risk) * 10), rng.exponential(4 + 8 * (seed % 3), n)
    return Survival(np.ceil(np.minimum(time, end)), time <= end), risk


@pytest.mark.parametrize("seed", range(9))
def test_slope_equals_scikit_survival_with_ties(seed: int) -> None:
    outcome, risk = drawn(seed)
    other = CoxPHSurvivalAnalysis(ties="breslow", tol=1e-12).fit(
        risk[:, None], Surv.from_arrays(outcome.event, outcome.time)
    )
    assert log_hazard_slope(outcome, risk) == pytest.approx(other.coef_[0], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_ratio_equals_lifelines(seed: int) -> None:
    outcome, risk = drawn(seed)
    found = hazard_ratio(outcome, risk)
    table = pd.DataFrame({"x": risk, "t": outcome.time, "e": outcome.event})
    exactly = {"precision": 1e-10, "r_precision": 1e-13}
    row = CoxPHFitter().fit(table, "t", "e", fit_options=exactly).summary.loc["x"]
    assert found is not None
    expected = [row["exp(coef)"], row["exp(coef) lower 95%"], row["exp(coef) upper 95%"], row["p"]]
    assert list(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_ratio_equals_statsmodels(seed: int) -> None:
    outcome, risk = drawn(seed)
    fold = np.arange(len(risk)) % 4
    found = hazard_ratio(outcome, risk, strata=fold)
    fitted = PHReg(outcome.time, risk[:, None], status=outcome.event, strata=fold, ties="efron").fit()
    low, high = np.exp(fitted.conf_int()[0])
    assert found is not None
    assert list(found) == pytest.approx([np.exp(fitted.params[0]), low, high, fitted.pvalues[0]], abs=1e-6)


def test_an_inflated_variance_widens_interval_and_p() -> None:
    outcome, risk = drawn(1)
    one, two = hazard_ratio(outcome, risk), hazard_ratio(outcome, risk, inflation=2.0)
    assert one is not None and two is not None and one.value == two.value
    assert np.log(two.high / two.value) == pytest.approx(np.sqrt(2) * np.log(one.high / one.value))
    assert two.p == pytest.approx(crossed_p(one.p))


def test_a_stratum_without_events_changes_nothing() -> None:
    outcome, risk = drawn(2)
    more = Survival(np.append(outcome.time, [3.0, 4.0]), np.append(outcome.event, [False, False]))
    fold = np.append(np.arange(len(risk)) % 3, [9, 9])
    one = hazard_ratio(outcome, risk, strata=fold[:-2])
    assert hazard_ratio(more, np.append(risk, [0.0, 1.0]), strata=fold) == one


def test_no_finite_ratio() -> None:
    outcome = Survival(np.arange(1.0, 21.0), np.arange(20) < 10)
    assert hazard_ratio(outcome, (np.arange(20) < 10).astype(float)) is None
    assert np.isnan(log_hazard_slope(Survival(np.arange(1.0, 11.0), np.ones(10, bool)), -np.arange(10.0)))


def test_no_slope_without_events_or_differences() -> None:
    time = np.arange(1.0, 6.0)
    assert log_hazard_slope(Survival(time, np.zeros(5, bool)), time) == 0
    assert log_hazard_slope(Survival(time, np.ones(5, bool)), np.ones(5)) == 0


def test_likelihood_ratio_equals_that_of_lifelines() -> None:
    outcome, risk = drawn(4)
    fitted = fit_cox(outcome, pd.DataFrame({"x": risk}), penalty=0.0)
    other = fitted.log_likelihood_ratio_test()
    null = fitted.log_likelihood_ - other.test_statistic / 2
    found = likelihood_ratio(null, fitted.log_likelihood_, 1)
    assert (found.statistic, found.p) == pytest.approx((other.test_statistic, other.p_value))
