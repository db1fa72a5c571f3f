"""Intervals of shares against scipy, and of their ratios against the definition and scipy's large samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm
from scipy.stats.contingency import relative_risk

from histonic.metrics.inference.shares import ratio_of_shares, wilson


@pytest.mark.parametrize(("hits", "trials"), [(9, 10), (0, 7), (7, 7), (1, 1), (30, 200), (199, 200)])
def test_wilson_is_that_of_scipy(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nobody_has_no_interval() -> None:
    assert wilson(0, 0) is None
    assert ratio_of_shares(0, 0, 1, 2) is None and ratio_of_shares(1, 2, 0, 0) is None
    assert ratio_of_shares(0, 5, 0, 5) is None


def likeliest(ratio: float, a: int, m: int, b: int, n: int) -> float:
    """Of the second group, the share with which the counts are likeliest if the first has ``ratio`` of it."""

    def unlikely(share: float) -> float:
        both = ((a, m, share * ratio), (b, n, share))
        return -sum(k * math.log(p) + (of - k) * math.log1p(-p) for k, of, p in both)

    top = min(1.0, 1 / ratio)
    found = minimize_scalar(unlikely, (0.0, top), bounds=(1e-12, top - 1e-12), options={"xatol": 1e-13})
    return float(found.x)


def score(ratio: float, a: int, m: int, b: int, n: int) -> float:
    share = likeliest(ratio, a, m, b, n)
    variance = ratio * share * (1 - ratio * share) / m + ratio**2 * share * (1 - share) / n
    return (a / m - ratio * b / n) / math.sqrt(variance * (m + n) / (m + n - 1))


@pytest.mark.parametrize("counts", [(8, 10, 2, 10), (3, 40, 7, 25), (19, 20, 1, 60), (5, 9, 5, 11)])
def test_a_ratio_has_the_ends_at_which_the_score_test_refuses(counts: tuple[int, int, int, int]) -> None:
    """The likeliest shares by a search, not by the root of a square."""
    found = ratio_of_shares(*counts)
    assert found is not None
    reach = float(norm.ppf(0.975))
    for end, side in zip(found, (reach, -reach), strict=True):
        root = brentq(lambda log, side=side: score(math.exp(log), *counts) - side, -6, 6, xtol=1e-12)
        assert end == pytest.approx(math.exp(root), rel=1e-6)


def test_large_samples_agree_with_the_logarithm() -> None:
    counts = (8000, 10000, 2000, 10000)
    low, high = relative_risk(*counts).confidence_interval()
    assert ratio_of_shares(*counts) == pytest.approx((low, high), rel=1e-3)


def test_empty_cells_have_one_end() -> None:
    assert ratio_of_shares(0, 10, 3, 10).low == 0 and ratio_of_shares(0, 10, 3, 10).high > 0.5
    assert ratio_of_shares(3, 10, 0, 10).high == math.inf and ratio_of_shares(3, 10, 0, 10).low > 0.5
    assert ratio_of_shares(10, 10, 10, 10) == pytest.approx((0.712, 1.404), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_the_ratio_lies_within_and_turns_round(m: int, n: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, m)), data.draw(st.integers(0, n))
    found = ratio_of_shares(a, m, b, n)
    if a == b == 0:
        assert found is None
        return
    value = (a / m) / (b / n) if b else math.inf
    assert found.low <= value * (1 + 1e-9) and value <= found.high * (1 + 1e-9)
    if a and b:
        turned = ratio_of_shares(b, n, a, m)
        assert (1 / turned.high, 1 / turned.low) == pytest.approx(tuple(found), rel=1e-6)


def test_wilson_and_the_ratio_hold_the_truth_in_95_of_100() -> None:
    """Exactly, over all outcomes of 30 and 50 patients."""
    rates, sizes = (0.85, 0.25), (30, 50)
    chances = [
        np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])
        for p, n in zip(rates, sizes, strict=True)
    ]
    ends = [wilson(k, 30) for k in range(31)]
    assert 0.93 < sum(c for c, (lo, hi) in zip(chances[0], ends, strict=True) if lo <= 0.85 <= hi) < 0.97
    held = sum(
        chances[0][a] * chances[1][b]
        for a in range(15, 31)
        for b in range(26)
        if (found := ratio_of_shares(a, 30, b, 50)) is not None and found.low <= 0.85 / 0.25 <= found.high
    )
    assert 0.94 < held < 0.96
