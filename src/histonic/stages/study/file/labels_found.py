"""What a label table could be asked for: its patients, their slides, and columns that can be targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histonic.core.errors import HistonicError, TableError
from histonic.core.task import EventMeaning, TargetRequest, Task, TaskKind, column_target, parse_target
from histonic.data.tables.files import read_table
from histonic.data.tables.formats.excel import read_workbook
from histonic.data.tables.issues import list_names
from histonic.data.tables.joins import fitting_column, join_slides, table_patients
from histonic.data.tables.label_table import LabelTable, collect_labels
from histonic.data.tables.styles import columns_line, names_patients
from histonic.data.tables.values import is_date
from histonic.data.targets.cells import given_cells
from histonic.data.targets.checks import one_outcome
from histonic.data.targets.coding import target_coding
from histonic.data.targets.survival_columns import EVENT_ENDINGS, TIME_ENDINGS, survival_pair
from histonic.data.targets.targets import join_patients, make_task, read_target
from histonic.stages.study.file.settings import InitStudySettings

MOST_CANDIDATES = 25
"""Columns that are told as possible targets."""
MOST_CLASSES = 20
KNOWN = frozenset(
    {"age", "sex", "gender", "is_female", "is_male", "bmi", "race", "ethnicity", "year", "train"}
)
"""Columns that describe a patient, and are seldom what is asked for."""


@dataclass(frozen=True)
class Candidate:
    """A column, or two, that could be a target.

    Attributes:
        text: As under ``target``.
        words: What it holds.
        smallest: Patients of its smallest class; None of numbers and survival.
        doubt: What has to be said before it can be used; empty if nothing has.
    """

    text: str
    words: str
    smallest: int | None = None
    doubt: str = ""


@dataclass(frozen=True)
class LabelsFound:
    """A label table that can be read.

    Attributes:
        path: The file.
        reading: Settings of the table that were given or found: sheet, columns.
        notes: Why those were chosen, and what stands out, a sentence each.
        patients: How many it names, and how many of them have a slide.
        targets: Those that were asked for.
        candidates: Others that it could be asked for.
        sites: Patients by site.
        has_split: Whether it says who trains and who tests.
    """

    path: Path
    reading: Mapping[str, Any]
    notes: tuple[str, ...]
    patients: tuple[int, int]
    targets: tuple[Candidate, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    sites: Mapping[str, int] = field(default_factory=dict)
    has_split: bool = False


def find_labels(settings: InitStudySettings, path: Path, slide_ids: Sequence[str]) -> LabelsFound:
    """Read a label table as far as it can be told how, and see what it could be asked for.

    Args:
        settings: What was said of the table.
        path: The file.
        slide_ids: Names of the slides; empty if they are not known.

    Raises:
        TableError: The table cannot be read, or nothing in it names patients.
        SettingsError: A target that was asked for cannot be read.
    """
    reading, notes = _how_to_read(settings, path)
    table, issues = _collect(settings, path, reading)
    reading, more = _with_slides(settings, path, reading, table, slide_ids)
    if more:
        notes += more
        table, issues = _collect(settings, path, reading)
    errors = [issue for issue in issues if issue.severity == "error"]
    notes += [f"{issue.what}: {issue.where}. {issue.found} {issue.todo}" for issue in errors[:5]]
    used, patients = table_patients(table), table_patients(table)
    if slide_ids:
        join = join_slides(table, slide_ids)
        used = [patient for patient, slides in join.slides.items() if slides]
        if join.unlabelled:
            notes.append(f"{len(join.unlabelled)} slides have no row: {list_names(join.unlabelled)}.")
    meant: EventMeaning = settings.meaning()
    asked = tuple(_candidate(table, parse_target(text), used, meant, text) for text in settings.target)
    others = () if asked else tuple(_candidates(table, used, meant))
    sites: dict[str, set[str]] = {}
    for patient, site in zip(table.patients, table.sites, strict=True):
        if site and patient in used:
            sites.setdefault(site, set()).add(patient)
    return LabelsFound(
        path,
        reading,
        tuple(notes),
        (len(patients), len(used)),
        tuple(each for each in asked if each is not None),
        others,
        {site: len(names) for site, names in sorted(sites.items())},
        any(each is not None for each in (table.folds, table.roles, table.turns)),
    )


def _collect(
    settings: InitStudySettings, path: Path, reading: Mapping[str, Any]
) -> tuple[LabelTable, list[Any]]:
    given = {**settings.reading(), "columns": dict(reading.get("columns", {}))}
    sheets = reading.get("sheet")
    if sheets:
        given["sheet"] = sheets[0]
    return collect_labels(path, **given)


def _how_to_read(settings: InitStudySettings, path: Path) -> tuple[dict[str, Any], list[str]]:
    """The sheet, and the column of the patients, where nothing says them and only one can be meant."""
    reading: dict[str, Any] = {"sheet": list(settings.sheet), "columns": dict(settings.columns)}
    try:
        _collect(settings, path, reading)
        return reading, []
    except TableError as error:
        first = error
    sheets = [""] if settings.sheet else ["", *_sheets(path)]
    for sheet in sheets:
        tried = {**reading, **({"sheet": [sheet]} if sheet else {})}
        told = [f"The sheet {sheet!r} names patients, which the first one does not."] if sheet else []
        try:
            _collect(settings, path, tried)
            return tried, told
        except TableError:
            pass
        if "patient_id" in settings.columns:
            continue
        try:
            columns = read_table(path, sheet=sheet or settings.label_sheet).columns
        except TableError:
            continue
        likely = _named(columns_line("patient_id", columns))["patient_id"]
        if not names_patients(likely):
            continue
        tried = {**tried, "columns": {**settings.columns, "patient_id": likely}}
        try:
            _collect(settings, path, tried)
        except TableError:
            continue
        return tried, [*told, f"The column {likely!r} is taken for the patients because of its name."]
    raise first


def _sheets(path: Path) -> list[str]:
    """The other sheets of a workbook; none of another file."""
    if path.suffix.lower() not in (".xlsx", ".xlsm"):
        return []
    return list(read_workbook(path, None)[2])


def _with_slides(
    settings: InitStudySettings,
    path: Path,
    reading: dict[str, Any],
    table: LabelTable,
    slide_ids: Sequence[str],
) -> tuple[dict[str, Any], list[str]]:
    """The column of the slides' names, where without it no slide would find its patient."""
    if not slide_ids or any(join_slides(table, slide_ids).slides.values()):
        return reading, []
    found = _named(fitting_column(table, slide_ids))
    nothing = "No slide fits a patient: name the column that holds the slides' names (columns: slide_id)."
    if not found:
        return reading, [nothing]
    tried = {**reading, "columns": {**reading["columns"], **found}}
    try:
        joined = join_slides(_collect(settings, path, tried)[0], slide_ids)
    except TableError:
        return reading, [nothing]
    if not any(joined.slides.values()):
        return reading, [nothing]
    column = found.get("slide_id", found.get("patient_id", ""))
    return tried, [f"The column {column!r} fits the names of the slides."]


def _named(line: str) -> dict[str, str]:
    """``--columns a=b`` as a mapping."""
    words = [word for word in shlex.split(line) if "=" in word]
    return dict(word.split("=", 1) for word in words)


def _candidates(table: LabelTable, used: Sequence[str], meant: EventMeaning) -> list[Candidate]:
    """Columns that could be a target: survival first, then in the order of the table."""
    pairs = _pairs(table)
    taken = {column for request in pairs for part in request.columns for column in part.split("+")}
    found = [
        _candidate(table, each, used, meant, f"{each.name}:survival:{','.join(each.columns)}")
        for each in pairs
    ]
    for column in table.label_columns:
        if column in taken or len(found) >= MOST_CANDIDATES:
            continue
        found.append(_of_column(table, column, used, meant))
    return [each for each in found if each is not None]


def _of_column(table: LabelTable, column: str, used: Sequence[str], meant: EventMeaning) -> Candidate | None:
    cells = given_cells(table, column)
    if not cells or sum(map(is_date, cells.values())) > 0.5 * len(cells):
        return None
    doubtful: Candidate | None = None
    kinds: tuple[TaskKind | None, ...] = (None, "ordinal", "regression")
    for kind in kinds:
        # Without a kind, few different numbers may be grades or amounts.
        text = column_target(column, kind or "")
        request = parse_target(text) if text else TargetRequest(column, kind, (column,))
        found = _candidate(table, request, used, meant, text or column)
        if found is not None and not text:
            found = Candidate(column, found.words, None, "Its name is read otherwise: rename the column.")
        if found is not None and not found.doubt:
            return found
        doubtful = doubtful or found
    return doubtful


def _pairs(table: LabelTable) -> list[TargetRequest]:
    """Time and event: by the name that both share, else the only two columns that sound like it."""
    columns = table.text.columns
    found: dict[tuple[str, str], TargetRequest] = {}
    stems = [re.sub(rf"_({'|'.join(EVENT_ENDINGS)})$", "", column, flags=re.I) for column in columns]
    for stem in dict.fromkeys(
        [*(s for s, c in zip(stems, columns, strict=True) if s != c), "os", "survival"]
    ):
        try:
            pair = survival_pair(table, TargetRequest(stem, "survival"))
        except TableError:
            continue
        if pair is not None and pair not in found:
            found[pair] = TargetRequest(stem, "survival", pair)
    if found:
        return list(found.values())
    times = [c for c in columns if re.search(rf"({'|'.join(TIME_ENDINGS)}|follow)", c, re.I)]
    events = [c for c in columns if re.search(rf"({'|'.join(EVENT_ENDINGS)}|vital)", c, re.I)]
    times = [each for each in times if each in table.label_columns and each not in events]
    if times and events:
        first = min(times, key=len), min(events, key=len)
        return [TargetRequest("survival", "survival", first)]
    return []


def _candidate(
    table: LabelTable, request: TargetRequest, used: Sequence[str], meant: EventMeaning, text: str
) -> Candidate | None:
    """A target as the table gives it; None where it holds nothing that could be learned."""
    try:
        target = read_target(table, request, **meant)
        values, issues = join_patients(table, target)
        issues = [*target.issues, *issues]
        task, numbers = make_task(table, target, {p: values[p] for p in used if p in values})
        issues += one_outcome(table, task, list(numbers.values()))
        wrong = [issue for issue in issues if issue.severity == "error"]
        if wrong:
            return Candidate(text, "", None, f"{wrong[0].what}: {wrong[0].found} {wrong[0].todo}")
        coding = target_coding(table, request, task, **meant).text
    except HistonicError as error:
        return Candidate(text, "", None, error.reason)
    return _told(text, task, numbers, coding, len(used))


def _told(
    text: str, task: Task, numbers: Mapping[str, float | tuple[float, float]], coding: str, patients: int
) -> Candidate | None:
    if task.is_classification:
        counts = {name: 0 for name in task.classes}
        for value in numbers.values():
            counts[task.classes[int(value)]] += 1  # type: ignore[arg-type]
        if len(counts) > min(MOST_CLASSES, max(2, patients // 3)):
            return None
        words = ", ".join(f"{name} {count}" for name, count in counts.items())
        return Candidate(
            text, f"{task.kind}, {len(numbers)} patients ({words}); {coding}", min(counts.values())
        )
    if task.kind == "survival":
        events = sum(value[1] == 1 for value in numbers.values() if isinstance(value, tuple))
        return Candidate(text, f"survival, {len(numbers)} patients, {events} events; {coding}")
    return Candidate(text, f"{task.kind}, {len(numbers)} patients; {coding}")
