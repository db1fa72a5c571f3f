"""Resolutions that count as the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.core.units import MPP_TOLERANCE, RC, WH, XY, Shape, same_mpp


@pytest.mark.parametrize("scanner", [0.2460, 0.2525, 0.2528, 0.2500])
def test_scanners_sold_as_a_quarter_micron_agree_with_it(scanner):
    assert same_mpp(scanner, 0.25)


@pytest.mark.parametrize("other", [0.2325, 0.2752, 0.5, 0.2561])
def test_other_resolutions_do_not(other):
    assert not same_mpp(other, 0.25)


@given(st.floats(0.05, 50), st.floats(0.9, 1.1))
def test_agreement_is_symmetric_and_follows_the_tolerance(mpp, factor):
    assert same_mpp(mpp, mpp * factor) == same_mpp(mpp * factor, mpp)
    if abs(factor - 1) < 0.99 * MPP_TOLERANCE / (1 + MPP_TOLERANCE):
        assert same_mpp(mpp, mpp * factor)


def test_pairs_name_their_parts():
    assert (XY(1, 2).x, WH(1, 2).h, RC(1, 2).row, Shape(1, 2).cols) == (1, 2, 1, 2)
