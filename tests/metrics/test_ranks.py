"""Ranks and tied totals of resamples equal those of the patients written out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from histonic.metrics.ranks import Levels, as_counts, centred_ranks, ratio


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_of_counts_equal_those_of_repeated_patients(ties: bool) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 6, 30).astype(float) if ties else rng.normal(size=30)
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=4).astype(float)
    ranks = centred_ranks(Levels(values), counts)
    for row, drawn in zip(ranks, counts, strict=True):
        times = drawn.astype(int)
        expected = stats.rankdata(np.repeat(values, times)) - (30 + 1) / 2
        assert np.array_equal(np.repeat(row, times), expected)


def test_totals_sum_the_counts_of_equal_values() -> None:
    levels = Levels(np.array([2.0, 1.0, 2.0, 3.0]))
    totals = levels.totals(np.array([[1.0, 0.0, 4.0, 2.0], [0.0, 3.0, 0.0, 0.0]]))
    assert totals.tolist() == [[0.0, 5.0, 2.0], [3.0, 0.0, 0.0]]
    assert levels.values.tolist() == [1.0, 2.0, 3.0]
    assert levels.of.tolist() == [1, 0, 1, 2]


def test_ratio_is_nan_only_where_the_whole_is_zero() -> None:
    assert np.isnan(ratio(1.0, 0.0))
    assert ratio(0.0, 2.0) == 0.0


def test_counts_default_to_one_each() -> None:
    assert as_counts(None, 3).tolist() == [1.0, 1.0, 1.0]
