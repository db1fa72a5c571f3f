"""The doctor of a study: slides that have no map yet, and the label table, before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from histonic.core.errors import TableError
from histonic.core.files import hash_of, write_text
from histonic.core.progress import Progress
from histonic.core.settings import make_settings
from histonic.data.maps.failures import Failure
from histonic.data.tables.settings import TableSettings
from histonic.data.tables.slide_lists import SlideRow
from histonic.stages.compress.reading import without_path
from histonic.stages.doctor.doctor import examine_slides, examine_table
from histonic.stages.doctor.result import DoctorLine
from histonic.stages.doctor.settings import DoctorSettings
from histonic.stages.study.file.fields import field_words
from histonic.stages.study.steps.inputs import hashed, plain, tables_hash
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
        maps: What the store holds of all slides of the study.
        reasons: Why it has to look, though it did before.
        record: Of what it saw before.
    """

    settings: DoctorSettings
    made_of: MadeOf
    slides: tuple[SlideRow, ...]
    maps: MapsFound
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
    # What a reference picture came to, not where it lies.
    settings = settings.model_copy(update={"stain": maps.settings.stain})
    record = read_record(folder, step.name)
    record = record if record is not None and record.is_finished else None
    settings_now = plain(settings)
    # Slides that were seen for another encoder or resolution are not seen for this one.
    is_same = record is not None and _of_slides(record.settings) == _of_slides(settings_now)
    damaged = [] if record is None else record.damaged(folder)
    seen = record.inputs if record is not None and is_same and not damaged else {}
    waiting = {_key(row): _state(row) for row in maps.waiting}
    inputs = {"labels": tables_hash(settings), **waiting}
    slides = tuple(row for row in maps.waiting if seen.get(_key(row)) != waiting[_key(row)])
    reasons = []
    if record is not None:
        known = {key: value for key, value in record.inputs.items() if key == "labels"}
        before = StepRecord(settings=record.settings, inputs=known, versions={})
        reasons = before.changes(MadeOf(settings_now, {"labels": inputs["labels"]}))
        reasons += [f"{len(slides)} slides were not looked at"] if slides else []
        reasons += damaged
    made_of = MadeOf(settings_now, {**seen, **inputs})
    return ToExamine(settings, made_of, slides, maps, tuple(reasons), record)


def examine_study(folder: Path, step: Step, found: ToExamine, progress: Progress) -> list[DoctorLine]:
    """Examine slides and labels, say what is wrong, and keep it in ``doctor.txt``.

    That file has the lines of all slides of the study: of those that are not examined now it keeps what was
    said of them. Of a compression without paths it names none.

    Args:
        folder: Of the study.
        step: The doctor's.
        found: What is to be examined.
        progress: Is told of every warning and error.

    Returns:
        A line a slide that was examined and a problem.

    Raises:
        TableError: The label table has errors; training would end with them after hours.
        EncoderError: The encoder cannot be loaded.
        OutputError: The folder cannot be written to.
    """
    progress.stage("doctor", len(found.slides))
    lines = examine_slides(found.slides, found.settings, progress) if found.slides else []
    table = examine_table(found.settings, [row.slide_id for row in found.maps.rows])
    if found.maps.settings.private:
        lines = [_without_path(line, found) for line in lines]
        table = [_without_table(line, found.settings) for line in table]
    table = [_with_fields(line) for line in table]
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
    of_slides = _of_all_slides(folder / FILE, found, lines)
    write_text(folder / FILE, "\n".join([*of_slides, *(line.line() for line in table)]) + "\n")
    record = StepRecord.begun(found.made_of).model_copy(
        update={"outputs": {FILE: hash_of(folder / FILE)}, "is_finished": True}
    )
    keep_record(folder, step.name, record)
    return [*lines, *table]


def _place(row: SlideRow, found: ToExamine) -> str:
    """What a slide is called in the lines of the doctor."""
    return row.slide_id if found.maps.settings.private else str(row.path)


def _of_all_slides(path: Path, found: ToExamine, lines: Sequence[DoctorLine]) -> list[str]:
    """Lines of all slides in the order of the study's list, those of before from the file."""
    places = {row.slide_id: _place(row, found) for row in found.maps.rows}
    now = {_place(row, found) for row in found.slides}
    said: dict[str, list[str]] = {place: [] for place in places.values()}
    is_kept = found.record is not None and not found.record.damaged(path.parent)
    for text in path.read_text(encoding="utf-8").splitlines() if is_kept else ():
        place = _begins_with(text[len(f"{'':<8} ") :], said)
        if place is not None and place not in now:
            said[place].append(text)
    for line in lines:
        said.setdefault(line.where, []).append(line.line())
    unseen = "has its map, and was not examined"
    return [text for place in said for text in said[place] or [DoctorLine("ok", place, unseen).line()]]


def _begins_with(text: str, places: Collection[str]) -> str | None:
    """The place that a line tells of; paths may hold what parts them from the rest."""
    end = text.find("  ")
    while end >= 0 and text[:end] not in places:
        end = text.find("  ", end + 1)
    return text[:end] if end >= 0 else None


def _without_path(line: DoctorLine, found: ToExamine) -> DoctorLine:
    """A line in which a slide's name stands for its file."""
    row = next((row for row in found.slides if str(row.path) == line.where), None)
    if row is None:
        return line
    told = without_path(Failure(row.slide_id, line.where, "doctor", line.text), row, found.settings.masks)
    return DoctorLine(line.severity, told.slide_id, told.reason)


def _without_table(line: DoctorLine, settings: DoctorSettings) -> DoctorLine:
    """A line that does not name the file of the label table."""
    path = settings.labels
    where, text = line.where, line.text
    for name in (str(path), path.name) if isinstance(path, Path) else ():
        where, text = where.replace(name, "the label table"), text.replace(name, "the label table")
    return DoctorLine(line.severity, where, text)


def _with_fields(line: DoctorLine) -> DoctorLine:
    """A line whose options are said as fields of the study, too."""
    words = field_words(line.text)
    return replace(line, text=f"{line.text} In the study's file: {words}.") if words else line


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
        return hashed([str(row.path), "absent"])
    size_time = [] if found is None else [found.st_size, found.st_mtime_ns]
    return hashed([str(row.path), *size_time])  # no path, which a private study keeps out of its records
