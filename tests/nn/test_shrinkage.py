"""Losses of predictions, and heads shrunken as validation has it."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.task import Task
from histonic.nn.heads import Head
from histonic.nn.shrinkage import SHRINKAGES, best_shrinkage, prediction_loss

SCORE = Task("score", "regression", ("s",))
GRADE = Task("grade", "multiclass", ("g",), ("a", "b", "c"))
OS = Task("os", "survival", ("t", "e"))


def test_predictions_are_judged_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
    found = prediction_loss(Head(GRADE, 2), p, np.array([0, np.nan, 1]))
    assert found == pytest.approx(-(np.log(0.7) + np.log(0.3)) / 2)
    head = Head(SCORE, 2)
    head.set_scale(10.0, 2.0)
    assert prediction_loss(head, np.array([[12.0], [5.0]]), np.array([8.0, np.nan])) == pytest.approx(4)
    risks, outcome = np.array([[1.0], [0.0]]), np.array([[1.0, 1], [2.0, 0]])
    wanted = np.log(1 + np.exp(-1))
    assert prediction_loss(Head(OS, 2), risks, outcome) == pytest.approx(wanted)
    assert prediction_loss(Head(GRADE, 2), p, np.full(3, np.nan)) == 0


def test_predictions_that_say_nothing_are_not_trusted() -> None:
    head = Head(SCORE, 2)
    targets = np.array([-1.0, 1.0, -1.0, 1.0])
    assert best_shrinkage(head, 2 * targets[:, None], targets) == 0.5  # half of twice is right
    assert best_shrinkage(head, -targets[:, None], targets) == 0
    assert float(head.shrinkage) == 1


def test_predictions_are_judged_at_the_trust_of_the_head() -> None:
    head, targets = Head(SCORE, 2), np.array([-1.0, 1.0, -1.0, 1.0])
    for shrinkage in SHRINKAGES:
        head.shrinkage.fill_(shrinkage)
        found = prediction_loss(head, 2 * targets[:, None], targets)
        assert found == prediction_loss(head, 2 * targets[:, None], targets, shrinkage)
        assert found == pytest.approx((2 * shrinkage - 1) ** 2)
