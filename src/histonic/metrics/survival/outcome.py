"""Times and events of patients, checked in one place.

``time`` is from inclusion to event or end of follow-up, ``event`` is 1 for an event and 0 for censored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.core.errors import CohortError
from histonic.metrics.ranks import BoolArray, FloatArray, as_floats


class Survival(NamedTuple):
    """Checked follow-up: finite times, not negative, and events."""

    time: FloatArray
    event: BoolArray


def check_survival(
    time: npt.ArrayLike, event: npt.ArrayLike, *, target: str = "", patients: Sequence[str] = ()
) -> Survival:
    """Make the outcome that all functions here take, and refuse what cannot be one.

    Args:
        time: ``(n,)`` follow-up, any unit, not negative.
        event: ``(n,)`` 1 or True = event, 0 or False = censored.
        target: Name for the message of an error.
        patients: Names for the message of an error; row numbers (from 0) by default.

    Raises:
        CohortError: Lengths differ, a time is negative or not finite, or an event is neither 0 nor 1.

    Example:
        >>> check_survival([2, 5], [1, 0]).event.tolist()
        [True, False]
    """
    times, events = as_floats(time), as_floats(event)
    asked = f"Evaluate the survival target {target!r}." if target else "Evaluate survival."
    if times.ndim != 1 or times.shape != events.shape:
        found = f"Times of shape {times.shape} and events of shape {events.shape}."
        raise CohortError(asked, found, "Give one time and one event per patient.")
    rules = (
        ("time", times, np.isfinite(times) & (times >= 0), "a finite time, not negative"),
        ("event", events, np.isin(events, (0.0, 1.0)), "1 for an event or 0 for censored"),
    )
    for what, values, right, wanted in rules:
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            who = f"patient {patients[row]}" if patients else f"row {row}"
            found = f"The {what} of {who} is {values[row]:g}, not {wanted}."
            raise CohortError(asked, found, "Correct it in the label table, or leave the patient out.")
    return Survival(times, events == 1)


def has_comparable_pair(outcome: Survival) -> bool:
    """Whether any patient is known to have outlived another.

    Example:
        >>> has_comparable_pair(check_survival([1, 2], [0, 1]))
        False
    """
    time, event = outcome
    if not event.any():
        return False
    first = time[event].min()
    return bool((time > first).any() or (~event & (time == first)).any())
