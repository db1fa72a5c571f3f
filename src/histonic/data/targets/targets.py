"""From a requested target to its kind, its columns and a value per row and per patient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from histonic.core.errors import SettingsError, TableError
from histonic.core.task import TargetRequest, Task, TaskKind
from histonic.data.tables.issues import Issue, list_names, suggest
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import (
    class_name,
    is_missing,
    natural_key,
    order_binary,
    order_classes,
    to_event,
    to_number,
)

Value = str | float | tuple[float, float]
"""A class name, a number, or (time, event)."""

TIME_ENDINGS = ("time", "days", "weeks", "months", "years")
EVENT_ENDINGS = ("event", "status", "dead", "death", "censored", "censorship", "censor")
MAX_ORDINAL_VALUES = 10
"""Numbers with at most this many different values may be classes as well as amounts."""


@dataclass(frozen=True)
class RowTarget:
    """One target as the table gives it.

    Attributes:
        request: What was asked for.
        kind: Given or inferred.
        columns: One, or (time, event).
        values: Value per row of the file; rows without one are absent.
        issues: What is wrong with the columns or cells.
    """

    request: TargetRequest
    kind: TaskKind
    columns: tuple[str, ...]
    values: Mapping[int, Value] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()


def read_targets(
    table: LabelTable, requests: Sequence[TargetRequest], *, event_coding: str = "event"
) -> list[RowTarget]:
    """Read all targets, see :func:`read_target`.

    Raises:
        SettingsError: No target, or the same name twice.
        TableError: As for one target; or ``censored`` would also invert a column that is not named so.
    """
    names = [request.name for request in requests]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if not names or doubled:
        raise SettingsError(
            f"Read the targets {list_names(names) or '(none)'}.",
            f"The name {doubled[0]!r} occurs twice." if doubled else "No target is named.",
            "Give every target a name of its own: NAME:KIND:COLUMN.",
        )
    targets = [read_target(table, request, event_coding=event_coding) for request in requests]
    events = [target.columns[1] for target in targets if target.kind == "survival"]
    plain = [column for column in events if not is_censor_named(column)]
    if event_coding == "censored" and plain and len(plain) < len(events):
        raise TableError(
            f"Invert the event columns {list_names(events)} of {table.path.name}.",
            f"By their names only some mark the censored; {list_names(plain)} would be turned upside down.",
            "Code them all the same way, or train these targets one at a time.",
        )
    return targets


def read_target(table: LabelTable, request: TargetRequest, *, event_coding: str = "event") -> RowTarget:
    """Find the target's columns, infer its kind and read its cells.

    Without a kind: columns NAME_time (or _days, _weeks, _months, _years) and NAME_event (or _status,
    _dead, _death) make it survival; two different values binary; words with three or more values
    multiclass; numbers with more than :data:`MAX_ORDINAL_VALUES` regression. Numbers with three to ten
    values could be classes, grades or amounts and have to be named.

    Args:
        table: The labels.
        request: The target; kind and columns may be open.
        event_coding: ``censored`` says that 1 in the event column marks the censored.

    Raises:
        TableError: No such column, an open kind that the values do not decide, or a censorship column
            without ``event_coding='censored'``.
    """
    kind, columns = _locate(table, request)
    if kind == "survival":
        _refuse_unclear_event(table, request, columns, event_coding)
        values, issues = _survival(table, columns, event_coding == "censored")
        return RowTarget(request, kind, columns, values, issues)
    cells = {int(row): cell for row, cell in table.frame[columns[0]].items() if not is_missing(cell)}
    if kind is None:
        kind = _infer(table, request, columns[0], cells)
    if kind == "regression":
        numbers, issues = _numbers(table, columns[0], cells)
        return RowTarget(request, kind, columns, dict(numbers), issues)
    return RowTarget(request, kind, columns, {row: class_name(cell) for row, cell in cells.items()})


def is_censor_named(column: str) -> bool:
    """Whether a column's name says that it marks the censored.

    Example:
        >>> is_censor_named("censorship_dss"), is_censor_named("uncensored"), is_censor_named("os_event")
        (True, False, False)
    """
    return (
        re.search(r"(?<!un)(?<!non)(?<!not)(?<!un[_ -])(?<!non[_ -])(?<!not[_ -])cens", column.lower())
        is not None
    )


def _locate(table: LabelTable, request: TargetRequest) -> tuple[TaskKind | None, tuple[str, ...]]:
    """Kind (None: still open) and columns of a request."""
    if request.columns:
        for column in request.columns:
            _require_column(table, request, column)
        return ("survival" if len(request.columns) == 2 else request.kind), request.columns
    if request.kind in (None, "survival"):
        pair = _survival_pair(table, request)
        if pair is not None:
            return "survival", pair
        if request.kind == "survival":
            raise TableError(
                f"Find time and event of the target {request.name!r} in {table.path.name}.",
                f"There is no pair like {request.name}_time and {request.name}_event, nor time and event; "
                f"its columns are {list_names(table.label_columns)}.",
                f"Name them: {request.name}:survival:TIME_COLUMN,EVENT_COLUMN.",
            )
    _require_column(table, request, request.name)
    return request.kind, (request.name,)


def _require_column(table: LabelTable, request: TargetRequest, column: str) -> None:
    if column not in table.text.columns:
        raise TableError(
            f"Read the target {request.name!r} from the column {column!r} of {table.path.name}.",
            "The table has no such column.",
            suggest(column, table.label_columns),
        )


def _survival_pair(table: LabelTable, request: TargetRequest) -> tuple[str, str] | None:
    """The (time, event) columns that go by the target's name."""
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
    return None


def _refuse_unclear_event(
    table: LabelTable, request: TargetRequest, columns: Sequence[str], event_coding: str
) -> None:
    if event_coding == "event" and is_censor_named(columns[1]):
        raise TableError(
            f"Read the events of the target {request.name!r} ({table.where(columns[1])}).",
            "By its name, 1 marks the censored there, which is the inverse of an event; taken as events it "
            "would turn every risk upside down.",
            "If 1 means censored, say --event-coding censored; if 1 means event, rename the column.",
        )


def _infer(table: LabelTable, request: TargetRequest, column: str, cells: Mapping[int, str]) -> TaskKind:
    names = {class_name(cell) for cell in cells.values()}
    asked = f"Infer the kind of the target {request.name!r} ({table.where(column)})."
    if not names:
        raise TableError(
            asked, "Every cell is empty or says that the value is missing.", "Fill in the column."
        )
    if len(names) <= 2:
        return "binary"
    numbers = [to_number(name, decimal_comma=table.text.decimal_comma) for name in names]
    if all(number is not None for number in numbers):
        if len(names) > MAX_ORDINAL_VALUES:
            return "regression"
        raise TableError(
            asked,
            f"It holds {len(names)} different numbers, which may be classes, grades or amounts.",
            f"Say which: {request.name}:multiclass, {request.name}:ordinal or {request.name}:regression.",
        )
    if len(names) > MAX_ORDINAL_VALUES and len(names) > len(cells) / 2:
        shown = list_names(sorted(names, key=natural_key)[:5])
        raise TableError(
            asked,
            f"It holds {len(names)} different words in {len(cells)} rows, such as {shown}.",
            f"Correct what is no number, or say {request.name}:multiclass if these are classes.",
        )
    return "multiclass"


def _numbers(
    table: LabelTable, column: str, cells: Mapping[int, str], *, not_negative: bool = False
) -> tuple[dict[int, float], tuple[Issue, ...]]:
    """Finite numbers per row; every other cell is an issue."""
    values: dict[int, float] = {}
    issues = []
    for row, cell in cells.items():
        number = to_number(cell, decimal_comma=table.text.decimal_comma)
        if number is not None and not (not_negative and number < 0):
            values[row] = number
            continue
        what = "Negative time" if number is not None else "Not a number"
        if number is None and not_negative:
            what = "Time that is not a number"
        todo = "Correct the cell, or leave it empty if the value is missing."
        issues.append(Issue("error", what, table.where(column, row), f"The cell is {cell!r}.", todo))
    return values, tuple(issues)


def _survival(
    table: LabelTable, columns: Sequence[str], ones_are_censored: bool
) -> tuple[dict[int, Value], tuple[Issue, ...]]:
    """(time, event) per row in which both are given."""
    frame = table.frame
    cells = {int(row): cell for row, cell in frame[columns[0]].items() if not is_missing(cell)}
    times, issues = _numbers(table, columns[0], cells, not_negative=True)
    values: dict[int, Value] = {}
    more = []
    for row, cell in frame[columns[1]].items():
        if is_missing(cell):
            continue
        event = to_event(cell, ones_are_censored=ones_are_censored)
        if event is None:
            todo = "Use 1 or 0, true or false, or words such as dead and alive; empty if missing."
            where = table.where(columns[1], row)
            more.append(Issue("error", "Event that is not 0 or 1", where, f"The cell is {cell!r}.", todo))
        elif row in times:
            values[int(row)] = (times[int(row)], event)
    return values, (*issues, *more)


def join_patients(table: LabelTable, target: RowTarget) -> tuple[dict[str, Value], list[Issue]]:
    """One value per patient; rows that disagree are an issue, an empty cell is no disagreement."""
    rows_of: dict[str, dict[int, Value]] = {}
    for row, value in target.values.items():
        patient = str(table.patients[row])
        if patient:
            rows_of.setdefault(patient, {})[row] = value
    values: dict[str, Value] = {}
    issues = []
    for patient in sorted(rows_of):
        given = rows_of[patient]
        if len(set(given.values())) == 1:
            values[patient] = next(iter(given.values()))
            continue
        issues.append(
            Issue(
                "error",
                "Rows of one patient disagree",
                f"{table.where(' and '.join(target.columns), *given)}, patient {patient!r}",
                f"The values are {list_names(_show(value) for value in given.values())}.",
                "A target belongs to the patient: give the same value in all rows, or in only one.",
            )
        )
    return values, issues


def _show(value: Value) -> str:
    return f"(time {value[0]:g}, event {value[1]:g})" if isinstance(value, tuple) else str(value)


def _refuse_two_spellings(table: LabelTable, target: str, columns: tuple[str, ...], names: set[str]) -> None:
    spellings: dict[str, list[str]] = {}
    for each in sorted(names):
        spellings.setdefault(" ".join(each.casefold().split()), []).append(each)
    for alike in spellings.values():
        if len(alike) > 1:
            raise TableError(
                f"Use the target {target!r} as classes ({table.where(' and '.join(columns))}).",
                f"{list_names(repr(each) for each in alike)} differ only in upper and lower case or blanks.",
                "Write one class in one way.",
            )


def make_task(
    table: LabelTable, target: RowTarget, values: Mapping[str, Value]
) -> tuple[Task, dict[str, float | tuple[float, float]]]:
    """The Task with its classes, and per patient the class index, number or (time, event).

    Args:
        table: For messages.
        target: The target.
        values: Per patient, only of those who are used: classes that none of them has do not count.

    Raises:
        TableError: A binary target with more than two classes, or two classes that are one but for capitals.
    """
    name, kind = target.request.name, target.kind
    if kind in ("regression", "survival"):
        numbers = {patient: value for patient, value in values.items() if not isinstance(value, str)}
        return Task(name, kind, target.columns), numbers
    names = {str(value) for value in values.values()}
    _refuse_two_spellings(table, name, target.columns, names)
    order: Callable[[set[str]], tuple[str, ...]] = order_binary if kind == "binary" else order_classes
    classes = order(names)
    if kind == "binary" and len(classes) > 2:
        raise TableError(
            f"Use the target {name!r} as binary ({table.where(' and '.join(target.columns))}).",
            f"It has {len(classes)} classes: {list_names(classes)}.",
            f"Say {name}:multiclass or {name}:ordinal, or correct the table.",
        )
    index = {word: float(position) for position, word in enumerate(classes)}
    return Task(name, kind, target.columns, classes), {p: index[str(v)] for p, v in values.items()}
