"""Time and event of a survival target: their columns, GDC's two columns of time, and their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from histonic.core.errors import TableError
from histonic.core.task import EventCodes, TargetRequest
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import is_missing, is_spreadsheet_error, to_event
from histonic.data.targets.cells import given_cells, read_numbers

TIME_ENDINGS = ("time", "days", "weeks", "months", "years")
EVENT_ENDINGS = ("event", "status", "dead", "death", "censored", "censorship", "censor")
JOINED = "+"
"""In ``days_to_death+days_to_last_follow_up``: the first where the event happened, else the second."""
_GDC_LAST = ("days_to_last_follow_up", "days_to_last_followup")
_GDC_NAMES = frozenset({"os", "overall_survival", "survival", "death", "dead", "vital_status"})
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


def read_survival(
    table: LabelTable, columns: Sequence[str], event_coding: EventCodes
) -> tuple[dict[int, tuple[float, float]], tuple[Issue, ...]]:
    """(time, event) per row in which both are given, and what is wrong with the cells."""
    issues: list[Issue] = []
    events: dict[int, float] = {}
    for row, cell in table.frame[columns[1]].items():
        if is_missing(cell):
            continue
        event = to_event(cell, event_coding)
        if event is None:
            what = (
                "Spreadsheet's error in a cell" if is_spreadsheet_error(cell) else "Event that is not 0 or 1"
            )
            todo = "Use 1 or 0, true or false, or words such as dead and alive; empty if missing."
            where = table.where(columns[1], int(row))
            issues.append(Issue("error", what, where, f"The cell is {cell!r}.", todo))
        else:
            events[int(row)] = event
    sources = time_columns(table, columns[0])
    times: list[Mapping[int, float]] = []
    for source in sources:
        numbers, wrong = read_numbers(table, source, given_cells(table, source), not_negative=True)
        times.append(numbers)
        issues = [*wrong, *issues]
    values = {}
    for row, event in events.items():
        known = times[0 if event == 1 else -1]
        if row in known:
            values[row] = (known[row], event)
    return values, (*issues, *_one_sided(table, columns, sources, events, values))


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
