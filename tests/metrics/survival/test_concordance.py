"""The concordance against lifelines, cases done by hand, and the direction of its sign."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines.utils import concordance_index

from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.outcome import Survival, check_survival, has_comparable_pair


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
def test_concordance_equals_lifelines(seed: int, censored: float) -> None:
    outcome, risk = cohort(seed, censored=censored)
    expected = concordance_index(outcome.time, -risk, outcome.event)
    assert survival.concordance(outcome, risk) == pytest.approx(expected, abs=1e-12)


@given(outcomes)
def test_concordance_equals_lifelines_on_small_tied_cohorts(rows: tuple[np.ndarray, ...]) -> None:
    time, event, risk = rows
    outcome = check_survival(time, event)
    found = survival.concordance(outcome, risk)
    if not has_comparable_pair(outcome):
        assert np.isnan(found)
        return
    assert found == pytest.approx(concordance_index(time, -risk, event), abs=1e-12)
    assert survival.concordance(outcome, -risk) == pytest.approx(1 - found, abs=1e-12)
    assert survival.concordance(outcome, 2 * risk + 7) == found
    turned = check_survival(time[::-1], event[::-1])
    assert survival.concordance(turned, risk[::-1]) == pytest.approx(found, abs=1e-12)


def test_higher_risk_means_earlier_event() -> None:
    outcome = check_survival([1, 2, 3], [1, 1, 1])
    assert survival.concordance(outcome, np.array([3.0, 2.0, 1.0])) == 1.0
    assert survival.concordance(outcome, np.array([1.0, 2.0, 3.0])) == 0.0
    assert survival.concordance(outcome, np.ones(3)) == 0.5


def test_which_pairs_count() -> None:
    # Events at 2 (A, B) and censored at 2 (C), 1 (D), 3 (E). A and B each count against C and E only.
    outcome = check_survival([2, 2, 2, 1, 3], [1, 1, 0, 0, 0])
    # A is above C and E; B below C, equal to E.
    risk = np.array([5.0, 1.0, 3.0, 9.0, 1.0])
    assert survival.concordance(outcome, risk) == pytest.approx((1 + 1 + 0 + 0.5) / 4)


def test_counts_repeat_patients() -> None:
    outcome, risk = cohort(5)
    counts = np.random.default_rng(0).multinomial(70, np.full(70, 1 / 70), size=4)
    found = survival.concordance(outcome, risk, counts.astype(float))
    for row, times in enumerate(counts):
        repeated = [np.repeat(part, times) for part in (outcome.time, -risk, outcome.event)]
        assert found[row] == pytest.approx(concordance_index(*repeated), abs=1e-12)


def test_pieces_do_not_change_the_concordance(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, risk = cohort(6)
    whole = survival.concordance(outcome, risk)
    monkeypatch.setattr(survival, "PAIRS_AT_ONCE", 3 * len(risk))
    assert survival.concordance(outcome, risk) == whole


def test_concordance_within_folds_pools_the_pairs_of_each() -> None:
    outcome, risk = cohort(7)
    fold = np.arange(len(risk)) % 3
    right = pairs = 0.0
    for name in range(3):
        here = Survival(outcome.time[fold == name], outcome.event[fold == name])
        earlier = (here.time[:, None] < here.time) | ((here.time[:, None] == here.time) & ~here.event)
        counted = float((earlier & here.event[:, None]).sum())
        right += counted * float(survival.concordance(here, risk[fold == name]))
        pairs += counted
    assert survival.concordance(outcome, risk, within=fold) == pytest.approx(right / pairs, abs=1e-12)
    shifted = risk + 100.0 * fold
    assert survival.concordance(outcome, shifted, within=fold) == pytest.approx(right / pairs, abs=1e-12)
