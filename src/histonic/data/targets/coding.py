"""The order of a target's classes, its positive class, and in one line how its labels were taken."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from functools import cache

from histonic.core.errors import TableError
from histonic.core.task import (
    Coding,
    EventCodes,
    EventCoding,
    TargetRequest,
    Task,
    TaskKind,
    join_order,
)
from histonic.data.classes.orders import known_order, order_classes
from histonic.data.classes.positives import order_binary, positive_class
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import class_name, natural_key
from histonic.data.targets.cells import given_cells
from histonic.data.targets.classes import join_option, no_values
from histonic.data.targets.events import interest_of, read_events

WORDS_SHOWN = 4
"""Of those that mean an event, or none."""
UNIT_DAYS = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
_UNITS = {
    "days": "d|day|days|tage",
    "weeks": "wk|wks|week|weeks|wochen",
    "months": "m|mo|mos|mon|month|months|monate",
    "years": "y|yr|yrs|year|years|jahre",
}


def ordered_classes(
    table: LabelTable,
    request: TargetRequest,
    kind: TaskKind,
    columns: Sequence[str],
    names: Collection[str],
    *,
    sure: bool = True,
) -> tuple[str, ...]:
    """Classes as the task has them: lowest first, the positive one last.

    Args:
        table: For messages.
        request: With the order or the positive class, if they were given.
        kind: A kind of classes.
        columns: Of the target.
        names: The classes that patients have.
        sure: Refuse an ordinal target whose order is not certain.

    Raises:
        TableError: The order is not certain, or lacks a class; no class has the name of the positive one.
    """
    if kind == "multiclass":
        return tuple(sorted(names, key=natural_key))
    if kind == "binary":
        return _with_positive(table, request, columns, names) if request.positive else order_binary(names)
    if request.order:
        return _as_given(table, request, columns, names)
    known = known_order(names)
    if known is None and sure and len(names) > 1:
        guess = order_classes(names)
        odd = no_values(names)
        aside = f" If {list_names(odd)} means that nobody knows, add {join_option(odd, 'NA')}." if odd else ""
        raise TableError(
            f"Order the classes of the target {request.name!r} ({table.where(' and '.join(columns))}).",
            f"Nothing says for certain which of {list_names(guess)} is lower and which is higher.",
            f"Write them lowest first: --target {target_option(request.name, columns[0], order=guess)} "
            f"(this is the order of the alphabet: correct it), or say {request.name}:multiclass.{aside}",
        )
    return known.classes if known else order_classes(names)


def target_option(name: str, column: str, *, order: Sequence[str] = (), positive: str = "") -> str:
    """The text of a target with its order or positive class, quoted for a shell.

    Example:
        >>> target_option("pdl1", "tps", order=("<1%", ">=1%")), target_option("er", "er", positive="ER+")
        ("'pdl1:ordinal:tps:<1% < >=1%'", 'er:binary:er:positive=ER+')
    """
    last = f"binary:{column}:positive={positive}" if positive else f"ordinal:{column}:{join_order(order)}"
    return shlex.quote(f"{name}:{last}")


def _key(name: str) -> str:
    return re.sub(r"\s+", "", class_name(name)).casefold()


def _with_positive(
    table: LabelTable, request: TargetRequest, columns: Sequence[str], names: Collection[str]
) -> tuple[str, ...]:
    named = [name for name in names if _key(name) == _key(request.positive)]
    if len(names) == 2 and not named:
        raise TableError(
            f"Take {request.positive!r} for the positive class of the target {request.name!r} "
            f"({table.where(columns[0])}).",
            f"The patients' classes are {list_names(sorted(names))}.",
            f"Name one of them: --target "
            f"{target_option(request.name, columns[0], positive=order_binary(names)[1])}.",
        )
    if len(names) != 2:
        return order_classes(names)  # too many or too few, said elsewhere
    return next(name for name in names if name not in named), named[0]


def _as_given(
    table: LabelTable, request: TargetRequest, columns: Sequence[str], names: Collection[str]
) -> tuple[str, ...]:
    found = match_order(request.order, names)
    missing = [name for name in order_classes(names) if name not in found]
    if missing:
        whole = (*found, *missing)
        raise TableError(
            f"Order the classes of the target {request.name!r} as {join_order(request.order)} "
            f"({table.where(columns[0])}).",
            f"The patients' classes {list_names(missing)} are not in that order.",
            f"Name every class, lowest first: "
            f"--target {target_option(request.name, columns[0], order=whole)} (put them where they belong).",
        )
    return tuple(found)


def match_order(order: Sequence[str], names: Collection[str]) -> list[str]:
    """The names in the order given; parts that were torn at a ``<`` of a class are joined again.

    Names are compared without case and blanks; what is no name is passed over.

    Example:
        >>> match_order(("", "1%", "1-49%", ">=50%"), ["1-49%", "<1%", ">=50%"])
        ['<1%', '1-49%', '>=50%']
    """
    known = {_key(name): name for name in names}

    @cache
    def best(start: int) -> tuple[str, ...]:
        if start == len(order):
            return ()
        options = [best(start + 1)]
        for end in range(start + 1, min(len(order), start + 4) + 1):
            name = known.get(_key("<".join(order[start:end])))
            if name is not None:
                rest = best(end)
                options.append((name, *(each for each in rest if each != name)))
        return max(options, key=len)

    return list(best(0))


def positive_doubt(table: LabelTable, request: TargetRequest, task: Task) -> list[Issue]:
    """A warning if nothing says which class of a binary target is the positive one."""
    found = _doubt(request, task)
    if not found:
        return []
    where = f"{table.where(task.columns[0])}, target {task.name!r}"
    return [Issue("warning", "Positive class that nothing names", where, *found)]


def _doubt(request: TargetRequest, task: Task) -> tuple[str, str] | None:
    """What was taken, and what to say if it is not meant."""
    if task.kind != "binary" or len(task.classes) != 2 or request.positive:
        return None
    if positive_class(task.classes).certain:
        return None
    other, positive = task.classes
    turned = target_option(task.name, task.columns[0], positive=other)
    return (
        f"{positive!r} is taken for the positive class, {other!r} for the other.",
        f"If it is the other way round: --target {turned}. Nothing, if this is right.",
    )


def target_coding(
    table: LabelTable,
    request: TargetRequest,
    task: Task,
    *,
    event_coding: EventCodes = "event",
    event_of_interest: Sequence[str] = (),
) -> Coding:
    """How the labels of a target were taken, in one line.

    Args:
        table: The labels.
        request: With what was given.
        task: With its classes.
        event_coding: What the codes of event columns mean.
        event_of_interest: ``CODE`` or ``TARGET=CODE``.
    """
    if task.kind == "survival":
        interest = interest_of(task.name, event_of_interest)
        event = EventCoding(event_coding, time_unit(task.columns[0]), interest)
        return Coding(_survival_words(table, task, event_coding, interest), event=event)
    if task.kind == "regression":
        return Coding(f"a number, in the unit of the column {task.columns[0]!r}")
    if task.kind == "multiclass":
        return Coding(f"classes without an order: {list_names(task.classes)}")
    if task.kind == "ordinal":
        known = known_order(task.classes)
        why = "as given" if request.order else known.why if known else ""
        by = why if why in ("as given", "best response highest") or not why else f"by their {_by(why)}"
        return Coding(f"order, lowest first: {' < '.join(task.classes)}" + (f" ({by})" if by else ""))
    if not task.classes:
        return Coding("no class")
    if len(task.classes) < 2:
        return Coding(f"one class only: {list_names(task.classes)}")
    other, positive = task.classes
    given = " (as given)" if request.positive else ""
    return Coding(
        f"positive class: {positive}; the other: {other}{given}", " ".join(_doubt(request, task) or ())
    )


def _by(why: str) -> str:
    return why.removeprefix("their ")


def _survival_words(table: LabelTable, task: Task, event_coding: EventCodes, of_interest: str) -> str:
    time, event = task.columns
    words: dict[str, set[str]] = {"event": set(), "other": set(), "censored": set()}
    given = given_cells(table, event)
    found = read_events(table, task.name, event, event_coding, of_interest)
    for row, value in found.known.items():
        which = "event" if value == 1 else "other" if row in found.causes else "censored"
        words[which].add(class_name(given[row]))
    shown = {
        which: ", ".join(sorted(found, key=natural_key)[:WORDS_SHOWN]) or "none"
        for which, found in words.items()
    }
    unit = time_unit(time)
    others = f"competing causes: {shown['other']}; " if of_interest else ""
    return f"event: {shown['event']} in the column {event!r}; {others}censored: {shown['censored']}; " + (
        f"time in {unit}, by the name of {time!r}" if unit else f"time in the unit of {time!r}"
    )


def time_unit(column: str, *, short: bool = True) -> str:
    """The unit that a column's name tells; empty if it tells none, or several.

    Args:
        column: Its name.
        short: Whether one or two letters (``os_d``, ``os_mo``) tell it, too.

    Example:
        >>> time_unit("OS_MONTHS"), time_unit("days_to_death+days_to_last_follow_up"), time_unit("time")
        ('months', 'days', '')
    """
    words = set(re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower()))
    words = words if short else {word for word in words if len(word) > 2}
    found = [unit for unit, names in _UNITS.items() if words & set(names.split("|"))]
    return found[0] if len(found) == 1 else ""
