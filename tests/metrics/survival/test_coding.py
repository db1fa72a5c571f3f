"""The signs of exchanged events and censored: few false alarms, and power where something can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import WeibullFitter

from histonic.metrics.survival.coding import coding_signs

CENSORING = {
    "loss": lambda rng, size: rng.exponential(40, size),
    "accrual": lambda rng, size: rng.uniform(0, 60, size),
    "end": lambda rng, size: rng.uniform(24, 60, size),
}


def alarms(kind: str, median: float, n: int = 100, cohorts: int = 200) -> tuple[float, float]:
    """Share of cohorts with an alarm: coded right, and inverted."""
    rng = np.random.default_rng(n)
    death = rng.exponential(median / np.log(2), (cohorts, n))
    censored = CENSORING[kind](rng, (cohorts, n))
    time, event = np.minimum(death, censored), death <= censored
    usable = event.any(axis=1) & ~event.all(axis=1)
    time, event = time[usable], event[usable]
    found = [coding_signs(time, coded).inverted.sum() / cohorts for coded in (event, ~event)]
    return found[0], found[1]


@pytest.mark.parametrize(
    ("kind", "median", "least"),
    [("loss", 6, 0.0), ("loss", 120, 0.0), ("accrual", 6, 0.0), ("accrual", 40, 0.85), ("end", 12, 0.95)],
)
def test_right_codings_are_left_alone_and_inverted_ones_found_where_they_show(kind, median, least):
    wrong, right = alarms(kind, median)
    assert wrong <= 0.06 and right >= least


def test_unit_and_order_of_the_patients_do_not_matter():
    rng = np.random.default_rng(1)
    death, end = rng.exponential(30, (3, 60)), rng.uniform(0, 60, (3, 60))
    time, event = np.minimum(death, end), death > end
    signs, days = coding_signs(time, event), coding_signs(time[:, ::-1] * 30.4, event[:, ::-1])
    assert signs.evidence == pytest.approx(days.evidence)
    assert (signs.inverted == days.inverted).all()
    assert coding_signs(time[:1], event[:1]).evidence == pytest.approx(signs.evidence[:1]), "one by one"


def test_exchanging_events_and_censored_turns_the_evidence_round():
    rng = np.random.default_rng(2)
    time, event = rng.exponential(20, (4, 50)), rng.random((4, 50)) < 0.4
    signs, turned = coding_signs(time, event), coding_signs(time, ~event)
    assert signs.evidence == pytest.approx(-turned.evidence)
    assert signs.trend == pytest.approx(-turned.trend)
    assert (signs.exchanged.shape == turned.shape).all() and (turned.other_shape == signs.shape).all()
    assert signs.exchanged.late == pytest.approx(turned.late)
    assert signs.exchanged.late_p == pytest.approx(turned.late_p)
    assert (signs.exchanged.inverted == turned.inverted).all()


def test_those_followed_longest_are_counted_with_the_hypergeometric_probability():
    time = np.arange(1.0, 41.0)[None]
    event = np.zeros((1, 40))
    event[0, 30:] = 1
    signs = coding_signs(time, event)
    assert signs.last == 10 and signs.late[0] == 1
    assert signs.late_p[0] == pytest.approx(1 / 847660528)  # all ten of ten among forty: 1 / (40 choose 10)
    assert signs.by_last[0]


def test_the_trend_is_the_score_test_and_the_shape_the_likeliest():
    rng = np.random.default_rng(4)
    time, event = rng.weibull(1.5, (1, 400)), rng.random((1, 400)) < 0.5
    signs = coding_signs(time, event)
    correlation = np.corrcoef(time[0], event[0])[0, 1]
    assert signs.trend[0] == pytest.approx(correlation * np.sqrt(399))
    fitted = WeibullFitter().fit(time[0], event[0]).rho_
    assert abs(signs.shape[0] - fitted) < 0.13  # the nearest of a list


def test_falling_hazards_with_random_losses_show_an_inverted_coding():
    rng = np.random.default_rng(5)
    death, loss = rng.weibull(0.6, (1, 300)) * 30, rng.exponential(40, (1, 300))
    time, event = np.minimum(death, loss), death <= loss
    assert not coding_signs(time, event).inverted[0] and coding_signs(time, ~event).by_order[0]
