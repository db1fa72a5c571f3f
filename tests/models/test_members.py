"""Joining networks: means, called classes, standardised risks and votes, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.core.errors import BundleError
from histonic.core.task import Task
from histonic.models.members import Member, RiskScale, prediction_columns

GRADE = Task("grade", "ordinal", ("g",), ("a", "b", "c"))
SCORE = Task("score", "regression", ("s",))
OS = Task("os", "survival", ("t", "e"))


def member(shares: list[float] | None = None, scale: RiskScale | None = None) -> Member:
    return Member(0, 0, 0, "convnet", 20, {"grade": shares} if shares else {}, {"os": scale} if scale else {})


def test_probabilities_are_averaged_and_the_most_probable_class_is_called() -> None:
    one, two = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]), np.array([[0.4, 0.3, 0.3], [0.1, 0.1, 0.8]])
    members = [member([0.8, 0.1, 0.1]), member([0.6, 0.2, 0.2])]
    task = replace(GRADE, kind="multiclass")
    found = prediction_columns(task, [one, two], members)
    assert [found[f"p_{name}"][0] for name in "abc"] == pytest.approx([0.5, 0.3, 0.2])
    assert found["predicted"] == ["a", "c"] and found["decided_by"] == ["most probable"] * 2
    balanced = prediction_columns(task, [one, two], members, "balanced")
    assert balanced["predicted"] == ["b", "c"]  # 0.5 / 0.7 < 0.3 / 0.15 > 0.2 / 0.15
    assert balanced["decided_by"] == ["balanced"] * 2 and balanced["p_a"] == found["p_a"]


@pytest.mark.parametrize(
    ("shares", "called"),
    [
        ([0.5, 0.3, 0.2], "a"),  # a half is reached with the first
        ([0.4, 0.2, 0.4], "b"),  # the least probable class is the middle one
        ([0.2, 0.2, 0.6], "c"),
        ([0.1, 0.45, 0.45], "b"),
        ([0.3, 0.3, 0.4], "b"),
    ],
)
def test_of_ordered_classes_the_median_is_called(shares: list[float], called: str) -> None:
    found = prediction_columns(GRADE, [np.array([shares])], [member([0.98, 0.01, 0.01])])
    assert (found["predicted"], found["decided_by"]) == ([called], ["median"])
    assert found["score"] == pytest.approx([shares[1] + 2 * shares[2]])


@pytest.mark.parametrize(
    ("classes", "score"),
    [(("3", "4", "5"), 3.7), (("0", "1", "5"), 1.3), (("a", "b", "c"), 0.7), (("3", "2", "1"), 0.7)],
)
def test_scores_are_in_the_numbers_of_the_classes(classes: tuple[str, ...], score: float) -> None:
    """Of 0.5, 0.3 and 0.2; classes that are no numbers, or fall, count by their place."""
    found = prediction_columns(
        replace(GRADE, classes=classes), [np.array([[0.5, 0.3, 0.2]])], [member([0.2, 0.2, 0.6])]
    )
    assert found["score"] == pytest.approx([score])


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_what_is_called_follows_from_the_probabilities_beside_it(rows: list[list[float]]) -> None:
    shares = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    for kind in ("multiclass", "ordinal"):
        found = prediction_columns(replace(GRADE, kind=kind), [shares], [member([0.98, 0.01, 0.01])])
        for row, name in enumerate(found["predicted"]):
            given_shares = {each: found[f"p_{each}"][row] for each in "abc"}
            if kind == "multiclass":
                assert given_shares[name] == max(given_shares.values())
            else:
                below = sum(share for each, share in given_shares.items() if each <= name)
                above = sum(share for each, share in given_shares.items() if each >= name)
                assert min(below, above) >= 0.5 - 1e-8


def test_a_class_that_no_network_has_seen_is_never_predicted() -> None:
    """Its share is the floor, against which a probability of nearly nothing would look large."""
    certain, floor = np.array([[0.9, 0.0996, 0.0004]]), [0.6, 0.3999, 1e-4]
    assert prediction_columns(GRADE, [certain], [member(floor)], "balanced")["predicted"] == ["a"]
    # Nor as the median, which would lie on it.
    split = np.array([[0.49995, 0.0001, 0.49995]])
    assert prediction_columns(GRADE, [split], [member([0.6, 1e-4, 0.3999])])["predicted"] == ["a"]
    # A network that has seen the class may name it, whatever the others know.
    some = [member(floor), member([0.6, 0.3, 0.1])]
    assert prediction_columns(GRADE, [certain, np.array([[0.1, 0.1, 0.8]])], some, "balanced")[
        "predicted"
    ] == ["c"]


def test_values_are_averaged() -> None:
    found = prediction_columns(SCORE, [np.array([[1.0], [5.0]]), np.array([[3.0], [6.0]])], [member()] * 2)
    assert found == {"predicted": [2.0, 5.5]}


def test_points_call_by_the_mean_threshold_of_the_networks() -> None:
    """0.3 and 0.5 are 0.4 together; a network without a threshold has no say."""
    msi = Task("msi", "binary", ("msi",), ("no", "yes"))
    first = Member(0, 0, 0, "convnet", 20, {"msi": [0.9, 0.1]}, {}, {"msi": {"youden": 0.3}})
    second = replace(first, fold=1, thresholds={"msi": {"youden": 0.5}})
    third = replace(first, fold=2, thresholds={})
    # 0.4 but for rounding, just below, and certain.
    positive = np.array([0.1 + 0.2 + 0.1, 0.399, 0.9])
    shares = [np.stack([1 - positive, positive], axis=1)] * 3
    found = prediction_columns(msi, shares, [first, second, third], points=("youden", "sensitivity=0.9"))
    assert found["predicted"] == ["no", "no", "yes"] and set(found["decided_by"]) == {"most probable"}
    assert found["at_youden"] == ["yes", "no", "yes"] and found["at_sensitivity=0.9"] == ["", "", ""]
    called = prediction_columns(msi, shares, [first, second], "youden")
    assert called["predicted"] == ["yes", "no", "yes"] and set(called["decided_by"]) == {"youden"}
    with pytest.raises(BundleError, match="No network has a threshold"):
        prediction_columns(msi, shares, [third] * 3, "youden")


def test_points_are_of_two_classes() -> None:
    found = prediction_columns(
        GRADE, [np.array([[0.5, 0.3, 0.2]])], [member([0.2, 0.2, 0.6])], "youden", ["youden"]
    )
    assert found["decided_by"] == ["median"] and "at_youden" not in found


def test_risks_are_standardised_before_they_are_averaged() -> None:
    scales = [RiskScale(10.0, 2.0, 9.0), RiskScale(0.0, 0.5, 0.1)]
    risks = [np.array([[12.0], [8.0]]), np.array([[0.5], [-0.5]])]
    found = prediction_columns(OS, risks, [member(scale=scale) for scale in scales])
    assert found["risk"] == pytest.approx([1.0, -1.0])
    assert found["high_risk"] == [1, 0]


def test_the_majority_decides_and_the_mean_distance_at_a_draw() -> None:
    scales = [RiskScale(0.0, 1.0, 0.0)] * 3
    members = [member(scale=scale) for scale in scales]
    risks = [np.array([[0.1]]), np.array([[0.1]]), np.array([[-9.0]])]
    assert prediction_columns(OS, risks, members)["high_risk"] == [1]
    assert prediction_columns(OS, risks[1:], members[1:])["high_risk"] == [0]
    assert prediction_columns(OS, [np.array([[9.0]]), risks[2] / 9], members[1:])["high_risk"] == [1]


def test_equal_risks_are_low_and_finite() -> None:
    scale = RiskScale.of(np.zeros(5))
    assert prediction_columns(OS, [np.zeros((2, 1))], [member(scale=scale)]) == {
        "risk": [0.0, 0.0],
        "high_risk": [0, 0],
    }


def test_the_scale_of_risks() -> None:
    scale = RiskScale.of(np.array([1.0, 2.0, 6.0]))
    assert (scale.mean, scale.cut) == (3.0, 2.0)
    assert scale.std == pytest.approx(np.sqrt(14 / 3))


def test_members_survive_json() -> None:
    one = Member(1, 2, 1, "abmil", 40, {"grade": [0.5, 0.25, 0.25]}, {"os": RiskScale(0.1, 2.0, 0.3)})
    assert Member.from_dict(one.to_dict()) == one
    told = replace(one, thresholds={"msi": {"youden": 0.25}})
    assert Member.from_dict(told.to_dict()) == told
    earlier = {name: value for name, value in one.to_dict().items() if name != "thresholds"}
    assert Member.from_dict(earlier) == one
    with pytest.raises(BundleError, match="youden is nan"):
        Member.from_dict({**one.to_dict(), "thresholds": {"msi": {"youden": float("nan")}}})
