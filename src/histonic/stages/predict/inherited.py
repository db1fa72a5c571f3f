"""What another cohort's follow-up inherits from the run: what event codes mean, and the unit of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from histonic.core.errors import SettingsError, TableError
from histonic.core.task import Coding, EventCodes, EventCoding, EventMeaning, TargetRequest, Task
from histonic.data.tables.label_table import LabelTable
from histonic.data.targets.causes import same_cause
from histonic.data.targets.coding import UNIT_DAYS, time_unit
from histonic.data.targets.event_names import name_meaning
from histonic.data.targets.events import has_codes, interest_of
from histonic.runs.documents import RunDocument, RunSettings

_WORDS = (
    "words such as dead and alive mean the same in either coding (--classes COLUMN:1=dead --classes "
    "COLUMN:0=alive)"
)


def own_event_codings(facts: RunDocument, settings: RunSettings) -> dict[str, EventCoding]:
    """How a run took its events, by survival target; runs of earlier versions keep it in their settings.

    Args:
        facts: ``run.json``.
        settings: ``settings.yaml``.
    """

    def coding(task: Task) -> EventCoding:
        kept = facts.codings.get(task.name, Coding("")).event
        interest = interest_of(task.name, settings.event_of_interest)
        return kept or EventCoding(settings.event_coding, time_unit(task.columns[0]), interest)

    return {task.name: coding(task) for task in facts.tasks if task.kind == "survival"}


def inherited_meaning(
    own: Mapping[str, EventCoding], codes: EventCodes | None, of_interest: Sequence[str]
) -> EventMeaning:
    """What the event columns of another cohort hold: the same as in the run.

    Args:
        own: From :func:`own_event_codings`.
        codes: What was asked for; None asks for nothing.
        of_interest: Likewise, ``CODE`` or ``TARGET=CODE``.

    Raises:
        SettingsError: Something else was asked for.

    Example:
        >>> inherited_meaning({"os": EventCoding("censored", "months")}, None, [])["event_coding"]
        'censored'
    """
    for name, coding in own.items():
        if codes is not None and codes != coding.codes:
            raise SettingsError(
                f"Test the target {name!r} with --event-coding {codes}.",
                f"The run was trained with --event-coding {coding.codes}, and its cohorts are read like it.",
                f"Leave it out. If the codes of its event column mean something else, {_WORDS}.",
            )
        event = interest_of(name, of_interest)
        if event and not same_cause(event, coding.of_interest):
            trained = (
                f"--event-of-interest {coding.of_interest}" if coding.of_interest else "no competing causes"
            )
            raise SettingsError(
                f"Test the target {name!r} with --event-of-interest {event}.",
                f"The run was trained with {trained}, and its networks know no other event.",
                "Leave it out; --classes COLUMN:WRITTEN=CODE says what the event is called in this table.",
            )
    return {
        "event_coding": next((coding.codes for coding in own.values()), codes or "event"),
        "event_of_interest": [f"{name}={each.of_interest}" for name, each in own.items() if each.of_interest],
    }


def require_same_follow_up(
    own: Mapping[str, EventCoding],
    tasks: Sequence[Task],
    requests: Sequence[TargetRequest],
    table: LabelTable,
) -> None:
    """Refuse columns that by their names hold another unit of time, or the inverse of the run's events.

    Args:
        own: From :func:`own_event_codings`.
        tasks: Of the run.
        requests: The other cohort's columns of them.
        table: Its labels.

    Raises:
        TableError: The names say so.
    """
    columns = {task.name: task.columns for task in tasks}
    for request in requests:
        coding = own.get(request.name)
        if coding is None or len(request.columns) != 2 or request.columns == columns[request.name]:
            continue
        (time, event), (own_time, own_event) = request.columns, columns[request.name]
        asked = f"Test the target {request.name!r} on {table.path.name}."
        unit = time_unit(time)
        if unit and coding.unit and unit != coding.unit:
            raise TableError(
                asked,
                f"Its times are in {unit}, by the name of {time!r}; those of the run are in {coding.unit}, "
                f"by the name of {own_time!r}.",
                f"Give a column of {coding.unit} (1 of the {coding.unit} is "
                f"{UNIT_DAYS[coding.unit] / UNIT_DAYS[unit]:.4g} {unit}): "
                f"--target {request.name}:survival:COLUMN,{event}.",
            )
        turned = coding.codes == "censored" and _is_inverse(own_event) and not _is_inverse(event)
        if turned and has_codes(table, event):
            raise TableError(
                asked,
                f"The run was trained with --event-coding censored on its column {own_event!r}; by its name, "
                f"{event!r} does not mark the censored, and its events would be turned upside down.",
                f"If 1 means censored there, call it {own_event!r}; else {_WORDS}.",
            )


def _is_inverse(column: str) -> bool:
    """Whether by its name 1 marks those without an event."""
    return name_meaning(column) in ("censored", "alive")
