"""Patients by class, events, follow-up, and how much longer the low-risk group lives, in sentences."""

from __future__ import annotations

from histonic.stages.evaluate.curves import (
    AnyCurves,
    ClassCurves,
    FollowUp,
    RestrictedMeanRow,
    SurvivalCurves,
)
from histonic.stages.report.wording.words import NBSP, compact, counted, joined


def numbers_words(curves: AnyCurves, unit: str) -> str:
    """Patients and events of a target in a sentence or two; empty where nothing is to be said.

    Args:
        curves: Of the target.
        unit: Of its times, as a column's name.
    """
    if isinstance(curves, ClassCurves):
        confusion = curves.confusion
        rows = zip(confusion.classes, confusion.counts, strict=True)
        return f"Patients by true class: {joined([f'{sum(row)} “{name}”' for name, row in rows])}."
    if isinstance(curves, SurvivalCurves) and curves.follow_up is not None:
        return follow_up_words(curves.follow_up, unit)
    return ""


def follow_up_words(found: FollowUp, unit: str) -> str:
    """Events and median follow-up.

    Example:
        >>> found = FollowUp(n=60, events=20, competing=0, median=48.0, low=44.0, high=None)
        >>> follow_up_words(found, "months").split(". ")[0].replace(NBSP, " ")
        '20 events in 60 patients'
    """
    other = f", and another cause in {found.competing}" if found.competing else ""
    counts = f"{counted(found.events, 'event')} in {counted(found.n, 'patient')}{other}."
    how = "by reverse Kaplan-Meier"
    if found.median is None:
        return f"{counts} The median follow-up {how} is not reached: too few patients were censored."
    if found.low is None:
        ends = "no interval"
    else:
        upper = "no upper end" if found.high is None else compact(found.high)
        ends = f"95{NBSP}% interval {compact(found.low)} to {upper}"
    return (
        f"{counts} The median follow-up {how} is {compact(found.median)} ({ends}), in the unit of “{unit}”."
    )


def restricted_mean_words(found: RestrictedMeanRow, crossed: bool) -> str:
    """The difference of restricted means, with the time that they end at.

    Args:
        found: Of the two risk groups.
        crossed: The predictions are cross-validated.
    """
    ends = "no interval: fewer than five events in a group"
    if found.low is not None and found.high is not None:
        ends = f"95{NBSP}% interval {compact(found.low)} to {compact(found.high)}"
    twice = " Its variance counts twice, as above." if found.low is not None else ""
    folds = (
        " Unlike hazard ratios and test it compares patients of all folds together, and where folds differ "
        f"in their share of high-risk patients it holds differences between folds as well.{twice}"
    )
    return (
        f"Up to {compact(found.until)}, the last round time at which a tenth of each group is still "
        f"followed, patients live {compact(found.low_risk)} without the event in the mean at low risk and "
        f"{compact(found.high_risk)} at high risk (restricted mean survival time, the area under the curve): "
        f"a difference of {compact(found.difference)} ({ends}).{folds if crossed else ''}"
    )
