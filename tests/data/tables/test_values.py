"""Words in label tables: order of classes, events, natural order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.tables.values import (
    class_name,
    is_missing,
    natural_key,
    order_binary,
    order_classes,
    to_event,
    to_number,
)


@pytest.mark.parametrize(
    "ordered",
    [
        ("1", "2", "10"),
        ("-1", "0.5", "3"),
        ("G1", "G2", "G3", "G10"),
        ("low", "medium", "high"),
        ("Mild", "Moderate", "Severe"),
        ("none", "low", "intermediate", "high", "very high"),
        ("well differentiated", "moderately differentiated", "poorly differentiated"),
        ("I", "II", "III", "IV"),
        ("pT1", "pT1a", "pT2"),
        ("A", "b", "C"),
    ],
)
def test_order_of_classes(ordered):
    assert order_classes(set(ordered)) == ordered


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("0", "1"),
        ("No", "Yes"),
        ("normal", "tumor"),
        ("alive", "dead"),
        ("wild-type", "mutated"),
        ("nonMSIH", "MSIH"),
        ("non_mitosis", "mitosis"),
        ("-", "+"),
        ("low", "high"),
        ("tumour free", "tumour"),
        ("none", "severe"),
        ("False", "True"),
        ("A", "B"),
        ("zebra", "positive"),
        ("negative", "ambiguous"),
    ],
)
def test_positive_class_is_second(negative, positive):
    assert order_binary({positive, negative}) == (negative, positive)
    assert order_binary([negative, positive]) == (negative, positive)


@pytest.mark.parametrize(
    ("word", "event"),
    [("1", 1), ("1.0", 1), ("TRUE", 1), ("yes", 1), ("y", 1), ("0", 0), ("false", 0), ("No", 0), ("n", 0)],
)
def test_codes_are_inverted_only_by_the_explicit_word(word, event):
    assert to_event(word) == event
    assert to_event(word, ones_are_censored=True) == 1 - event


@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("event", 1),
        ("Dead", 1),
        ("deceased", 1),
        ("1:DECEASED", 1),
        ("alive", 0),
        ("Censored", 0),
        ("0:LIVING", 0),
    ],
)
def test_words_that_name_the_state_are_never_inverted(word, event):
    assert to_event(word) == to_event(word, ones_are_censored=True) == event


@pytest.mark.parametrize("word", ["2", "-1", "maybe", "0.5"])
def test_other_words_are_no_event(word):
    assert to_event(word) is None


@pytest.mark.parametrize("word", ["", " ", "NA", "nan", "N/A", "Unknown", "[Not Available]", "?", "#N/A"])
def test_words_for_missing(word):
    assert is_missing(word)


@pytest.mark.parametrize("word", ["none", "None", "-", "0", "no", "Na+"])
def test_words_that_are_values(word):
    assert not is_missing(word)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000),
        (" 2 ", 2),
        ("-0.5", -0.5),
        ("inf", None),
        ("nan", None),
        ("1_000", None),
        ("1,5", None),
        ("", None),
    ],
)
def test_numbers(text, value):
    assert to_number(text) == value


def test_whole_numbers_are_one_class_however_written():
    assert {class_name(text) for text in ("1", "1.0", " 1.00 ")} == {"1"}
    assert class_name("01") == "01"
    assert class_name("1.5") == "1.5"


@given(st.lists(st.integers(0, 10**6), unique=True), st.text("abc", max_size=3))
def test_natural_order_sorts_embedded_numbers_by_value(numbers, prefix):
    names = [f"{prefix}{number}" for number in numbers]
    assert sorted(names, key=natural_key) == [f"{prefix}{number}" for number in sorted(numbers)]


@given(st.lists(st.text(), unique=True))
def test_any_names_can_be_ordered_the_same_way_twice(names):
    assert order_classes(names) == order_classes(names[::-1])
    assert sorted(order_classes(names)) == sorted(names)
