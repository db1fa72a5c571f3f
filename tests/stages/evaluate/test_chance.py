"""Verdicts on leading metrics: side, reach in cross-validation, rounding, and several targets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from histonic.metrics.inference.comparisons import crossed_p, holm
from histonic.metrics.inference.scores import Score
from histonic.stages.evaluate.chance import judge


@pytest.mark.parametrize(
    ("low", "high", "chance", "higher", "word"),
    [
        (0.6, 0.9, 0.5, True, "better"),
        (0.5, 0.9, 0.5, True, "covers"),
        (0.2, 0.4, 0.5, True, "worse"),
        (2.0, 4.0, 5.0, False, "better"),
        (6.0, 7.0, 5.0, False, "worse"),
        (None, None, 0.5, True, "unknown"),
        (0.1, 0.2, None, True, "unknown"),
        (0.3 + 1e-12, 0.3 + 1e-12, 0.3, False, "covers"),
        (0.3 - 1e-12, 0.3 - 1e-12, 0.3, False, "covers"),
        (0.2, 0.2, 0.3, False, "better"),
    ],
)
def test_sides(low: float, high: float, chance: float, higher: bool, word: str) -> None:
    value = None if low is None else (low + high) / 2
    assert judge([Score("x", value, low, high, chance, higher)], [False])[0].word == word


@pytest.mark.parametrize(
    ("value", "low", "high", "plain", "crossed"),
    [
        (0.62, 0.52, 0.70, "better", "near"),  # 0.12 from chance, 1.2 half widths
        (0.66, 0.56, 0.74, "better", "better"),  # 1.6 half widths
        (0.38, 0.30, 0.48, "worse", "near"),
        (0.30, 0.20, 0.38, "worse", "worse"),
        (0.55, 0.45, 0.64, "covers", "covers"),
    ],
)
def test_cross_validated_predictions_must_lie_further_from_chance(
    value: float, low: float, high: float, plain: str, crossed: str
) -> None:
    score = Score("AUROC", value, low, high, 0.5, higher_is_better=True)
    found = [judge([score], [each])[0] for each in (False, True)]
    assert [each.word for each in found] == [plain, crossed]
    assert found[0].interval == (low, high)
    assert found[1].p == pytest.approx(crossed_p(found[0].p))


def test_p_is_that_of_the_interval_and_corrected_by_holm() -> None:
    scores = [Score("AUROC", 0.5 + gap, 0.4 + gap, 0.6 + gap, 0.5, True) for gap in (0.2, 0.11, 0.0)]
    found = judge(scores, [False] * 3)
    expected = 2 * stats.norm.sf(stats.norm.ppf(0.975) * np.array([2.0, 1.1, 0.0]))
    assert [each.p for each in found] == pytest.approx(expected.tolist())
    assert [each.p_holm for each in found] == pytest.approx(holm(expected).tolist())
    assert [each.word for each in found] == ["better", "several", "covers"]
    assert {each.targets for each in found} == {3}
