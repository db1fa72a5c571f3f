"""What is to be predicted: one Task a target, at tile level and at slide level alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal, TypedDict, get_args

from pydantic import AfterValidator, PlainSerializer

from histonic.core.documents import parse_part
from histonic.core.errors import SettingsError

TaskKind = Literal["binary", "multiclass", "ordinal", "regression", "survival"]
EventCodes = Literal["event", "censored", "1/2"]
"""What the codes of event columns mean: 1 is the event, 1 is the censored, or R's 1 censored and 2 event."""


class EventMeaning(TypedDict):
    """Keywords that say what event columns hold, from the settings to the reading of their cells."""

    event_coding: EventCodes
    event_of_interest: Sequence[str]


MOST_NAME_BYTES = 160
"""Of a target's name: with what stands around it, it names a file."""
MOST_TARGETS = 1000
"""Of one command."""
TASK_KINDS: tuple[TaskKind, ...] = get_args(TaskKind)


@dataclass(frozen=True)
class Task:
    """One target.

    Attributes:
        name: The target's name in results.
        kind: One of :data:`TASK_KINDS`.
        columns: Label columns: one, or (time, event) for survival.
        classes: Class names in order, lowest first for ordinal; empty for regression and survival.
            In binary tasks the second class is the positive one.
        intervals: Of time, whose hazards a survival head gives; 0 for one log risk (Cox).
        primary: Name of the metric that leads; empty for the default of the kind.

    Target arrays, which losses and metrics share: class index ``(N,)`` for binary, multiclass and
    ordinal; value ``(N,)`` for regression; ``(N, 2)`` of time and event (1 = event, 0 = censored)
    for survival. A missing target is NaN.

    Example:
        >>> Task("grade", "ordinal", ("grade",), ("1", "2", "3")).outputs
        2
    """

    name: str
    kind: TaskKind
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()
    intervals: int = 0
    primary: str = ""

    def __post_init__(self) -> None:
        if self.kind not in TASK_KINDS:
            raise SettingsError(
                f"Use target {self.name!r} as {self.kind!r}.",
                "That is not a kind of target.",
                f"Use one of {', '.join(TASK_KINDS)}.",
            )

    @property
    def outputs(self) -> int:
        """Numbers that a head gives for this task.

        binary 1 (logit of the second class), multiclass one logit a class, ordinal one logit a
        threshold (classes - 1), regression 1 (value), survival 1 (log risk; higher = earlier event) or
        one logit of the hazard an interval.
        """
        if self.kind == "multiclass":
            return len(self.classes)
        if self.kind == "ordinal":
            return len(self.classes) - 1
        return max(1, self.intervals)

    @property
    def is_classification(self) -> bool:
        """Whether the target is one of several classes, ordered or not."""
        return self.kind in ("binary", "multiclass", "ordinal")

    @property
    def class_values(self) -> tuple[float, ...]:
        """What a class counts in a score: its own number if all classes are rising numbers, else its place.

        Example:
            >>> Task("isup", "ordinal", ("isup",), ("1", "2", "5")).class_values
            (1.0, 2.0, 5.0)
            >>> Task("grade", "ordinal", ("grade",), ("low", "high")).class_values
            (0.0, 1.0)
        """
        places = tuple(float(place) for place in range(len(self.classes)))
        if not all(re.fullmatch(r"[+-]?\d+(\.\d+)?", name) for name in self.classes):
            return places
        numbers = tuple(float(name) for name in self.classes)
        return numbers if all(low < high for low, high in pairwise(numbers)) else places

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "columns": list(self.columns),
            "classes": list(self.classes),
        }
        if self.intervals:
            values["intervals"] = self.intervals
        return {**values, "primary": self.primary} if self.primary else values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Task:
        """The inverse of :meth:`to_dict`.

        Raises:
            SettingsError: The values are damaged; the field is named.
        """
        return parse_part(cls, values, "a target", SettingsError, "Make the file that holds it anew.")


def _have_classes(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    for task in tasks:
        if task.is_classification and len(task.classes) < 2:
            raise ValueError(f"{task.name!r} has {len(task.classes)} classes")
    return tasks


Tasks = Annotated[
    tuple[Task, ...],
    AfterValidator(_have_classes),
    PlainSerializer(lambda tasks: [task.to_dict() for task in tasks]),
]
"""Targets of a training, as a document has them."""


@dataclass(frozen=True)
class EventCoding:
    """What a survival target's columns hold, for whoever reads the same target in another table.

    Attributes:
        codes: What the codes of the event column mean.
        unit: Of time, as the column's name tells it; empty if it tells none.
        of_interest: The code or word that is the event, where others are competing causes; empty otherwise.
    """

    codes: EventCodes = "event"
    unit: str = ""
    of_interest: str = ""


@dataclass(frozen=True)
class Coding:
    """How a target's labels were taken.

    Attributes:
        text: In one line: order of the classes, positive class, coding of the event, unit of time.
        doubt: What was taken so although nothing says it, and how to say it; empty if there is none.
        event: Of a survival target; None of others, and in files of earlier versions.
    """

    text: str
    doubt: str = ""
    event: EventCoding | None = None


@dataclass(frozen=True)
class TargetRequest:
    """What the user asked for; the table fills in the rest.

    Attributes:
        name: The target's name in results.
        kind: None is inferred from the values.
        columns: One, or (time, event); empty: by the name.
        order: Of an ordinal target the classes, lowest first; empty if they are to say it themselves.
        positive: Of a binary target the positive class; empty likewise.
    """

    name: str
    kind: TaskKind | None = None
    columns: tuple[str, ...] = field(default=())
    order: tuple[str, ...] = ()
    positive: str = ""


_TODO = (
    "Write NAME, NAME:KIND or NAME:KIND:COLUMN (survival: NAME:survival:TIME_COLUMN,EVENT_COLUMN; "
    "NAME:ordinal:COLUMN:LOW<MID<HIGH; NAME:binary:COLUMN:positive=CLASS)."
)


def column_target(column: str, kind: str = "") -> str:
    """How a column is asked for; one with a colon or slash in its name needs another name for its target.

    Returns:
        The text of the target; empty if none would be read as this column, which has to be renamed.

    Example:
        >>> column_target("grade"), column_target("grade", "ordinal"), column_target("Grade: WHO")
        ('grade', 'grade:ordinal', 'Grade_ WHO::Grade: WHO')
        >>> column_target("PD-L1: <1%"), column_target("PD-L1: <1%", "regression")
        ('', 'PD-L1_ _1%:regression:PD-L1: <1%')
    """
    name = re.sub(r"[:/\\<]+", "_", column).strip()
    text = f"{name}:{kind}:{column}" if name != column else f"{name}:{kind}" if kind else name
    try:
        found = parse_target(text)
    except SettingsError:
        return ""
    # A < after the colon would be read as an order, positive= as a class, a comma as two columns.
    is_meant = (found.columns or (found.name,)) == (column,) and (found.kind or "") == kind
    return text if is_meant and not found.order and not found.positive else ""


def parse_target(text: str) -> TargetRequest:
    """Read ``NAME[:KIND[:COLUMNS[:CLASSES]]]``.

    Args:
        text: Such as ``grade``, ``grade:ordinal``, ``score:regression:ki67_percent`` or
            ``os:survival:os_months,os_event``. The last part is ``low<mid<high`` of an ordinal target (with
            blanks, ``<1% < 1-49% < >=50%``, where classes hold ``<`` themselves) or ``positive=CLASS`` of a
            binary one; the column may be left empty: ``msi:binary::positive=MSI-H``.

    Raises:
        SettingsError: The kind is unknown, or the number of columns or the last part does not fit it.

    Example:
        >>> parse_target("os:survival:months,dead").columns
        ('months', 'dead')
        >>> parse_target("grade:ordinal:who:low<mid<high").order, parse_target("msi:::positive=MSI-H").kind
        (('low', 'mid', 'high'), 'binary')
    """
    name, _, rest = text.partition(":")
    kind, _, rest = rest.partition(":")
    asked = f"Read the target {text if len(text) <= 120 else text[:120] + '...'!r}."
    if not name.strip():
        raise SettingsError(asked, "The name is empty.", _TODO)
    size = len(name.strip().encode("utf-8", "replace"))
    if size > MOST_NAME_BYTES:
        found = f"The name has {size} bytes; it names files, which hold {MOST_NAME_BYTES}."
        raise SettingsError(asked, found, "Choose a shorter name: NAME:KIND:COLUMN.")
    if not name.isprintable():
        raise SettingsError(asked, "The name holds a character that cannot be printed.", _TODO)
    if kind and kind not in TASK_KINDS:
        raise SettingsError(
            asked,
            f"The kind {kind!r} is not one of {', '.join(TASK_KINDS)}.",
            f"{_TODO} A column with a colon in its name: NAME::COLUMN, or rename it.",
        )
    columns_text, order, positive = _split_classes(asked, kind, rest)
    columns = tuple(part.strip() for part in columns_text.split(",") if part.strip())
    inferred: TaskKind | None = "ordinal" if order else "binary" if positive else None
    wanted = 2 if kind == "survival" else 1
    if kind == "survival" and len(columns) == 3:
        raise SettingsError(
            asked,
            "Three columns are named. A time of entry (left truncation) is not supported: every patient "
            "counts as followed from time 0.",
            "Give a time that begins at entry (exit minus entry) and the event: "
            f"{name.strip()}:survival:TIME_SINCE_ENTRY,{columns[2]}. If nobody could be missed before entry: "
            f"{name.strip()}:survival:{columns[1]},{columns[2]} with --columns entry=none.",
        )
    if columns and len(columns) != wanted:
        raise SettingsError(asked, f"{len(columns)} column(s) are named, {wanted} needed.", _TODO)
    return TargetRequest(name.strip(), kind or inferred, columns, order, positive)


def _split_classes(asked: str, kind: str, rest: str) -> tuple[str, tuple[str, ...], str]:
    """Columns, order and positive class of what follows the kind."""
    named = re.search(r"(?:^|:)\s*positive\s*=", rest)
    if named:
        positive = rest[named.end() :].strip()
        if kind not in ("", "binary"):
            todo = "Write NAME:ordinal:COLUMN:LOW<MID<HIGH for an order; other kinds have no positive class."
            raise SettingsError(asked, f"A target of kind {kind!r} has no positive class.", todo)
        if not positive:
            raise SettingsError(
                asked, "No class follows positive=.", "Write NAME:binary:COLUMN:positive=CLASS."
            )
        return rest[: named.start()], (), positive
    columns, _, classes = rest.partition(":")
    if kind not in ("", "ordinal") or "<" not in classes:
        return rest, (), ""
    order = split_order(classes)
    doubled = sorted({each for each in order if each and order.count(each) > 1})
    if doubled:
        todo = "Name every class once, lowest first: NAME:ordinal:COLUMN:LOW<MID<HIGH."
        raise SettingsError(asked, f"The class {doubled[0]!r} stands twice in the order.", todo)
    return columns, order, ""


def split_order(text: str) -> tuple[str, ...]:
    """Classes of ``low<mid<high``; with blanks around a ``<`` only those divide.

    Example:
        >>> split_order("low<mid<high"), split_order("<1% < 1-49% < >=50%")
        (('low', 'mid', 'high'), ('<1%', '1-49%', '>=50%'))
    """
    divider = r"\s+<\s+" if re.search(r"\s<\s", text) else "<"
    return tuple(part.strip() for part in re.split(divider, text))


def join_order(classes: Sequence[str]) -> str:
    """The inverse of :func:`split_order`."""
    return (" < " if any("<" in name for name in classes) else "<").join(classes)
