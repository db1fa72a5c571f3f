"""Patients without a label beside those who have one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from histonic.stages.evaluate.outcome.missing import missing_labels

RNG = np.random.default_rng(0)
NAMES = [f"P{k:03d}" for k in range(120)]
HAS, LACKS = NAMES[:90], NAMES[90:]


def test_differences_and_tests_are_near_those_of_scipy() -> None:
    age = {name: f"{60 + 8 * (name in LACKS) + RNG.normal(0, 10):.1f}" for name in NAMES}
    sex = {name: str(RNG.choice(["f", "m"])) for name in NAMES}
    found = missing_labels(HAS, LACKS[:20], LACKS[20:], {"age": age, "sex": sex})
    assert found is not None and (found.present, found.missing, found.unused) == (90, 30, 10)
    first, second = found.columns
    sides = [np.array([float(age[name]) for name in who]) for who in (HAS, LACKS)]
    pooled = np.sqrt((sides[0].var(ddof=1) + sides[1].var(ddof=1)) / 2)
    assert first.difference == pytest.approx((sides[1].mean() - sides[0].mean()) / pooled)
    assert first.of_missing is not None and first.of_missing.median == pytest.approx(np.median(sides[1]))
    rank = stats.mannwhitneyu(*sides).pvalue
    table = [[sum(sex[n] == level for n in who) for level in ("f", "m")] for who in (HAS, LACKS)]
    square = stats.chi2_contingency(table, correction=False)[1]
    alone = sorted([rank, square])
    assert sorted(each.p for each in found.columns if each.p is not None) == pytest.approx(
        sorted([min(1, 2 * alone[0]), max(2 * alone[0], alone[1])]), abs=0.04
    )
    assert second.levels[0].present == table[0][0] and second.levels[0].missing == table[1][0]


def test_few_patients_get_no_p_and_nobody_missing_nothing() -> None:
    found = missing_labels(HAS, LACKS[:3], [], {"age": {name: "50" for name in NAMES}})
    assert found is not None and found.columns[0].p is None and found.columns[0].difference is None
    assert missing_labels(HAS, [], [], {}) is None


def test_columns_of_names_and_empty_ones_are_left_out() -> None:
    columns = {"id": {name: name for name in NAMES}, "empty": {name: "" for name in NAMES}}
    found = missing_labels(HAS, LACKS, [], columns)
    assert found is not None and found.columns == ()


def test_the_same_patients_give_the_same_p() -> None:
    age = {name: str(k % 17) for k, name in enumerate(NAMES)}
    first, again = (missing_labels(HAS, LACKS, [], {"age": age}, seed=4) for _ in range(2))
    assert first == again
