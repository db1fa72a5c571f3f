"""Problems of tables as errors: the first is raised, the others counted, and names suggested."""

from __future__ import annotations

from dataclasses import replace

import pytest

from histonic.core.errors import CohortError
from histonic.data.tables.issues import NAMES_SHOWN, Issue, list_names, raise_first, suggest

ODD = Issue("warning", "Odd", "a.csv", "odd", "Look.")
WRONG = Issue("error", "Negative time", "a.csv, row 3", "It is -1.", "Correct it.", CohortError)


def test_the_first_error_is_raised_and_the_others_counted() -> None:
    raise_first([ODD, ODD])
    with pytest.raises(CohortError) as alone:
        raise_first([ODD, WRONG])
    assert (alone.value.asked, alone.value.found) == ("Negative time: a.csv, row 3.", "It is -1.")
    with pytest.raises(CohortError) as first:
        raise_first([WRONG, ODD, WRONG, WRONG])
    assert first.value.found == "3 of them: row 3: It is -1; row 3: It is -1; row 3: It is -1."
    other = replace(WRONG, what="Another")
    with pytest.raises(CohortError) as several:
        raise_first([WRONG, other, other])
    assert several.value.found == "It is -1. (1 more kind(s) of problem.)"


def test_long_lists_of_names_end_with_a_count() -> None:
    names = [f"s{number}" for number in range(NAMES_SHOWN + 3)]
    assert list_names(names).endswith(f"s{NAMES_SHOWN - 1} and 3 more")


def test_names_are_suggested_in_their_own_spelling() -> None:
    assert suggest("SEX_", ["Age", "Sex"]) == "Did you mean 'Sex'?"
    assert suggest("zzz", ["Age", "Sex"]) == "Its columns are: Age, Sex."
