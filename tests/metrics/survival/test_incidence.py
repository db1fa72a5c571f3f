"""Cumulative incidence against scikit-survival, by hand, by brute force and by Kaplan-Meier."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.metrics.survival.curves import kaplan_meier
from histonic.metrics.survival.incidence import aalen_johansen
from histonic.metrics.survival.outcome import Survival


def followed(
    n: int, seed: int, *, decimals: int = 1
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Times with ties, and causes: 0 censored, 1 of interest, 2 and 3 others."""
    rng = np.random.default_rng(seed)
    times = rng.exponential((40, 30, 50, 90), (n, 4))
    first = times.argmin(axis=1)
    return times.min(axis=1).round(decimals) + 0.1, np.array([0, 1, 2, 3])[first]


@pytest.mark.parametrize(("n", "seed", "decimals"), [(300, 0, 1), (40, 1, 0), (8, 2, 3), (1500, 3, -1)])
def test_the_same_as_scikit_survival(n: int, seed: int, decimals: int) -> None:
    sksurv = pytest.importorskip("sksurv.nonparametric")
    time, cause = followed(n, seed, decimals=decimals)
    curve = aalen_johansen(Survival(time, cause == 1), cause > 1)
    at, shares, ends = sksurv.cumulative_incidence_competing_risks(cause, time, conf_type="log-log")
    assert np.array_equal(curve.time[1:], at) and curve.time[0] == curve.incidence[0] == 0
    np.testing.assert_allclose(curve.incidence[1:], shares[1], atol=1e-12)
    inside = (shares[1] > 0) & (shares[1] < 1)
    np.testing.assert_allclose(curve.low[1:][inside], ends[1, 0][inside], atol=1e-6)
    np.testing.assert_allclose(curve.high[1:][inside], ends[1, 1][inside], atol=1e-6)


def test_by_hand() -> None:
    # At 1 one of 5 has the event; at 2 another cause (4 left); at 3 one is censored; at 4 one of 2 has it.
    outcome = Survival(np.array([1.0, 2, 3, 4, 6]), np.array([True, False, False, True, False]))
    curve = aalen_johansen(outcome, np.array([False, True, False, False, False]))
    np.testing.assert_allclose(
        curve.incidence, [0, 1 / 5, 1 / 5, 1 / 5, 1 / 5 + 3 / 5 / 2, 1 / 2], atol=1e-15
    )
    assert (curve.n, curve.events, curve.competing) == (5, 2, 1)
    assert curve.at_risk.tolist() == [5, 5, 4, 3, 2, 1]
    # One minus Kaplan-Meier with the other cause censored is too high: 1 - 4/5 * 1/2.
    assert 1 - kaplan_meier(outcome).survival[-1] == pytest.approx(0.6)


def test_nobody_censored_is_a_share_of_all() -> None:
    rng = np.random.default_rng(0)
    time, own = rng.exponential(10, 200), rng.random(200) < 0.4
    curve = aalen_johansen(Survival(time, own), ~own)
    share = [(own & (time <= at)).mean() for at in curve.time]
    np.testing.assert_allclose(curve.incidence, share, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000))
def test_without_other_causes_it_is_one_minus_kaplan_meier(n: int, seed: int) -> None:
    time, cause = followed(n, seed)
    outcome = Survival(time, cause == 1)
    curve, usual = aalen_johansen(outcome, np.zeros(n, bool)), kaplan_meier(outcome)
    np.testing.assert_allclose(curve.incidence, 1 - usual.survival, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_it_rises_within_its_band_and_all_causes_add_up(n: int, seed: int) -> None:
    time, cause = followed(n, seed)
    curves = [aalen_johansen(Survival(time, cause == k), (cause != k) & (cause > 0)) for k in (1, 2, 3)]
    for curve in curves:
        assert (np.diff(curve.incidence) >= -1e-12).all()
        assert (curve.low <= curve.incidence + 1e-12).all() and (curve.incidence <= curve.high + 1e-12).all()
        assert (curve.low >= 0).all() and (curve.high <= 1).all()
    total = sum(curve.incidence for curve in curves)
    np.testing.assert_allclose(total, 1 - kaplan_meier(Survival(time, cause > 0)).survival, atol=1e-12)


def test_a_time_of_zero_and_a_single_patient() -> None:
    curve = aalen_johansen(Survival(np.array([0.0]), np.array([True])), np.array([False]))
    assert curve.time.tolist() == [0.0] and curve.incidence.tolist() == curve.low.tolist() == [1.0]
