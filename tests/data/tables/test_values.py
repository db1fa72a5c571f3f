"""Words in label tables: events, missing values, numbers, natural order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.tables.values import (
    class_name,
    is_missing,
    natural_key,
    to_event,
    to_number,
)


@pytest.mark.parametrize(
    ("word", "event"),
    [
        *[(word, 1) for word in ("1", "1.0", "TRUE", "yes", "y", "Ja", "oui")],
        *[(word, 0) for word in ("0", "false", "No", "n", "nein", "non")],
    ],
)
def test_codes_are_inverted_only_by_the_explicit_word(word, event):
    assert to_event(word) == event
    assert to_event(word, "censored") == 1 - event


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
        ("verstorben", 1),
        ("Lebt", 0),
    ],
)
def test_words_that_name_the_state_are_never_inverted(word, event):
    assert to_event(word) == to_event(word, "censored") == event


def test_one_and_two_are_those_of_r() -> None:
    words = ("1", "2", "2.0", "0", "yes", "1:LIVING", "2:DECEASED", "2:Relapse", "1:DECEASED")
    assert [to_event(word, "1/2") for word in words] == [0, 1, 1, None, None, 0, 1, 1, None]
    assert to_event("2:DECEASED") is None and to_event("Dead", "1/2") == 1 and to_event("alive", "1/2") == 0


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
