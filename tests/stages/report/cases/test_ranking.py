"""How wrong each prediction is, against pairs and errors counted by hand and by the C-index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.task import Task
from histonic.metrics.survival.concordance import concordance
from histonic.metrics.survival.outcome import check_survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.report.cases.document import CaseTarget
from histonic.stages.report.cases.ranking import counted_words, rank_targets

MSI = Task("msi", "binary", ("msi",), ("no", "yes"))
GRADE = Task("grade", "ordinal", ("grade",), ("low", "middle", "high"))
SCORE = Task("ki67", "regression", ("ki67",))
OS = Task("os", "survival", ("months", "dead"))


def ranked(task: Task, **columns: Any) -> dict[str, CaseTarget]:
    count = len(next(iter(columns.values())))
    names = [f"P{number}" for number in range(count)]
    frame = pd.DataFrame({"patient_id": names, "fold": [0] * count, **columns})
    return rank_targets(PredictionTable(task, frame))


def order_of(found: dict[str, CaseTarget]) -> list[str]:
    return sorted(found, key=lambda name: -found[name].order)


def test_the_wrong_come_before_the_right_and_the_surest_of_them_first() -> None:
    found = ranked(
        MSI,
        truth=["yes", "yes", "no", "no", ""],
        predicted=["no", "no", "no", "yes", "yes"],
        p_no=[0.9, 0.6, 0.8, 0.3, 0.2],
        p_yes=[0.1, 0.4, 0.2, 0.7, 0.8],
    )
    assert order_of(found) == ["P0", "P3", "P1", "P2", "P4"]
    assert [found[name].verdict for name in found] == ["wrong", "wrong", "right", "wrong", "unknown"]
    assert found["P0"].value_words == "probability 0.90, of “yes” 0.10"
    assert counted_words(MSI, list(found.values())) == "3 of 4 patients were called wrong."


def test_a_class_farther_away_is_more_wrong() -> None:
    shares = {"p_low": [0.4, 0.9], "p_middle": [0.0, 0.1], "p_high": [0.6, 0.0]}
    found = ranked(GRADE, truth=["low", "middle"], predicted=["high", "low"], **shares)
    assert order_of(found) == ["P0", "P1"] and found["P0"].verdict_words == "wrong by 2 classes"


def test_values_come_by_the_size_of_their_error() -> None:
    found = ranked(SCORE, truth=[10, 20, "", 40.5], predicted=[30.0, 19.0, 5.0, 40.5])
    assert order_of(found) == ["P0", "P1", "P3", "P2"]
    assert [found[f"P{k}"].verdict for k in range(4)] == ["far", "near", "unknown", "near"]
    assert (found["P0"].verdict_words, found["P1"].verdict_words) == (
        "20 too high, one of the largest errors",
        "1 too low",
    )


def test_perfect_values_are_not_far() -> None:
    assert {each.verdict for each in ranked(SCORE, truth=[1, 2], predicted=[1.0, 2.0]).values()} == {"near"}
    assert ranked(SCORE, truth=[1, 2], predicted=[1.0, 3.0])["P0"].verdict_words == "exact"


def test_risks_come_by_their_pairs() -> None:
    """P0 dies first with the least risk: out of order with all three. P2 is censored before any event."""
    found = ranked(OS, time=[1, 5, 0.5, 9], event=[1, 1, 0, 0], risk=[-1.0, 2, 0, 1], high_risk=[0, 1, 0, 1])
    assert found["P0"].verdict_words == "out of order with 2 of 2" and order_of(found)[0] == "P0"
    assert found["P1"].verdict_words == "in order with 1 of 2" and found["P1"].verdict == "near"
    assert found["P2"].verdict_words == "nobody to compare with" and found["P2"].order < 0
    assert found["P3"].truth == "no event until 9" and found["P0"].value_words == "risk −1.00"


@pytest.mark.parametrize("seed", range(5))
def test_the_pairs_are_those_of_the_c_index(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, event = rng.integers(1, 9, 30), rng.integers(0, 2, 30)
    risk, fold = rng.integers(0, 5, 30).astype(float), rng.integers(0, 3, 30)
    found = ranked(OS, time=time, event=event, risk=risk, high_risk=[0] * 30, fold=fold)
    pairs = [each.verdict_words for each in found.values() if each.verdict != "unknown"]
    numbers = [(words.startswith("out"), words.split("with ")[1].split(" of ")) for words in pairs]
    wrong = sum(float(a) if out else float(b) - float(a) for out, (a, b) in numbers)
    every = sum(float(b) for _, (_, b) in numbers)
    expected = float(concordance(check_survival(time, event), risk, within=fold))
    assert 1 - wrong / every == pytest.approx(expected)


def test_of_repeats_the_mean_counts() -> None:
    frame = pd.DataFrame(
        {"patient_id": ["A", "A"], "repeat": [0, 1], "fold": [0, 0], "truth": [4, 4], "predicted": [2.0, 5.0]}
    )
    assert (
        rank_targets(PredictionTable(SCORE, frame))["A"].verdict_words
        == "0.5 too low, one of the largest errors"
    )


def test_nothing_is_known() -> None:
    found = ranked(OS, time=["", ""], event=["", ""], risk=[1.0, 2], high_risk=[0, 1])
    assert {each.verdict_words for each in found.values()} == {"truth unknown"}
    assert counted_words(OS, list(found.values())) == "No patient has a known truth."
