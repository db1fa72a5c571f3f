"""Whether another cohort's survival times are on the scale of the run's."""

from __future__ import annotations

import numpy as np

from histonic.core.cohort import Cohort, FloatArray
from histonic.core.errors import TableError
from histonic.core.places.frames import TablePlace
from histonic.runs.documents import CohortDocument

MOST_TIMES = 10.0
"""Medians may differ by so many times."""
FEW = 5
"""Of fewer patients all times must lie outside of the run's."""
_UNITS = (
    (7.0, "days and weeks"),
    (12.0, "months and years"),
    (30.44, "days and months"),
    (365.25, "days and years"),
)
"""How many of one unit make the other."""


def require_same_time_scale(run: CohortDocument, cohort: Cohort, labels: TablePlace) -> None:
    """Refuse survival times whose median is more than ten times that of the run, or less than a tenth.

    Args:
        run: Patients and follow-up of the run.
        cohort: The other one, with the run's targets.
        labels: Its label table, for the message.

    Raises:
        TableError: A target's times differ so much.
    """
    for task in cohort.tasks:
        if task.kind != "survival":
            continue
        known = [each.targets.get(task.name) for each in run.patients]
        own = np.array([value[0] for value in known if isinstance(value, tuple)])
        other = cohort.targets(task)[:, 0]
        other = other[~np.isnan(other)]
        if not _differ(own, other):
            continue
        one, two = float(np.median(own)), float(np.median(other))
        raise TableError(
            f"Test the target {task.name!r} on {labels.name}.",
            f"Its times have the median {two:,.4g}, those of the run {one:,.4g}"
            + (f", {max(one, two) / min(one, two):,.0f} times as much." if min(one, two) > 0 else ".")
            + _guess(one, two),
            "Write the times in the unit of the run's table. If they are in that unit and truly differ so: "
            "--times-differ.",
        )


def _differ(own: FloatArray, other: FloatArray) -> bool:
    if not len(own) or not len(other):
        return False
    one, two = np.median(own), np.median(other)
    if max(one, two) <= MOST_TIMES * min(one, two):
        return False
    return len(other) >= FEW or bool(other.min() > own.max() or other.max() < own.min())


def _guess(one: float, two: float) -> str:
    """The pair of units that the ratio of the medians is nearest to."""
    if min(one, two) <= 0:
        return ""
    ratio = max(one, two) / min(one, two)
    factor, units = min(_UNITS, key=lambda each: abs(np.log(ratio / each[0])))
    return f" {units.capitalize()} differ by {factor:.4g}."
