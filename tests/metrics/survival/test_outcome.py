"""Times and events are refused where they cannot be, and pairs counted where they compare."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.errors import CohortError
from histonic.metrics.survival.outcome import check_survival, has_comparable_pair


@pytest.mark.parametrize(
    ("time", "event", "found"),
    [
        ([1, -2], [1, 0], "The time of row 1 is -2"),
        ([np.nan, 2], [1, 0], "The time of row 0 is nan"),
        ([1, np.inf], [1, 0], "is inf"),
        ([1, 2], [1, 2], "The event of row 1 is 2"),
        ([1, 2], [np.nan, 1], "The event of row 0 is nan"),
        ([1, 2, 3], [1, 0], "shape"),
    ],
)
def test_impossible_outcomes_are_refused(time: list[float], event: list[float], found: str) -> None:
    with pytest.raises(CohortError) as error:
        check_survival(time, event)
    assert found in error.value.found


def test_an_impossible_outcome_names_target_and_patient() -> None:
    with pytest.raises(CohortError) as error:
        check_survival([1, -2], [1, 0], target="os", patients=["p1", "p2"])
    assert "'os'" in error.value.asked
    assert "patient p2 is -2" in error.value.found


def test_masked_values_are_missing() -> None:
    time, event = np.ma.array([1.0, 2.0], mask=[0, 1]), np.ma.array([1, 0], mask=[1, 0])
    with pytest.raises(CohortError, match="time of row 1 is nan"):
        check_survival(time, [1, 0])
    with pytest.raises(CohortError, match="event of row 0 is nan"):
        check_survival([1.0, 2.0], event)
    assert check_survival(np.ma.array([1.0, 2.0]), [1, 0]).time.tolist() == [1, 2]


def test_comparable_pairs() -> None:
    assert has_comparable_pair(check_survival([1, 1], [1, 0]))
    assert not has_comparable_pair(check_survival([1, 1], [1, 1]))
    assert not has_comparable_pair(check_survival([1, 2], [0, 0]))
