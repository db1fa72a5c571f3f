"""Widths that are expected, against those that come out."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from histonic.core.task import Task
from histonic.metrics.discrimination import labels
from histonic.metrics.inference.scores import Measure, score_measures
from histonic.metrics.survival.concordance import concordance
from histonic.metrics.survival.outcome import Survival
from histonic.stages.evaluate.outcome.expected import (
    auroc_error,
    concordance_error,
    expected_of,
    expected_words,
)

BINARY = Task("msi", "binary", ("msi",), ("no", "yes"))
SURVIVAL = Task("os", "survival", ("months", "event"))


def test_the_error_is_hanley_and_mcneils() -> None:
    """Term by term, as in their paper."""
    area, n, m = 0.893, 51, 58
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    wanted = ((area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)) / (n * m)) ** 0.5
    assert auroc_error(area, n, m) == pytest.approx(wanted, abs=1e-12)
    assert auroc_error(area, n, m, folds=5) > wanted


def test_widths_that_come_out_are_near_those_expected() -> None:
    """Mean width of bootstrapped intervals of 20 cohorts, compared within five folds."""
    rng, widths = np.random.default_rng(0), []
    for _ in range(20):
        positive = np.arange(150) < 50
        score = rng.normal(size=150) + 0.9539 * positive  # an AUROC of 0.75
        fold = rng.permutation(np.arange(150) % 5)
        measure = Measure("AUROC", partial(labels.auroc, positive, score, within=fold), 0.5, units=50)
        (found,) = score_measures([measure], 150, resamples=200, rng=rng, fold=fold)
        widths.append(found.high - found.low)
    wanted = expected_of(BINARY, [0.0] * 100 + [1.0] * 50, 5)
    assert wanted is not None
    assert wanted.high - wanted.low == pytest.approx(np.mean(widths), rel=0.15)


def test_the_error_of_a_concordance_is_that_of_drawn_cohorts() -> None:
    rng, values = np.random.default_rng(1), []
    for _ in range(60):
        risk = rng.normal(size=150)
        death, end = rng.exponential(20 * np.exp(-0.75 * risk)), rng.uniform(5, 60, 150)
        outcome = Survival(np.minimum(death, end), death <= end)
        values.append(float(concordance(outcome, risk)))
    error = concordance_error(outcome, float(np.mean(values)))
    assert error == pytest.approx(np.std(values, ddof=1), rel=0.35)


def test_more_patients_narrow_and_few_say_nothing() -> None:
    few, many = (expected_of(BINARY, [0.0] * n + [1.0] * n, 5) for n in (20, 200))
    assert few is not None and many is not None
    assert many.high - many.low < few.high - few.low and many.difference < few.difference
    assert expected_of(BINARY, [0.0] * 50 + [1.0] * 4, 5) is None
    assert expected_words(SURVIVAL, [(5.0, 1.0)] * 3 + [(6.0, 0.0)] * 30, 5) == ""
    value = Task("k", "regression", ("k",))
    assert expected_of(value, [float(k) for k in range(18)], 5) is None
    assert "Spearman" in expected_words(value, [float(k) for k in range(60)], 5)


@pytest.mark.parametrize("task", [BINARY, SURVIVAL, Task("age", "regression", ("age",))])
def test_nothing_is_expected_of_nobody(task: Task) -> None:
    assert expected_of(task, [], 5) is None and expected_words(task, [], 5) == ""
