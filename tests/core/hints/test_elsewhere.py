"""What settings of other tools are called here."""

from __future__ import annotations

import pytest

from histonic.core.hints.elsewhere import here


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("lr", ("learning_rate",)),
        ("LR", ("learning_rate",)),
        ("gpu", ("device cuda",)),
        ("model", ("aggregator", "encoder", "trunk")),
        ("crop_cells", ()),
    ],
)
def test_a_name_from_elsewhere_is_answered_by_those_that_it_may_mean(
    name: str, called: tuple[str, ...]
) -> None:
    assert here(name) == called
