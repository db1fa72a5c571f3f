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

FEWEST = 30
"""Patients below which nothing is said about the coding."""
LAST_SHARE = 0.1
MOST_LATE_EVENTS = 0.75
"""Share of events among the patients who were followed longest, above which the coding is doubted."""


def doubt_coding(time: npt.ArrayLike, event: npt.ArrayLike) -> str:
    """Why the events of a follow-up look like the censored; empty if they do not.

    The patients who were followed longest are mostly those who were alive when the study ended. If most of
    them, a tenth of all, are said to have had the event although others are censored, the column may code the
    inverse. On the overall, disease-specific and progression-free survival of two TCGA cohorts that share is
    6 to 17 %, and 83 to 94 % if the coding is turned round.

    Args:
        time: ``(n,)`` follow-up.
        event: ``(n,)`` 1 for an event.

    Example:
        >>> time = np.arange(100.0)
        >>> doubt_coding(time, time < 40), "longest" in doubt_coding(time, time >= 40)
        ('', True)
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event) == 1
    if len(times) < FEWEST or events.all() or not events.any():
        return ""
    last = np.argsort(times, kind="stable")[-max(10, round(LAST_SHARE * len(times))) :]
    share = float(events[last].mean())
    if share <= MOST_LATE_EVENTS:
        return ""
    return (
        f"Of the {len(last)} patients who were followed longest, {share:.0%} are said to have had the event, "
        f"of all {len(times)} patients {events.mean():.0%}. Those followed longest mostly had none."
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
