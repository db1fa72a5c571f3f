"""The doctor of a study: slides that have no map yet, and the label table, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from histonic.core.errors import TableError
from histonic.core.files import hash_of, write_text
from histonic.core.progress import Progress
from histonic.core.settings import make_settings
from histonic.data.tables.settings import TableSettings
from histonic.data.tables.slide_lists import SlideRow
from histonic.stages.doctor.doctor import examine_slides, examine_table
from histonic.stages.doctor.result import DoctorLine
from histonic.stages.doctor.settings import DoctorSettings
from histonic.stages.study.steps.inputs import plain, tables_hash
from histonic.stages.study.steps.maps import MapsFound
from histonic.stages.study.steps.records import MadeOf, StepRecord, keep_record, read_record
from histonic.stages.study.steps.step import Step

FILE = "doctor.txt"


@dataclass(frozen=True)
class ToExamine:
    """What the doctor has not seen yet.

    Attributes:
        settings: Of the doctor.
        made_of: What it saw before, and sees now.
        slides: That it has not seen.
        reasons: Why it has to look, though it did before.
        record: Of what it saw before.
    """

    settings: DoctorSettings
    made_of: MadeOf
    slides: tuple[SlideRow, ...]
    reasons: tuple[str, ...]
    record: StepRecord | None

    @property
    def is_done(self) -> bool:
        """Whether there is nothing new to look at."""
        return self.record is not None and not self.reasons


def look_for_doctor(folder: Path, step: Step, maps: MapsFound) -> ToExamine:
    """What is to be examined; nothing is read but the label table.

    Args:
        folder: Of the study.
        step: The doctor's.
        maps: Of the store: slides with a whole map were examined by being compressed.

    Raises:
        SettingsError: A setting is wrong.
        TableError: The label table cannot be read at all.
    """
    settings: DoctorSettings = make_settings(DoctorSettings, step.settings, "the settings of the doctor")
    record = read_record(folder, step.name)
    record = record if record is not None and record.is_finished else None
    settings_now = plain(settings)
    # Slides that were seen for another encoder or resolution are not seen for this one.
    is_same = record is not None and _of_slides(record.settings) == _of_slides(settings_now)
    seen = record.inputs if record is not None and is_same else {}
    waiting = {_key(row): _state(row) for row in maps.waiting}
    inputs = {"labels": tables_hash(settings), **waiting}
    slides = tuple(row for row in maps.waiting if seen.get(_key(row)) != waiting[_key(row)])
    reasons = []
    if record is not None:
        known = {key: value for key, value in record.inputs.items() if key == "labels"}
        before = StepRecord(settings=record.settings, inputs=known, versions={})
        reasons = before.changes(MadeOf(settings_now, {"labels": inputs["labels"]}))
        reasons += [f"{len(slides)} slides were not looked at"] if slides else []
        reasons += record.damaged(folder)
    return ToExamine(settings, MadeOf(settings_now, {**seen, **inputs}), slides, tuple(reasons), record)


def examine_study(
    folder: Path, step: Step, found: ToExamine, slide_ids: Sequence[str], progress: Progress
) -> list[DoctorLine]:
    """Examine slides and labels, say what is wrong, and keep it in ``doctor.txt``.

    Args:
        folder: Of the study.
        step: The doctor's.
        found: What is to be examined.
        slide_ids: Of all slides of the study.
        progress: Is told of every warning and error.

    Returns:
        A line a slide and a problem.

    Raises:
        TableError: The label table has errors; training would end with them after hours.
        EncoderError: The encoder cannot be loaded.
        OutputError: The folder cannot be written to.
    """
    progress.stage("doctor", len(found.slides))
    lines = examine_slides(found.slides, found.settings, progress) if found.slides else []
    table = examine_table(found.settings, list(slide_ids))
    for line in (*lines, *table):
        if line.severity != "ok":
            progress.say(line.line())
    errors = [line for line in table if line.severity == "error"]
    if errors:
        more = f" ({len(errors)} errors in all, see the lines above)" if len(errors) > 1 else ""
        raise TableError(
            f"Train on the labels of {found.settings.labels}.",
            f"{errors[0].where}: {errors[0].text}{more}",
            "Correct the table or the settings under 'train', and give the same command again.",
        )
    write_text(folder / FILE, "".join(f"{line.line()}\n" for line in (*lines, *table)))
    record = StepRecord.begun(found.made_of).model_copy(
        update={"outputs": {FILE: hash_of(folder / FILE)}, "is_finished": True}
    )
    keep_record(folder, step.name, record)
    return [*lines, *table]


def _of_slides(settings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Those settings on which what is said of a slide depends: all but the label table's."""
    of_labels = {*TableSettings.model_fields, "target"}
    return {key: value for key, value in settings.items() if key not in of_labels}


def _key(row: SlideRow) -> str:
    return f"slide {row.slide_id}"


def _state(row: SlideRow) -> str:
    """What tells without reading a slide whether it is another one: its place, size and time."""
    try:
        found = row.path.stat() if isinstance(row.path, Path) else None
    except OSError:
        return f"{row.path} absent"
    return str(row.path) if found is None else f"{row.path} {found.st_size} {found.st_mtime_ns}"
