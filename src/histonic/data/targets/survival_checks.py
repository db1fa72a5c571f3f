"""Follow-up that looks as if the event column marked the censored, or as if times were taken for amounts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from histonic.data.tables.issues import Issue
from histonic.data.tables.label_table import LabelTable
from histonic.data.targets.event_names import is_censor_named
from histonic.data.targets.survival_columns import TIME_ENDINGS
from histonic.data.targets.targets import RowTarget, Value
from histonic.metrics.ranks import BoolArray, FloatArray
from histonic.metrics.survival.coding import coding_signs

FEWEST = 30
"""Patients below which nothing is said about the coding."""
ENOUGH_POWER = 0.8
"""Of an inverted coding that is found so often nothing more is said."""
COHORTS = 100
MOST_PATIENTS = 300
"""Cohorts that are drawn to say how often an inverted coding would be found, and patients in each at most."""


def doubt_coding(time: npt.ArrayLike, event: npt.ArrayLike) -> str:
    """Why the events of a follow-up look like the censored; empty if they do not.

    Three signs are looked at, see :func:`histonic.metrics.survival.coding.coding_signs`: whether the times
    are far likelier if events and censored are exchanged, whether events are later than the censored though
    their hazard does not rise, and whether most of those followed longest had the event. Right codings raise
    the alarm in fewer than 5 of 100 cohorts, unless hazards rise and all losses are random; how often an
    inverted one is found hangs on survival and on how patients were censored (``benchmarks/event_alarm.md``).

    Args:
        time: ``(n,)`` follow-up.
        event: ``(n,)`` 1 for an event.

    Example:
        >>> time = np.arange(100.0)
        >>> doubt_coding(time, time < 40), "longest" in doubt_coding(time, time >= 40)
        ('', True)
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event) == 1
    if not _can_be_told(times, events):
        return ""
    signs = coding_signs(times[None], events[None])
    said = []
    if signs.by_shape[0]:
        ratio = np.exp(min(signs.evidence[0], np.log(1e6)))
        said.append(
            f"The times are {ratio:,.0f} times as likely if events and censored are exchanged: the end of a "
            "study censors late and close together, and here events come so."
        )
    if signs.by_order[0]:
        said.append(
            f"The events are later than the censored, by {signs.trend[0]:.1f} standard errors, although "
            "their own hazard does not rise; the end of a study makes the censored late."
        )
    if signs.by_last[0]:
        said.append(
            f"Of the {signs.last} patients who were followed longest, {signs.late[0]:.0%} are said to have "
            f"had the event, of all {len(times)} patients {events.mean():.0%}. Those followed longest mostly "
            "had none."
        )
    return " ".join(said)


def _can_be_told(times: FloatArray, events: BoolArray) -> bool:
    return len(times) >= FEWEST and bool(events.any()) and not bool(events.all()) and bool(times.max() > 0)


def coding_power(time: npt.ArrayLike, event: npt.ArrayLike, *, seed: int = 0) -> float | None:
    """How often :func:`doubt_coding` finds the inverse of this coding, if this one is right.

    Patients are drawn with replacement, and their coding is turned round.

    Args:
        time: ``(n,)`` follow-up.
        event: ``(n,)`` 1 for an event.
        seed: Of the draws.

    Returns:
        A share of cohorts; None where the check says nothing at all.
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event) == 1
    if not _can_be_told(times, events):
        return None
    drawn = np.random.default_rng(seed).integers(len(times), size=(COHORTS, min(len(times), MOST_PATIENTS)))
    told = np.array([_can_be_told(times[rows], events[rows]) for rows in drawn])
    found = coding_signs(times[drawn[told]], ~events[drawn[told]]).inverted
    return float(found.sum() / COHORTS)


def power_words(values: Sequence[Value]) -> str:
    """What to say where the check of the event coding would often miss an inverted one; empty elsewhere."""
    pairs = [value for value in values if isinstance(value, tuple)]
    if not pairs or not any(pair[1] for pair in pairs):
        return ""
    power = coding_power([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    if power is None:
        return "Too few patients or too few censored to see from the times whether 1 means an event."
    if power >= ENOUGH_POWER:
        return ""
    return (
        "From follow-up times such as these an inverted event coding would be found in about "
        f"{power * 100:.0f} of 100 cohorts only: make sure yourself what 1 means."
    )


def coding_issues(table: LabelTable, target: RowTarget, values: Sequence[Value]) -> list[Issue]:
    """A warning if the events of a survival target look like the censored.

    Args:
        table: For the message.
        target: A survival target.
        values: (time, event), one a patient.
    """
    pairs = [value for value in values if isinstance(value, tuple)]
    doubt = doubt_coding([pair[0] for pair in pairs], [pair[1] for pair in pairs]) if pairs else ""
    if not doubt:
        return []
    todo = (
        "Check what 1 means in that column: if it marks the censored, say --event-coding censored; if that "
        "is said already, leave it out."
    )
    return [Issue("warning", "Events that look censored", table.where(target.columns[-1]), doubt, todo)]


def censored_time(table: LabelTable, column: str) -> str:
    """The column that says who is censored, if ``column`` is a follow-up time; else empty.

    A follow-up time learned as a number takes the last visit of the living for their death.

    Args:
        table: The labels.
        column: A column that is to be predicted as a number.
    """
    words = column.lower().replace("-", "_").split("_")
    if not set(words) & set(TIME_ENDINGS) or not set(words) & {
        "survival",
        "os",
        "dss",
        "pfs",
        "pfi",
        "rfs",
        "dfs",
    }:
        return ""
    named = [other for other in table.text.columns if other != column and _tells_event(other)]
    # The partner has the same ending: survival_months_dss and censorship_dss.
    rest = [word for word in words if word not in (*TIME_ENDINGS, "survival")]
    fitting = [other for other in named if other.lower().replace("-", "_").split("_")[1:] == rest]
    return (fitting or named or [""])[0]


def _tells_event(column: str) -> bool:
    words = set(column.lower().replace("-", "_").split("_"))
    return is_censor_named(column) or bool(words & {"event", "status", "dead", "death", "died"})


def number_issues(table: LabelTable, target: RowTarget) -> list[Issue]:
    """A warning if a number to be predicted is a follow-up time."""
    partner = censored_time(table, target.columns[0]) if target.kind == "regression" else ""
    if not partner:
        return []
    name = target.request.name
    return [
        Issue(
            "warning",
            "Follow-up time as a number",
            f"{table.where(target.columns[0])}, target {name!r}",
            f"The column {partner!r} says that some patients are censored: theirs is no time of an event.",
            f"Use both: --target {name}:survival:{target.columns[0]},{partner}"
            + (" --event-coding censored." if is_censor_named(partner) else "."),
        )
    ]
