"""Thresholds and the seven numbers of their calls: by scikit-learn, by hand, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import (
    class_likelihood_ratios,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_curve,
)

from histonic.core.calls import OperatingPoint
from histonic.metrics.discrimination.operating_points import (
    CallCounts,
    choose_threshold,
    is_called,
    score_calls,
)
from histonic.metrics.inference.shares import ratio_of_shares

POINTS = ("youden", "sensitivity=0.95", "sensitivity=0.8", "specificity=0.9", "specificity=0.5")


def patients(seed: int, n: int = 80, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.35
    positive[:2] = True, False
    score = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * positive - 1)))
    return positive, score.round(1) if ties else score


def by_scikit_learn(positive: np.ndarray, score: np.ndarray, point: str) -> float:
    false_rate, true_rate, thresholds = roc_curve(positive, score, drop_intermediate=False)
    kind, _, share = point.partition("=")
    if kind == "youden":
        gain = true_rate - false_rate
        return float(thresholds[np.flatnonzero(gain >= gain.max() - 1e-12)[0]])
    if kind == "sensitivity":
        return float(thresholds[np.flatnonzero(true_rate >= float(share) - 1e-12)[0]])
    return float(thresholds[np.flatnonzero(1 - false_rate >= float(share) - 1e-12)[-1]])


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_thresholds_are_those_of_scikit_learn(seed: int, ties: bool, point: str) -> None:
    positive, score = patients(seed, ties=ties)
    found = choose_threshold(positive, score, OperatingPoint.parse(point))
    expected = by_scikit_learn(positive, score, point)
    assert found is not None
    if math.isfinite(expected):
        assert found == pytest.approx(expected, abs=1e-9)
    assert np.array_equal(is_called(score, found), score >= expected)


@pytest.mark.parametrize("seed", range(6))
def test_the_seven_numbers_are_those_of_scikit_learn(seed: int) -> None:
    positive, score = patients(seed)
    called = score >= 0.4
    (tn, fp), (fn, tp) = confusion_matrix(positive, called)
    counts = CallCounts.of(positive, called)
    assert counts == (tp, fp, fn, tn)
    found = {each.name: each for each in score_calls(counts)}
    ratios = class_likelihood_ratios(positive, called)
    expected = {
        "Sensitivity": recall_score(positive, called),
        "Specificity": recall_score(~positive, ~called),
        "PPV": precision_score(positive, called),
        "NPV": precision_score(~positive, ~called),
        "LR+": ratios[0],
        "LR−": ratios[1],
        "F1": f1_score(positive, called),
    }
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected, abs=1e-9)
    for name, hits, trials in (
        ("Sensitivity", tp, tp + fn), ("Specificity", tn, tn + fp), ("PPV", tp, tp + fp), ("NPV", tn, tn + fn)
    ):  # fmt: skip
        ends = binomtest(int(hits), int(trials)).proportion_ci(method="wilson")
        assert found[name].interval == pytest.approx((ends.low, ends.high), abs=1e-9)
    assert found["LR+"].interval == ratio_of_shares(tp, tp + fn, fp, fp + tn)
    assert found["LR−"].interval == ratio_of_shares(fn, tp + fn, tn, fp + tn)
    ends = binomtest(int(tp), int(tp + fp + fn)).proportion_ci(method="wilson")
    expected_ends = tuple(2 * end / (1 + end) for end in (ends.low, ends.high))
    assert found["F1"].interval == pytest.approx(expected_ends, abs=1e-9)


def test_by_hand() -> None:
    """Of 20 positive and 40 other patients 18 and 8 are called."""
    found = {each.name: each.value for each in score_calls(CallCounts(18, 8, 2, 32))}
    assert found == pytest.approx(
        {
            "Sensitivity": 0.9,
            "Specificity": 0.8,
            "PPV": 18 / 26,
            "NPV": 32 / 34,
            "LR+": 4.5,
            "LR−": 0.125,
            "F1": 36 / 46,
        },
        abs=1e-12,
    )


def test_what_divides_by_nothing() -> None:
    nobody = {each.name: each for each in score_calls(CallCounts(0, 0, 5, 7))}
    assert math.isnan(nobody["PPV"].value) and nobody["PPV"].interval is None
    assert math.isnan(nobody["LR+"].value) and nobody["LR+"].interval is None
    assert nobody["NPV"].value == 7 / 12 and nobody["F1"].value == 0
    assert nobody["LR−"].value == pytest.approx(1)
    perfect = {each.name: each for each in score_calls(CallCounts(5, 0, 0, 7))}
    assert perfect["LR+"].value == math.inf and perfect["LR+"].interval.high == math.inf
    assert perfect["LR+"].interval.low > 1 and perfect["LR−"].value == 0


def test_given_thresholds_ask_nobody() -> None:
    nobody = np.zeros(0, bool)
    assert choose_threshold(nobody, np.zeros(0), OperatingPoint.parse("threshold=0.3")) == 0.3
    assert choose_threshold(nobody, np.zeros(0), OperatingPoint.parse("cost=1:3")) == 0.25


def test_what_a_point_needs_has_to_be_there() -> None:
    score = np.array([0.2, 0.6])
    for point, of_positives, of_negatives in (
        ("youden", None, None),
        ("sensitivity=0.9", 0.2, None),
        ("specificity=0.5", None, 0.6),
    ):
        asked = OperatingPoint.parse(point)
        assert choose_threshold(np.ones(2, bool), score, asked) == of_positives
        assert choose_threshold(np.zeros(2, bool), score, asked) == of_negatives


def test_a_share_that_is_reached_exactly_is_reached() -> None:
    """19 of 20 are 0.95, whatever floating point says."""
    positive = np.array([True] * 20 + [False] * 20)
    score = np.concatenate([np.arange(20), np.arange(20) + 0.5]) / 40
    assert choose_threshold(positive, score, OperatingPoint.parse("sensitivity=0.95")) == 1 / 40
    # One negative may be called: the highest, and all positives but none below it.
    assert choose_threshold(positive, score, OperatingPoint.parse("specificity=0.95")) == 19 / 40


def test_predictions_that_differ_by_rounding_only_are_one() -> None:
    """A network that falls back on the prevalence gives it to all, but for the last digit."""
    rng = np.random.default_rng(0)
    positive = rng.random(50) < 0.4
    score = 0.4 + rng.normal(size=50) * 1e-15
    for point, everyone in (("youden", False), ("sensitivity=0.5", True), ("specificity=0.5", False)):
        threshold = choose_threshold(positive, score, OperatingPoint.parse(point))
        assert is_called(0.4 + rng.normal(size=9) * 1e-15, threshold).tolist() == [everyone] * 9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=40),
    st.floats(0.05, 0.99),
)
def test_no_threshold_fits_better(rows: list[tuple[bool, int]], share: float) -> None:
    """By trying all of them."""
    positive = np.array([each for each, _ in rows])
    score = np.array([value / 12 for _, value in rows])
    tried = [*np.unique(score), 2.0]

    def rates(threshold: float) -> tuple[float, float]:
        called = is_called(score, threshold)
        return float(called[positive].mean()), float((~called[~positive]).mean())

    if positive.any() and not positive.all():
        best = choose_threshold(positive, score, OperatingPoint("youden"))
        assert sum(rates(best)) == pytest.approx(max(sum(rates(each)) for each in tried))
        for kind, mine, other in (("sensitivity", 0, 1), ("specificity", 1, 0)):
            found = rates(choose_threshold(positive, score, OperatingPoint(kind, (share,))))
            assert found[mine] >= share - 1e-9
            fit = [rates(each) for each in tried if rates(each)[mine] >= share - 1e-9]
            assert found[other] == pytest.approx(max(each[other] for each in fit))


def test_repeats_count_a_patient_once() -> None:
    positive = np.array([True, True, False, False])
    counts = CallCounts.of(positive, np.array([1.0, 0.5, 0.0, 0.25]))
    assert counts == (1.5, 0.25, 0.5, 1.75)
    assert score_calls(counts)[0].value == 0.75
