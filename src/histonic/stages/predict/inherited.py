"""What another cohort's follow-up inherits from the run: what event codes mean, and the unit of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from histonic.core.errors import SettingsError, TableError
from histonic.core.task import Coding, EventCodes, EventCoding, TargetRequest, Task
from histonic.data.targets.coding import time_unit
from histonic.data.targets.event_names import name_meaning
from histonic.runs.documents import RunDocument, RunSettings

DAYS = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
_WORDS = "Words such as dead and alive mean the same in either coding: write those"


def own_event_codings(facts: RunDocument, settings: RunSettings) -> dict[str, EventCoding]:
    """How a run took its events, by survival target; runs of earlier versions keep it in their settings.

    Args:
        facts: ``run.json``.
        settings: ``settings.yaml``.
    """

    def coding(task: Task) -> EventCoding:
        kept = facts.codings.get(task.name, Coding("")).event
        return kept or EventCoding(settings.event_coding, time_unit(task.columns[0]))

    return {task.name: coding(task) for task in facts.tasks if task.kind == "survival"}


def inherited_codes(own: Mapping[str, EventCoding], given: EventCodes | None) -> EventCodes:
    """What the event codes of another cohort mean: the same as in the run.

    Args:
        own: From :func:`own_event_codings`.
        given: What was asked for; None asks for nothing.

    Raises:
        SettingsError: Something else was asked for.

    Example:
        >>> inherited_codes({"os": EventCoding("censored", "months")}, None)
        'censored'
    """
    for name, coding in own.items():
        if given is not None and given != coding.codes:
            raise SettingsError(
                f"Test the target {name!r} with --event-coding {given}.",
                f"The run was trained with --event-coding {coding.codes}, and its cohorts are read like it.",
                f"Leave it out. If its codes mean something else: {_WORDS} in the event column.",
            )
    return next((coding.codes for coding in own.values()), given or "event")


def require_same_follow_up(
    own: Mapping[str, EventCoding], tasks: Sequence[Task], requests: Sequence[TargetRequest], path: Path
) -> None:
    """Refuse columns that by their names hold another unit of time, or the inverse of the run's events.

    Args:
        own: From :func:`own_event_codings`.
        tasks: Of the run.
        requests: The other cohort's columns of them.
        path: Its label table, for the message.

    Raises:
        TableError: The names say so.
    """
    columns = {task.name: task.columns for task in tasks}
    for request in requests:
        coding = own.get(request.name)
        if coding is None or len(request.columns) != 2 or request.columns == columns[request.name]:
            continue
        (time, event), (own_time, own_event) = request.columns, columns[request.name]
        asked = f"Test the target {request.name!r} on {path.name}."
        unit = time_unit(time)
        if unit and coding.unit and unit != coding.unit:
            raise TableError(
                asked,
                f"Its times are in {unit}, by the name of {time!r}; those of the run are in {coding.unit}, "
                f"by the name of {own_time!r}.",
                f"Give a column of {coding.unit} (1 of the {coding.unit} is "
                f"{DAYS[coding.unit] / DAYS[unit]:.4g} {unit}): "
                f"--target {request.name}:survival:COLUMN,{event}.",
            )
        if coding.codes == "censored" and _is_inverse(own_event) and not _is_inverse(event):
            raise TableError(
                asked,
                f"The run was trained with --event-coding censored on its column {own_event!r}; by its name, "
                f"{event!r} does not mark the censored, and its events would be turned upside down.",
                f"{_WORDS} in the column. If 1 means censored there, call it {own_event!r}.",
            )


def _is_inverse(column: str) -> bool:
    """Whether by its name 1 marks those without an event."""
    return name_meaning(column) in ("censored", "alive")
