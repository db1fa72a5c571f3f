"""Values in another form are told how to write; anything else is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from histonic.core.hints.values import value_hint


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ({"type": "float_parsing", "input": "0,5"}, ": 0.5, with a point"),
        ({"type": "float_parsing", "input": "0,2525"}, ": 0.2525, with a point"),
        ({"type": "float_parsing", "input": "-12,25"}, ": -12.25, with a point"),
        ({"type": "float_parsing", "input": "1,234"}, ""),
        ({"type": "float_parsing", "input": "12,3456"}, ""),
        ({"type": "float_parsing", "input": "wide"}, ""),
        ({"type": "int_parsing", "input": "0,5"}, ""),
        ({"type": "dict_type", "input": ["cll=CLL"]}, ": {NAME: VALUE}"),
        ({"type": "missing"}, ""),
    ],
)
def test_a_value_in_another_form_is_told_how_to_write(error: dict[str, Any], hint: str) -> None:
    assert value_hint(error) == hint
