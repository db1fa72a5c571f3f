"""Fisher's intervals of the results that were published of TUPAC16, 321 cases."""

from __future__ import annotations

import pytest

from histonic.metrics.challenges.correlations import fisher_interval


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0.617, 0.544, 0.681), (0.570, 0.491, 0.640), (0.558, 0.478, 0.629)]
)
def test_at_95_percent(value: float, low: float, high: float) -> None:
    assert fisher_interval(value, 321) == pytest.approx((low, high), abs=6e-4)


def test_the_published_ones_are_one_standard_error_wide() -> None:
    assert fisher_interval(0.617, 321, 0.6827) == pytest.approx((0.581, 0.651), abs=6e-4)
