"""Predicted survival comes from other patients alone; the times suit the follow-up."""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from histonic.metrics.survival.outcome import Survival
from histonic.stages.evaluate.survival_times import (
    RiskModel,
    evaluated_times,
    parts_of,
    predict_survival,
    round_times,
)

TIMES = np.array([2.0, 5.0, 9.0])


def drawn(seed: int = 0, n: int = 60) -> tuple[Survival, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    time, end = rng.exponential(10 * np.exp(-risk)), rng.exponential(15, n)
    return Survival(np.minimum(time, end), time <= end), risk, np.arange(n) % 4


def test_a_patients_own_part_has_no_say() -> None:
    outcome, risk, part = drawn()
    before = predict_survival(outcome, risk, part, TIMES)
    here = part == 2
    changed = Survival(np.where(here, 99.0, outcome.time), np.where(here, False, outcome.event))
    after = predict_survival(changed, risk, part, TIMES)
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one[here], other[here])
        assert not np.array_equal(one[~here], other[~here])


@pytest.mark.parametrize("seed", range(4))
def test_the_model_is_that_of_scikit_survival(seed: int) -> None:
    outcome, risk, part = drawn(seed)
    outcome = Survival(np.ceil(outcome.time), outcome.event)
    found = predict_survival(outcome, risk, part, TIMES).by_risk
    here = part == 0
    fitted = CoxPHSurvivalAnalysis(ties="breslow", tol=1e-12).fit(
        risk[~here, None], Surv.from_arrays(outcome.event[~here], outcome.time[~here])
    )
    expected = [curve(TIMES) for curve in fitted.predict_survival_function(risk[here, None])]
    assert found[here] == pytest.approx(np.array(expected), abs=1e-6)


def test_a_cohort_predicted_as_a_whole_is_parted_at_random() -> None:
    parts = parts_of(np.full(52, -1))
    assert sorted(np.bincount(parts).tolist()) == [10, 10, 10, 11, 11]
    assert np.array_equal(parts, parts_of(np.full(52, -1)))


def test_a_frozen_model_is_that_of_scikit_survival() -> None:
    outcome, risk, _ = drawn(1)
    fitted = CoxPHSurvivalAnalysis(ties="breslow", tol=1e-12).fit(
        risk[:, None], Surv.from_arrays(outcome.event, outcome.time)
    )
    elsewhere = drawn(2)[1]
    expected = [curve(TIMES) for curve in fitted.predict_survival_function(elsewhere[:, None])]
    found = RiskModel.fit(outcome, risk).predict(elsewhere, TIMES)
    assert found.by_risk == pytest.approx(np.array(expected), abs=1e-6)
    assert np.ptp(found.by_none, axis=0) == pytest.approx(0) and found.by_none[0, 0] < 1


def test_nothing_is_judged_after_the_fitted_patients_end() -> None:
    found = evaluated_times(Survival(np.arange(1.0, 41.0), np.ones(40, bool)), until=8.0)
    assert found.last == found.grid[-1] == 8.0 and found.horizon <= 8.0


def test_no_events_elsewhere_mean_no_hazard() -> None:
    outcome = Survival(np.arange(1.0, 9.0), np.arange(8) < 4)
    found = predict_survival(outcome, np.zeros(8), (np.arange(8) < 4).astype(int), np.array([6.0]))
    assert found.by_risk[:4].tolist() == [[1.0]] * 4


def test_times_lie_within_the_follow_up() -> None:
    for seed in range(20):
        outcome, *_ = drawn(seed, n=30)
        found = evaluated_times(outcome)
        first = outcome.time[outcome.event].min()
        assert np.mean(outcome.time >= found.last) >= 0.1
        assert all(first <= time <= found.last for time in (*found.quartiles, *found.grid))
        assert first <= found.horizon <= found.last


def test_events_at_the_end_leave_no_span() -> None:
    outcome = Survival(np.full(10, 3.0), np.arange(10) < 3)
    assert len(evaluated_times(outcome).grid) == 0


@pytest.mark.parametrize("last", [0.7, 3.0, 12.0, 99.5, 2400.0])
def test_round_times_are_few_and_begin_at_0(last: float) -> None:
    found = round_times(last)
    assert found[0] == 0 and found[-1] <= last and 5 <= len(found) <= 9
