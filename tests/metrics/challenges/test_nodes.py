"""pN stages by the organisers' table, all combinations by brute force; kappa against scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from histonic.core.errors import CohortError
from histonic.metrics.challenges.nodes import NODE_CLASSES, PN_STAGES, kappa_of_labels, pn_stage


@pytest.mark.parametrize(
    ("nodes", "stage"),
    [
        ("negative negative negative negative negative", "pN0"),
        ("itc itc itc itc itc", "pN0(i+)"),
        ("micro micro micro micro micro", "pN1mi"),
        ("micro itc itc itc itc", "pN1mi"),
        ("macro negative negative negative negative", "pN1"),
        ("macro micro micro itc itc", "pN1"),
        ("macro micro micro micro negative", "pN2"),
        ("macro macro macro macro macro", "pN2"),
        # Of the organisers' own table: patients 018, 021, 026, 027, 069 and 080.
        ("negative micro micro macro itc", "pN1"),
        ("macro macro negative micro micro", "pN2"),
        ("itc micro macro micro macro", "pN2"),
        ("micro negative micro negative micro", "pN1mi"),
        ("macro macro micro micro negative", "pN2"),
        ("itc itc macro macro micro", "pN1"),
    ],
)
def test_stages(nodes: str, stage: str) -> None:
    assert pn_stage(nodes.split()) == stage


def test_all_combinations_by_counting() -> None:
    for nodes in itertools.combinations_with_replacement(NODE_CLASSES, 5):
        big = sum(node == "macro" for node in nodes)
        positive = sum(node in ("micro", "macro") for node in nodes)
        wanted = (
            ("pN1" if positive <= 3 else "pN2")
            if big
            else "pN1mi"
            if positive
            else ("pN0(i+)" if "itc" in nodes else "pN0")
        )
        assert pn_stage(nodes) == wanted


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(CohortError, match="'ITC'"):
        pn_stage(["ITC"])


def test_kappa_keeps_the_distances_of_absent_classes() -> None:
    rng = np.random.default_rng(3)
    labels = list(PN_STAGES)
    for _ in range(20):
        truth, called = ([labels[k] for k in rng.choice([0, 2, 4], 12)] for _ in range(2))
        own = kappa_of_labels(truth, called, labels)
        assert own == pytest.approx(cohen_kappa_score(truth, called, labels=labels, weights="quadratic"))


def test_kappa_by_hand() -> None:
    # Observed: one pair two apart, 4; expected by the margins (2, 1, 1) x (1, 2, 1) / 4: 6 / 4 + ... = 5.
    value = kappa_of_labels(["0", "0", "1", "2"], ["0", "2", "1", "1"], ["0", "1", "2"])
    rows, columns = np.array([2, 1, 1]), np.array([1, 2, 1])
    weight = np.array([[0, 1, 4], [1, 0, 1], [4, 1, 0]])
    assert value == pytest.approx(1 - 5 / (np.outer(rows, columns) * weight / 4).sum())


def test_kappa_of_one_class_is_undefined_and_strangers_are_named() -> None:
    assert kappa_of_labels(["3", "3"], ["3", "3"], ["1", "2", "3"]) is None
    with pytest.raises(CohortError, match="'4'"):
        kappa_of_labels(["4"], ["3"], ["1", "2", "3"])
