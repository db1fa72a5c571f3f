"""Scores say what they are: value, ends, chance, and what the reader must know."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference.scores import Measure, Score, score_measures


def score(measure: Measure, n: int, resamples: int = 400) -> Score:
    return score_measures([measure], n, resamples=resamples, rng=np.random.default_rng(0))[0]


def test_few_patients_of_a_kind_have_no_interval() -> None:
    positive = np.arange(40) < 5
    risk = np.random.default_rng(0).normal(size=40)
    for count, given in ((5, True), (4, False)):
        found = score(Measure("AUROC", partial(labels.auroc, positive, risk), 0.5, units=count), 40)
        assert found.value is not None and (found.low is not None) == given
        assert ("4 in the smallest class" in found.note) != given


def test_an_ordinary_score() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.5
    measure = Measure(
        "AUROC", partial(labels.auroc, positive, rng.normal(size=80) + positive), 0.5, note="So."
    )
    found = score(measure, 80)
    assert found.low is not None and found.value is not None and found.high is not None
    assert 0.5 < found.low < found.value < found.high < 1
    assert (found.chance, found.higher_is_better, found.note) == (0.5, True, "So.")


def test_all_right_is_no_certainty() -> None:
    positive = np.arange(30) < 10
    measure = Measure("AUROC", partial(labels.auroc, positive, positive * 1.0), 0.5, units=10)
    found = score(measure, 30)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025**0.1)
    assert "10 out of 10" in found.note
    wrong = score(Measure("AUROC", partial(labels.auroc, positive, -1.0 * positive), 0.5, units=10), 30)
    assert (wrong.low, wrong.value) == (0.0, 0.0)
    assert wrong.high == pytest.approx(1 - 0.025**0.1)


def test_undefined_values_become_none() -> None:
    measure = Measure("Spearman", partial(regression.spearman, np.arange(20.0), np.zeros(20)), 0.0)
    found = score(measure, 20)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert "Undefined" in found.note
    json.dumps(found.to_dict(), allow_nan=False)


def test_many_undefined_resamples_are_told() -> None:
    positive = np.arange(30) < 2
    values = np.random.default_rng(1).normal(size=30)
    found = score(Measure("AUROC", partial(labels.auroc, positive, values), 0.5), 30)
    # (28/30)^30 = 12.6 % of resamples have neither of the two positives.
    assert "1" in found.note and "% of resamples" in found.note
    assert found.low is not None


def test_the_same_seed_gives_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    measure = Measure("r", partial(regression.spearman, rng.normal(size=40), rng.normal(size=40)), 0.0)
    assert score(measure, 40) == score(measure, 40)
