"""Restricted means against lifelines, against plain means, and in simulated cohorts."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from histonic.core.errors import CohortError
from histonic.metrics.survival.outcome import Survival, check_survival
from histonic.metrics.survival.restricted_mean import restricted_mean, restricted_mean_difference


def cohort(rng: np.random.Generator, n: int, mean: float, followed: float = 40) -> Survival:
    event_at, end = rng.exponential(mean, n), rng.uniform(10, followed, n)
    return check_survival(np.minimum(event_at, end), event_at < end)


@pytest.mark.parametrize("until", [4.0, 17.3, 30.0])
@pytest.mark.parametrize("seed", range(4))
def test_equals_lifelines(seed: int, until: float) -> None:
    outcome = cohort(np.random.default_rng(seed), 80, 25)
    outcome = check_survival(np.round(outcome.time, 1), outcome.event)
    fitter = KaplanMeierFitter().fit(outcome.time, outcome.event)
    expected = restricted_mean_survival_time(fitter, t=until)
    found = restricted_mean(outcome, until)
    assert found.value == pytest.approx(expected, abs=1e-6)
    # The variance by its definition, from lifelines' curve and table: the area after each event, squared.
    table = fitter.event_table
    parts = [
        (expected - restricted_mean_survival_time(fitter, t=time)) ** 2
        * row["observed"]
        / (row["at_risk"] * (row["at_risk"] - row["observed"]))
        for time, row in table[(table["observed"] > 0) & (table.index <= until)].iterrows()
        if row["at_risk"] > row["observed"]
    ]
    assert found.variance == pytest.approx(sum(parts), abs=1e-6)


@pytest.mark.parametrize("until", [5.0, 20.0, 500.0])
def test_without_censoring_it_is_a_mean_with_the_variance_of_a_mean(until: float) -> None:
    times = np.random.default_rng(3).exponential(20, 50).round(0) + 1
    found = restricted_mean(Survival(times, np.ones(50, bool)), until)
    cut = np.minimum(times, until)
    assert found.value == pytest.approx(cut.mean(), abs=1e-9)
    assert found.variance == pytest.approx(cut.var() / 50, abs=1e-9)


def test_by_hand() -> None:
    """Survival 1 to 2, then 3/4 to 6, then 3/8 to 8: 2 + 3 + 0.75. Areas after the events: 3.75 and 0.75."""
    outcome = check_survival([2, 4, 6, 8], [1, 0, 1, 0])
    found = restricted_mean(outcome, 8.0)
    assert found.value == pytest.approx(5.75)
    assert found.variance == pytest.approx(3.75**2 / (4 * 3) + 0.75**2 / (2 * 1))


def test_without_events_it_is_the_whole_span() -> None:
    assert restricted_mean(check_survival([5, 6], [0, 0]), 5.0) == (5.0, 0.0)


def test_beyond_the_follow_up_there_is_none() -> None:
    with pytest.raises(CohortError, match="beyond 6"):
        restricted_mean(check_survival([5, 6], [1, 0]), 7.0)


def test_the_difference_is_that_of_both_and_turns_with_the_group() -> None:
    rng = np.random.default_rng(0)
    low, high = cohort(rng, 60, 40), cohort(rng, 50, 10)
    both = Survival(*(np.concatenate(pair) for pair in zip(low, high, strict=True)))
    group = np.arange(110) >= 60
    found = restricted_mean_difference(both, group, 20.0)
    assert found.value == pytest.approx(restricted_mean(low, 20).value - restricted_mean(high, 20).value)
    assert 0 < found.low < found.value < found.high
    turned = restricted_mean_difference(both, ~group, 20.0)
    assert turned == pytest.approx((-found.value, -found.high, -found.low))
    wider = restricted_mean_difference(both, group, 20.0, inflation=2.0)
    assert wider.high - wider.value == pytest.approx(np.sqrt(2) * (found.high - found.value))


def test_the_interval_holds_the_truth() -> None:
    """Exponential times: the restricted mean is m (1 - exp(-t / m))."""
    rng, until, means = np.random.default_rng(1), 15.0, (30.0, 12.0)
    truth = [m * (1 - np.exp(-until / m)) for m in means]
    group, held = np.arange(120) >= 60, 0
    for _ in range(600):
        parts = [cohort(rng, 60, m) for m in means]
        both = Survival(*(np.concatenate(pair) for pair in zip(*parts, strict=True)))
        found = restricted_mean_difference(both, group, until)
        held += found.low <= truth[0] - truth[1] <= found.high
    assert 0.925 < held / 600 < 0.975
