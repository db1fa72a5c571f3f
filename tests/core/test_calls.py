"""Operating points as they are written, and the rules by which classes are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from histonic.core.calls import CALL_PREFIX, Calls, OperatingPoint, PointNames, call_column, is_point

RULE, NAMES = TypeAdapter(Calls), TypeAdapter(PointNames)


@pytest.mark.parametrize(
    ("text", "name", "threshold"),
    [
        ("youden", "youden", None),
        (" Youden ", "youden", None),
        ("sensitivity=0.95", "sensitivity=0.95", None),
        ("sensitivity:.950", "sensitivity=0.95", None),
        ("sensitivity=95%", "sensitivity=0.95", None),
        ("specificity=9e-1", "specificity=0.9", None),
        ("threshold=0.3", "threshold=0.3", 0.3),
        ("cost:1:5", "cost=1:5", 1 / 6),
        ("cost=2:10", "cost=2:10", 1 / 6),
        ("cost=3:1", "cost=3:1", 0.75),
    ],
)
def test_points_are_written_in_one_way(text: str, name: str, threshold: float | None) -> None:
    point = OperatingPoint.parse(text)
    assert (point.name, point.threshold) == (name, threshold)
    assert OperatingPoint.parse(point.name).name == name and is_point(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no operating point"),
        ("best", "is no operating point; write youden, sensitivity=0.95"),
        ("youden=0.5", "is no operating point"),
        ("sensitivity", "is no operating point"),
        ("sensitivity=0.9:0.8", "is no operating point"),
        ("cost=5", "is no operating point"),
        ("sensitivity=high", "no number that can be read"),
        ("sensitivity=", "no number that can be read"),
        ("sensitivity=95", "lies between 0 and 1"),
        ("specificity=0", "lies between 0 and 1"),
        ("threshold=1", "lies between 0 and 1"),
        ("sensitivity=nan", "lies between 0 and 1"),
        ("cost=0:5", "costs are above 0"),
        ("cost=1:inf", "costs are above 0"),
    ],
)
def test_what_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OperatingPoint.parse(text)
    assert not is_point(text)
    with pytest.raises(ValidationError, match="wanted is probable or balanced, or an operating point"):
        RULE.validate_python(text)


def test_rules_are_those_for_any_classes_and_points() -> None:
    assert [RULE.validate_python(each) for each in ("probable", "balanced", "cost:1:5")] == [
        "probable",
        "balanced",
        "cost=1:5",
    ]
    assert not is_point("balanced") and not is_point("most probable")


def test_a_point_named_twice_counts_once() -> None:
    assert NAMES.validate_python(["youden", "sensitivity=95%", "sensitivity=0.95"]) == (
        "youden",
        "sensitivity=0.95",
    )


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_names_are_read_back(share: float, one: float, other: float) -> None:
    for text in (f"sensitivity={share}", f"threshold={share}", f"cost={one}:{other}"):
        name = OperatingPoint.parse(text).name
        assert OperatingPoint.parse(name).name == name
        assert call_column(name).removeprefix(CALL_PREFIX) == name
