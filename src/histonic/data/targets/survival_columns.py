"""Time and event of a survival target: their columns, GDC's two columns of time, and their cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from histonic.core.errors import TableError
from histonic.core.task import EventCodes, TargetRequest
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.styles import LATE_ENTRY
from histonic.data.targets.cells import given_cells, read_numbers
from histonic.data.targets.classes import spelled_cells
from histonic.data.targets.events import blank_issues, read_events

TIME_ENDINGS = ("time", "days", "weeks", "months", "years")
EVENT_ENDINGS = ("event", "status", "dead", "death", "censored", "censorship", "censor")
JOINED = "+"
"""In ``days_to_death+days_to_last_follow_up``: the first where the event happened, else the second."""
_GDC_LAST = ("days_to_last_follow_up", "days_to_last_followup")
_GDC_NAMES = frozenset({"os", "overall_survival", "survival", "death", "dead", "vital_status"})
MOST_BEFORE = 0.9
"""So many patients have an entry before their own time, if the column is one of entries."""
FEWEST_CENSORED = 3
"""Without an event and without a time, before that is called a fault of the columns."""


def time_columns(table: LabelTable, column: str) -> tuple[str, ...]:
    """One column, or the two of ``A+B``, as far as the table has them."""
    first, plus, second = column.partition(JOINED)
    if column not in table.text.columns and plus:
        return first.strip(), second.strip()
    return (column,)


def has_columns(table: LabelTable, columns: Sequence[str]) -> bool:
    """Whether the table has every column of a target."""
    every = [each for column in columns for each in time_columns(table, column)]
    return set(every) <= set(table.text.columns)


def survival_pair(table: LabelTable, request: TargetRequest) -> tuple[str, str] | None:
    """The (time, event) columns that go by the target's name; of a GDC table those of overall survival.

    Raises:
        TableError: Several columns would do.
    """
    lower = {column.lower(): column for column in reversed(table.text.columns)}

    def named(endings: Sequence[str]) -> list[str]:
        wanted = (f"{request.name}_{ending}".lower() for ending in endings)
        return [lower[name] for name in wanted if name in lower]

    times, events = named(TIME_ENDINGS), named(EVENT_ENDINGS)
    if len(times) > 1 or len(events) > 1:
        if times and events:
            raise TableError(
                f"Find time and event of the target {request.name!r} in {table.path.name}.",
                f"Several columns would do: {list_names([*times, *events])}.",
                f"Choose: {request.name}:survival:TIME_COLUMN,EVENT_COLUMN.",
            )
        return None
    if times and events:
        return times[0], events[0]
    if request.kind == "survival" and {"time", "event"} <= set(table.columns):
        return table.columns["time"], table.columns["event"]
    return _gdc_pair(table) if request.name.lower() in _GDC_NAMES and not _is_column(table, request) else None


def _is_column(table: LabelTable, request: TargetRequest) -> bool:
    return request.name in table.text.columns and request.kind != "survival"


def _gdc_pair(table: LabelTable) -> tuple[str, str] | None:
    """``days_to_death+days_to_last_follow_up`` and ``vital_status``, with heads such as demographic."""
    tails = {column.lower().rpartition(".")[2]: column for column in reversed(table.text.columns)}
    last = next((tails[name] for name in _GDC_LAST if name in tails), None)
    if last is None or not {"days_to_death", "vital_status"} <= set(tails):
        return None
    return f"{tails['days_to_death']}{JOINED}{last}", tails["vital_status"]


class FollowUp(NamedTuple):
    """The columns of a survival target as read."""

    values: dict[int, tuple[float, float]]
    """(time, event) per row in which both are given."""
    issues: tuple[Issue, ...]
    """What is wrong with the cells."""
    written: dict[str, frozenset[str]]
    """By column the words of events, and of times what ``classes`` names."""
    causes: dict[int, str]
    """Of each event by row, where an event of interest was named."""


def read_survival(
    table: LabelTable,
    target: str,
    columns: Sequence[str],
    event_coding: EventCodes,
    of_interest: str = "",
) -> FollowUp:
    """Read the time and the event of a target.

    Args:
        table: The labels.
        target: Name of the target.
        columns: Time, or two of them joined by ``+``, and event.
        event_coding: What the codes of the event column mean.
        of_interest: The code or word that is the event, where others are competing causes.

    Raises:
        TableError: The event column has by its name the inverse meaning, and nobody has said so; or the table
            says when patients came under observation.
    """
    events = read_events(table, target, columns[1], event_coding, of_interest)
    issues, written = list(events.issues), {columns[1]: events.written}
    sources = time_columns(table, columns[0])
    times: list[Mapping[int, float]] = []
    for source in sources:
        given = given_cells(table, source)
        cells = spelled_cells(table, source, given)
        written[source] = frozenset(cell for row, cell in given.items() if cells.get(row) != cell)
        numbers, wrong = read_numbers(table, source, cells, not_negative=True)
        times.append(numbers)
        issues = [*wrong, *issues]
    values = {}
    for row, event in events.known.items():
        happened = event == 1 or row in events.causes
        known = times[0 if happened else -1]
        if row in known:
            values[row] = (known[row], event)
    timed = {row for known in times for row in known}
    refuse_late_entry(table, target, columns, {row: value[0] for row, value in values.items()})
    unharmed = {row: event for row, event in events.known.items() if row not in events.causes}
    issues += _one_sided(table, columns, sources, unharmed, values)
    issues += blank_issues(table, columns[1], events, timed)
    return FollowUp(values, tuple(issues), written, dict(events.causes))


def refuse_late_entry(
    table: LabelTable, target: str, columns: Sequence[str], times: Mapping[int, float]
) -> None:
    """Refuse a table that says when each patient came under observation (left truncation).

    Args:
        table: Its column ``entry`` by name, or as ``--columns entry=COLUMN`` says.
        target: Name of the target.
        columns: Of the target.
        times: Of the target, by row.

    Raises:
        TableError: The column was named so, or holds times, some of them later than 0 and hardly any after
            the patient's own; or it is the time of the target.
    """
    entry = table.columns.get("entry", "")
    named = entry.lower() not in (*LATE_ENTRY, "entry")
    if not entry or (not named and _is_age(entry) and not _is_age(columns[0])):
        return
    asked = f"Read the target {target!r} ({table.where(entry)})."
    if entry in time_columns(table, columns[0]):
        raise TableError(
            asked,
            "By its name it is the time at which observation began, not at which it ended.",
            "Name the time of the event or the last visit: "
            f"--target {target}:survival:TIME_COLUMN,{columns[1]}; if it is that, say --columns entry=none.",
        )
    if not named:
        found, _ = read_numbers(table, entry, given_cells(table, entry))
        both = [(found[row], time) for row, time in times.items() if row in found]
        before = sum(start <= time for start, time in both)
        if not any(start > 0 for start, _ in both) or before < MOST_BEFORE * len(both):
            return
    raise TableError(
        asked,
        "It says when each patient came under observation (left truncation); here every patient counts as "
        "followed from time 0, so that time in which nobody could be seen to die would pass for survival.",
        "Give a time that begins at entry (exit minus entry), or only patients followed from the start. If "
        "nobody could be missed before entry, set the column aside: --columns entry=none.",
    )


def _is_age(column: str) -> bool:
    return "age" in re.split(r"[^a-z]+", column.lower())


def _one_sided(
    table: LabelTable,
    columns: Sequence[str],
    sources: Sequence[str],
    events: Mapping[int, float],
    values: Mapping[int, object],
) -> list[Issue]:
    """An error if nobody without an event has a time: the column holds times of events only."""
    censored = [row for row, event in events.items() if event == 0]
    if len(censored) < FEWEST_CENSORED or any(row in values for row in censored) or not values:
        return []
    gdc = _gdc_pair(table)
    todo = (
        f"Join both: NAME:survival:{gdc[0]},{gdc[1]}."
        if gdc and len(sources) == 1
        else "Give a column that holds the time of the last visit for them, or join two: "
        "NAME:survival:TIME_OF_EVENT+TIME_OF_LAST_VISIT,EVENT_COLUMN."
    )
    return [
        Issue(
            "error",
            "No time for those without an event",
            table.where(" and ".join(columns)),
            f"{len(censored)} rows have no event, and none of them a time: without them every patient would "
            "have had one.",
            todo,
        )
    ]
