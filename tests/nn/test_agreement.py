"""Codes that should be the same: rounding passes, chance and company do not, whatever stands beside them."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.nn.agreement import same_again, same_alone

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(2, 192)).astype(np.float32)


def test_what_is_the_same_is_the_same() -> None:
    assert same_again(CODES, CODES) and same_alone(CODES, CODES[:1])
    assert same_again(np.zeros((2, 3)), np.zeros((2, 3)))


def test_rounding_of_bfloat16_is_the_same_alone_and_not_again() -> None:
    noise = 5.4e-3 * float(np.abs(CODES).max()) * RNG.uniform(-1, 1, CODES.shape)
    assert same_alone(CODES, (CODES + noise)[:1]) and not same_again(CODES, CODES + noise)


@pytest.mark.parametrize("huge", [1, 40])
def test_columns_of_large_numbers_hide_no_others(huge: int) -> None:
    other = RNG.normal(size=CODES.shape).astype(np.float32)
    large = np.full((2, huge), 1e4, np.float32)
    codes, others = np.hstack([large, CODES]), np.hstack([large, other])
    assert same_alone(codes, codes[:1])
    assert not same_alone(codes, others[:1]) and not same_again(codes, others)


def test_one_column_by_chance_is_noticed() -> None:
    codes = RNG.normal(size=(2, 4096))
    other = codes.copy()
    other[:, 7] += 0.5
    assert not same_alone(codes, other[:1]) and not same_again(codes, other)


def test_what_is_not_finite_is_never_the_same() -> None:
    wrong = CODES.copy()
    wrong[0, 3] = np.nan
    assert not same_alone(CODES, wrong[:1]) and not same_again(CODES, wrong)
