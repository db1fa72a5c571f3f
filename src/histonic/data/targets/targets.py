"""From a requested target to its kind, its columns and a value per row and per patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from histonic.core.errors import SettingsError, TableError
from histonic.core.task import EventCodes, TargetRequest, Task, TaskKind, column_target
from histonic.data.tables.issues import Issue, list_examples, list_names, suggest
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.numbers import are_numbers
from histonic.data.tables.values import (
    class_name,
    is_duration,
    is_spreadsheet_error,
    natural_key,
)
from histonic.data.targets.cells import DURATION, given_cells, read_numbers, spreadsheet_errors
from histonic.data.targets.classes import (
    joined_classes,
    refuse_two_spellings,
    spelled_cells,
    unused_spellings,
)
from histonic.data.targets.coding import ordered_classes
from histonic.data.targets.event_names import name_meaning
from histonic.data.targets.events import interest_of
from histonic.data.targets.survival_columns import read_survival, survival_pair, time_columns

Value = str | float | tuple[float, float]
"""A class name, a number, or (time, event)."""

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
        written: The words of a target of classes, before any are joined.
        spelled: By column the words of events before any are joined; of numbers and times those that are.
        causes: Of events by row, where an event of interest was named.
    """

    request: TargetRequest
    kind: TaskKind
    columns: tuple[str, ...]
    values: Mapping[int, Value] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()
    written: frozenset[str] = frozenset()
    spelled: Mapping[str, frozenset[str]] = field(default_factory=dict)
    causes: Mapping[int, str] = field(default_factory=dict)


def read_targets(
    table: LabelTable,
    requests: Sequence[TargetRequest],
    *,
    event_coding: EventCodes = "event",
    event_of_interest: Sequence[str] = (),
) -> list[RowTarget]:
    """Read all targets, see :func:`read_target`.

    Raises:
        SettingsError: No target, or the same name twice; an event of interest without a survival target.
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
    targets = [
        read_target(table, request, event_coding=event_coding, event_of_interest=event_of_interest)
        for request in requests
    ]
    timed = [target.request.name for target in targets if target.kind == "survival"]
    named = {text: text.partition("=")[0].strip() for text in event_of_interest}
    idle = [text for text, name in named.items() if ("=" in text and name not in timed) or not timed]
    if idle:
        raise SettingsError(
            f"Take {idle[0]!r} for the event of interest.",
            f"The survival targets are {list_names(timed) or '(none)'}.",
            "Leave out --event-of-interest, or write it as CODE or TARGET=CODE.",
        )
    events = [target.columns[1] for target in targets if target.kind == "survival"]
    plain = [column for column in events if name_meaning(column) not in ("censored", "alive")]
    if event_coding == "censored" and plain and len(plain) < len(events):
        raise TableError(
            f"Invert the event columns {list_names(events)} of {table.path.name}.",
            f"By their names only some mark the censored; {list_names(plain)} would be turned upside down.",
            "Code them all the same way, or train these targets one at a time.",
        )
    return targets


def read_target(
    table: LabelTable,
    request: TargetRequest,
    *,
    event_coding: EventCodes = "event",
    event_of_interest: Sequence[str] = (),
) -> RowTarget:
    """Find the target's columns, infer its kind and read its cells.

    Without a kind: columns NAME_time (or _days, _weeks, _months, _years) and NAME_event (or _status,
    _dead, _death) make it survival; two different values binary; words with three or more values
    multiclass; numbers with more than :data:`MAX_ORDINAL_VALUES` regression. Numbers with three to ten
    values could be classes, grades or amounts and have to be named.

    Args:
        table: The labels.
        request: The target; kind and columns may be open.
        event_coding: What the codes of event columns mean; ``censored``: 1 marks the censored.
        event_of_interest: ``CODE`` or ``TARGET=CODE``: the event, where others are competing causes.

    Raises:
        TableError: No such column, an open kind that the values do not decide, or a censorship column
            without ``event_coding='censored'``.
    """
    kind, columns = _locate(table, request)
    if kind == "survival":
        interest = interest_of(request.name, event_of_interest)
        found = read_survival(table, request.name, columns, event_coding, interest)
        values = dict(found.values)
        return RowTarget(
            request, kind, columns, values, found.issues, spelled=found.written, causes=found.causes
        )
    cells = given_cells(table, columns[0])
    issues = spreadsheet_errors(table, columns[0], cells)
    cells = {row: cell for row, cell in cells.items() if not is_spreadsheet_error(cell)}
    classes = joined_classes(table, request.name, cells)
    if kind is None:
        kind = _infer(table, request, columns[0], classes)
    if kind == "regression":
        read = spelled_cells(table, columns[0], cells)
        joined = frozenset(cell for row, cell in cells.items() if read.get(row) != cell)
        numbers, wrong = read_numbers(table, columns[0], read)
        return RowTarget(
            request, kind, columns, dict(numbers), (*issues, *wrong), spelled={columns[0]: joined}
        )
    broken = {row: cell for row, cell in cells.items() if "\n" in cell and table.text.delimiter in cell}
    if broken:
        todo = "A double quote may have swallowed the end of a row: correct it."
        what = "Line break in a class"
        issues = (*issues, Issue("error", what, table.where(columns[0]), f"{list_examples(broken)}.", todo))
    return RowTarget(request, kind, columns, dict(classes), issues, frozenset(cells.values()))


def unused_by_targets(table: LabelTable, targets: Sequence[RowTarget]) -> list[Issue]:
    """An error for each spelling in ``table.classes`` that no cell of the targets says."""
    classes = {each.request.name: each.written for each in targets if each.written}
    numbers: dict[str, frozenset[str]] = {}
    for each in targets:
        for column, words in each.spelled.items():
            numbers[column] = words | numbers.get(column, frozenset())
    return unused_spellings(table, classes, numbers)


def _locate(table: LabelTable, request: TargetRequest) -> tuple[TaskKind | None, tuple[str, ...]]:
    """Kind (None: still open) and columns of a request."""
    if request.columns:
        for column in request.columns:
            _require_column(table, request, column)
        return ("survival" if len(request.columns) == 2 else request.kind), request.columns
    if request.kind in (None, "survival"):
        pair = survival_pair(table, request)
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
    absent = [each for each in time_columns(table, column) if each not in table.text.columns]
    if absent:
        found, todo = table.text.no_column(absent[0])
        near = suggest(absent[0], table.label_columns)
        meant = next((each for each in table.label_columns if each.startswith(f"{absent[0]}:")), "")
        if meant and request.order:
            near = f"Rename the column {meant!r}: what follows its colon is taken for classes in their order."
        elif meant and (text := column_target(meant)):
            near = f"For the column {meant!r} write {text!r}, or rename it."
        elif meant:
            near = f"Rename the column {meant!r}: what follows its colon is read as something else."
        if "<" in absent[0]:
            near = f"To give the order of the classes, write {request.name}:ordinal:COLUMN:LOW<MID<HIGH."
        raise TableError(
            f"Read the target {request.name!r} from the column {absent[0]!r} of {table.path.name}.",
            found,
            near if todo.startswith(("Did you mean", "Its columns")) else todo,
        )


def _infer(table: LabelTable, request: TargetRequest, column: str, cells: Mapping[int, str]) -> TaskKind:
    names = {class_name(cell) for cell in cells.values()}
    asked = f"Infer the kind of the target {request.name!r} ({table.where(column)})."
    if not names:
        raise TableError(
            asked, "Every cell is empty or says that the value is missing.", "Fill in the column."
        )
    # Few bare ones, such as 7 days and 14 days, are arms or time points; pandas writes the hours, too.
    is_measured = len(names) > MAX_ORDINAL_VALUES or any(":" in name for name in names)
    if is_measured and all(map(is_duration, names)):
        shown = list_names(sorted(names, key=natural_key)[:3])
        kind = "binary" if len(names) == 2 else "ordinal"
        todo = f"{DURATION} If these are classes, say {request.name}:{kind}."
        raise TableError(asked, f"It holds lengths of time, such as {shown}.", todo)
    if len(names) <= 2:
        return "binary"
    if are_numbers(table.text, names):
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
        if len({(value, target.causes.get(row, "")) for row, value in given.items()}) == 1:
            values[patient] = next(iter(given.values()))
            continue
        issues.append(
            Issue(
                "error",
                "Rows of one patient disagree",
                f"{table.where(' and '.join(target.columns), *given)}, patient {patient!r}",
                f"The values are {list_names(_show(v, target.causes.get(r, '')) for r, v in given.items())}.",
                "A target belongs to the patient: give the same value in all rows, or in only one. Of labels "
                "of single pictures docs/how-to/fields-and-cores.md says what can be done.",
            )
        )
    return values, issues


def _show(value: Value, cause: str) -> str:
    if isinstance(value, tuple):
        return f"(time {value[0]:g}, event {value[1]:g}{', cause ' + cause if cause else ''})"
    return str(value)


def patient_causes(table: LabelTable, target: RowTarget) -> dict[str, str]:
    """The cause of each patient's event, where an event of interest was named."""
    timed = {row: cause for row, cause in target.causes.items() if row in target.values}
    return {str(table.patients[row]): cause for row, cause in timed.items() if table.patients[row]}


def make_task(
    table: LabelTable, target: RowTarget, values: Mapping[str, Value], *, sure: bool = True
) -> tuple[Task, dict[str, float | tuple[float, float]]]:
    """The Task with its classes, and per patient the class index, number or (time, event).

    Args:
        table: For messages.
        target: The target.
        values: Per patient, only of those who are used: classes that none of them has do not count.
        sure: Refuse an ordinal target whose order is not certain.

    Raises:
        TableError: A binary target with more than two classes, two classes that are one but for capitals, or
            classes whose order is not certain, or not the one that was given.
    """
    name, kind = target.request.name, target.kind
    if kind in ("regression", "survival"):
        numbers = {patient: value for patient, value in values.items() if not isinstance(value, str)}
        return Task(name, kind, target.columns), numbers
    names = {str(value) for value in values.values()}
    refuse_two_spellings(table, name, target.columns, names)
    classes = ordered_classes(table, target.request, kind, target.columns, names, sure=sure)
    if kind == "binary" and len(classes) > 2:
        raise TableError(
            f"Use the target {name!r} as binary ({table.where(' and '.join(target.columns))}).",
            f"It has {len(classes)} classes: {list_names(classes)}.",
            f"Say {name}:multiclass or {name}:ordinal, or correct the table.",
        )
    index = {word: float(position) for position, word in enumerate(classes)}
    return Task(name, kind, target.columns, classes), {p: index[str(v)] for p, v in values.items()}
