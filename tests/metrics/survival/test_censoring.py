"""Censored measures against scikit-survival and lifelines, on data with ties and heavy censoring."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import CoxPHFitter
from pandas import DataFrame
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import (
    brier_score,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
    integrated_brier_score,
)
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv

from histonic.metrics.survival.censoring import (
    auc_at,
    baseline_hazard,
    brier_at,
    integrated_brier,
    mean_auc,
    still_alive,
    still_followed,
    uno_concordance,
)
from histonic.metrics.survival.concordance import concordance
from histonic.metrics.survival.curves import kaplan_meier
from histonic.metrics.survival.outcome import Survival

SEEDS = range(12)


def drawn(seed: int, n: int = 80) -> tuple[Survival, np.ndarray, np.ndarray]:
    """Outcome with ties, from a few to most patients censored; tied risks; times within the follow-up."""
    rng = np.random.default_rng(seed)
    risk = np.round(rng.normal(size=n), seed % 3)
    event_time = rng.exponential(np.exp(-risk) * 10)
    lost = rng.exponential(5 + 10 * (seed % 4), n)
    time = np.ceil(np.minimum(event_time, lost) * (1 + seed % 2)) / (1 + seed % 2)
    event = event_time <= lost
    # The last patient is followed for longest: without one, late weights are not defined.
    time[-1], event[-1] = time.max() + 1, True
    times = np.unique(np.quantile(time, [0.15, 0.3, 0.5, 0.7]))
    return Survival(time, event), risk, times


def structured(outcome: Survival) -> np.ndarray:
    return np.asarray(Surv.from_arrays(outcome.event, outcome.time))


@pytest.mark.parametrize("seed", SEEDS)
def test_both_curves_are_those_of_the_libraries(seed: int) -> None:
    outcome, _, times = drawn(seed)
    other = CensoringDistributionEstimator().fit(structured(outcome)).predict_proba(times)
    assert still_followed(outcome, times) == pytest.approx(other, abs=1e-9)
    curve = kaplan_meier(outcome)
    mine = curve.survival[np.searchsorted(curve.time, times, side="right") - 1]
    assert still_alive(outcome, times) == pytest.approx(mine, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_uno_is_that_of_scikit_survival(seed: int) -> None:
    outcome, risk, times = drawn(seed)
    both = structured(outcome)
    for until in (None, float(times[-1])):
        other = concordance_index_ipcw(both, both, risk, tau=until)[0]
        mine = uno_concordance(outcome, risk, until=np.inf if until is None else until)
        assert float(mine) == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_auc_over_time_is_that_of_scikit_survival(seed: int) -> None:
    outcome, risk, times = drawn(seed)
    both = structured(outcome)
    each, mean = cumulative_dynamic_auc(both, both, risk, times)
    assert auc_at(outcome, risk, times) == pytest.approx(each, abs=1e-9)
    assert float(mean_auc(outcome, risk, times)) == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_brier_scores_are_those_of_scikit_survival(seed: int) -> None:
    outcome, risk, times = drawn(seed)
    both = structured(outcome)
    alive = np.exp(-times[None] / 12 * np.exp(risk)[:, None])
    assert brier_at(outcome, alive, times) == pytest.approx(
        brier_score(both, both, alive, times)[1], abs=1e-9
    )
    other = integrated_brier_score(both, both, alive, times)
    assert float(integrated_brier(outcome, alive, times)) == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_baseline_is_that_of_both_libraries(seed: int) -> None:
    outcome, risk, times = drawn(seed)
    noisy = (risk + np.random.default_rng(seed).normal(size=len(risk)))[:, None]
    model = CoxPHSurvivalAnalysis(ties="breslow").fit(noisy, structured(outcome))
    log_hazard = model.predict(noisy)
    alive = np.exp(-baseline_hazard(outcome, log_hazard, times)[None] * np.exp(log_hazard)[:, None])
    other = np.array([curve(times) for curve in model.predict_survival_function(noisy)])
    assert alive == pytest.approx(other, abs=1e-8)
    table = DataFrame({"x": noisy[:, 0], "time": outcome.time, "event": outcome.event})
    fitted = CoxPHFitter().fit(table, "time", "event")
    log_hazard = fitted.predict_log_partial_hazard(table).to_numpy()
    mine = baseline_hazard(outcome, log_hazard, times)
    theirs = fitted.baseline_cumulative_hazard_["baseline cumulative hazard"]
    at = theirs.to_numpy()[np.searchsorted(theirs.index.to_numpy(), times, side="right") - 1]
    assert mine == pytest.approx(at, rel=1e-6)


def test_counts_are_patients_repeated() -> None:
    outcome, risk, times = drawn(3)
    counts = np.random.default_rng(0).multinomial(len(risk), np.full(len(risk), 1 / len(risk)), size=5)
    alive = np.exp(-times[None] / 12 * np.exp(risk)[:, None])
    for row in counts:
        rows = np.repeat(np.arange(len(risk)), row)
        again = Survival(outcome.time[rows], outcome.event[rows])
        pairs = [
            (uno_concordance(outcome, risk, counts), uno_concordance(again, risk[rows])),
            (auc_at(outcome, risk, times, counts), auc_at(again, risk[rows], times)),
            (mean_auc(outcome, risk, times, counts), mean_auc(again, risk[rows], times)),
            (brier_at(outcome, alive, times, counts), brier_at(again, alive[rows], times)),
            (integrated_brier(outcome, alive, times, counts), integrated_brier(again, alive[rows], times)),
        ]
        number = int(np.flatnonzero((counts == row).all(axis=1))[0])
        for many, one in pairs:
            assert many[number] == pytest.approx(one, abs=1e-12, nan_ok=True)


def test_without_censoring_uno_is_harrell() -> None:
    outcome, risk, _ = drawn(1)
    whole = Survival(outcome.time, np.ones(len(risk), bool))
    assert float(uno_concordance(whole, risk)) == pytest.approx(float(concordance(whole, risk)))


def test_nothing_to_compare_is_nan() -> None:
    outcome = Survival(np.array([1.0, 2.0]), np.array([False, False]))
    assert np.isnan(uno_concordance(outcome, np.zeros(2)))
    assert np.isnan(auc_at(outcome, np.zeros(2), np.array([1.0]))).all()
