"""Median follow-up against lifelines and cases done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import median_survival_times

from histonic.metrics.survival.follow_up import median_follow_up
from histonic.metrics.survival.outcome import Survival, check_survival


@pytest.mark.parametrize("seed", range(8))
def test_median_and_its_ends_equal_those_of_lifelines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    event_at, followed = rng.exponential(30, 90), rng.uniform(5, 60, 90)
    time = np.round(np.minimum(event_at, followed), 1)  # ties
    outcome = check_survival(time, event_at < followed)
    found = median_follow_up(outcome)
    fitter = KaplanMeierFitter().fit(outcome.time, 1 - outcome.event)
    ends = median_survival_times(fitter.confidence_interval_).to_numpy()[0]
    assert found.value == pytest.approx(fitter.median_survival_time_, abs=1e-6)
    assert found.low == pytest.approx(ends[0], abs=1e-6)
    assert found.high == pytest.approx(ends[1], abs=1e-6)
    assert found.low < found.value < found.high


def test_without_events_it_is_the_median_of_the_times() -> None:
    times = np.arange(1.0, 32.0)
    assert median_follow_up(check_survival(times, np.zeros(31))).value == np.median(times)


def test_early_events_do_not_shorten_it() -> None:
    """Half of the patients have the event at once; the others are followed to 10."""
    outcome = check_survival([1.0] * 20 + [10.0] * 20, [1] * 20 + [0] * 20)
    found = median_follow_up(outcome)
    assert np.median(outcome.time) == 5.5
    # All end at 10, at once: the curve has no spread and the interval is open upwards.
    assert found == (10.0, 10.0, None)


def test_where_all_had_the_event_it_is_not_known() -> None:
    assert median_follow_up(Survival(np.arange(1.0, 9.0), np.ones(8, bool))) == (None, None, None)


def test_an_open_interval_has_no_upper_end() -> None:
    """By hand: of 6 patients, ends of follow-up at 3 and 4 leave 5/6 and 4/6, at 6 then 2/6; the last has an
    event."""
    found = median_follow_up(check_survival([3, 4, 5, 6, 7, 8], [0, 0, 1, 0, 1, 1]))
    # 4/6 * 2/3 = 4/9
    assert found.value == 6.0
    assert found.high is None
