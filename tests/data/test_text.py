"""Text that looks the same is the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.text import loose_key, tidy


@pytest.mark.parametrize("text", ["Müller", "Ångström", "Đặng", "한국"])
def test_forms_of_a_letter_are_one(text):
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    assert {tidy(each) for each in forms} == {unicodedata.normalize("NFC", text)}
    assert len({loose_key(each) for each in forms}) == 1


@pytest.mark.parametrize("odd", ["\u200b", "\ufeff", "\u00ad", "\u2060", "\u200e", "\u200d"])
def test_what_nobody_sees_does_not_count(odd):
    assert tidy(f"{odd}P{odd}1{odd}") == "P1"


@pytest.mark.parametrize("blank", ["\u00a0", "\u202f", "\u2007", "\u3000", "\t", "\n"])
def test_blanks_at_the_ends_go_and_others_are_blanks(blank):
    assert tidy(f"{blank}P1{blank}") == "P1"
    assert loose_key(f"P{blank}1") == "p1"


@given(st.text())
def test_tidy_text_stays_as_it_is(text):
    assert tidy(tidy(text)) == tidy(text)


@pytest.mark.parametrize("other", ["case 12", "CASE-12", "Case_12", "case12", " case\u201012 "])
def test_writing_habits_do_not_count(other):
    assert loose_key("Case 12") == loose_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1-12", "11-2"), ("01", "1"), ("P1", "P11"), ("1.5", "15"), ("-1", "+1")]
)
def test_different_identifiers_stay_different(one, other):
    assert loose_key(one) != loose_key(other)
