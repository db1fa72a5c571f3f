"""Patterns as users write them."""

from __future__ import annotations

import pytest

from histonic.core.errors import SettingsError, TileSetError
from histonic.data.patterns import compiled, parts_by_pattern


def test_the_group_called_group_wins_over_the_first() -> None:
    texts = ["SOB_B_A-14-22549AB-40-007.png", "SOB_M_DC-14-2523-400-010.png", "notes.png"]
    found = parts_by_pattern(texts, r"^SOB_([BM])_.*-(?P<group>\d+-\w+)-\d+-", "Group.", SettingsError)
    assert found == ["14-22549AB", "14-2523", None]
    assert parts_by_pattern(texts, r"^SOB_([BM])_", "Group.", SettingsError) == ["B", "M", None]
    assert parts_by_pattern(["x"], "x(y?)", "Group.", SettingsError) == [None]


def test_patterns_that_cannot_be_meant() -> None:
    with pytest.raises(TileSetError, match="no regular expression"):
        compiled("(", "Choose.", TileSetError)
    with pytest.raises(SettingsError, match="no group in brackets"):
        parts_by_pattern(["a"], "a", "Group.", SettingsError)
