"""Everything that is wrong with a label table, listed before any compute."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histonic.core.errors import CohortError, HistonicError, TableError
from histonic.core.places.frames import TablePlace
from histonic.core.task import Coding, EventCodes, EventMeaning, TargetRequest, Task, parse_target
from histonic.data.names import path_name
from histonic.data.tables.issues import Issue, gather, list_names
from histonic.data.tables.joins import (
    SlideJoin,
    fitting_column,
    given_roles,
    given_turns,
    join_slides,
    table_patients,
)
from histonic.data.tables.label_table import LabelTable, collect_labels
from histonic.data.tables.settings import Decimal
from histonic.data.targets.coding import positive_doubt, target_coding
from histonic.data.targets.doubts import value_doubts
from histonic.data.targets.event_names import is_censor_named
from histonic.data.targets.follow_up import follow_up_issues
from histonic.data.targets.survival_checks import coding_issues, number_issues, power_words
from histonic.data.targets.targets import (
    RowTarget,
    Value,
    join_patients,
    make_task,
    read_target,
    read_targets,
    unused_by_targets,
)
from histonic.data.text import without_zeros, writing_apart

Number = float | tuple[float, float]
"""Class index or value, or time and event."""


@dataclass(frozen=True)
class LabelCheck:
    """What a label table says, and what is wrong with it.

    Attributes:
        issues: Errors first, each kind once and in the order of the table.
        codings: How the labels of each usable target were taken, by its name.
        remarks: What the checks of a target cannot see, by its name.
        known: Each usable target with what is known of each patient: class, value, or time and event.
    """

    issues: list[Issue]
    codings: Mapping[str, Coding]
    remarks: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, tuple[Task, Mapping[str, Number]]] = field(default_factory=dict)


def check_labels(table_path: str | TablePlace, **options: Any) -> list[Issue]:
    """The issues of :func:`examine_labels`, which takes the same arguments."""
    return examine_labels(table_path, **options).issues


def examine_labels(
    table_path: str | TablePlace,
    *,
    targets: Sequence[str | TargetRequest] = (),
    style: str = "auto",
    columns: Mapping[str, str] | None = None,
    slide_table: str | TablePlace | None = None,
    event_coding: EventCodes = "event",
    event_of_interest: Sequence[str] = (),
    slide_ids: Sequence[str] | None = None,
    folds: int = 4,
    sheet: str | None = None,
    slide_sheet: str | None = None,
    classes: Mapping[str, str] | None = None,
    decimal: Decimal = "auto",
) -> LabelCheck:
    """List all problems of a label table, not only the first.

    Errors are what would stop training: an unreadable table, absent or doubled columns, missing patients,
    a slide of two patients, a patient in two folds, rows that disagree, times that are no numbers or
    negative, unclear event coding, one class only, no events, fewer patients than folds. Warnings are what
    training would leave out or find hard: slides without a label, labels without a slide, missing
    targets, doubled rows, times of zero, classes or events with fewer patients than folds, events that look
    like the censored, and follow-up times taken for numbers.

    Args:
        table_path: CSV, TSV, Excel or Parquet, or a DataFrame.
        targets: Targets to check, as requests or as text; none checks identifiers, slides and folds, and
            points at columns that mark the censored.
        style: Table style, as for :func:`histonic.data.tables.label_table.read_labels`.
        columns: Own column names.
        slide_table: Second table that names the slides.
        event_coding: What the codes of event columns mean.
        event_of_interest: ``CODE`` or ``TARGET=CODE``: the event, where others are competing causes.
        slide_ids: Names of the slides or maps; None leaves the join unchecked.
        folds: Parts of the cross-validation that is planned.
        sheet: Of the label table, if it is an Excel file.
        slide_sheet: Of the slide table.
        classes: Spellings of one class joined.
        decimal: ``point`` or ``comma`` where the numbers do not show it.

    Raises:
        SettingsError: A target's text cannot be read, or the style is unknown.
    """
    requests = [parse_target(target) if isinstance(target, str) else target for target in targets]
    try:
        table, issues = collect_labels(
            table_path,
            style=style,
            columns=columns,
            slide_table=slide_table,
            sheet=sheet,
            slide_sheet=slide_sheet,
            classes=classes,
            decimal=decimal,
        )
    except TableError as error:
        return LabelCheck([_as_issue("Unusable table", Path(str(table_path)).name, error)], {})
    issues += [Issue("warning", "Passed over", table.text.name, note, "Check it.") for note in table.notes]
    issues += _doubled_rows(table)
    join = None if slide_ids is None else join_slides(table, slide_ids)
    if join is not None:
        issues += _join_issues(table, join, slide_ids or ())
    used = _patients_with_maps(table, join)
    issues += [*alike_patients(table, used), *_patient_count(table, used, folds)]
    meant: EventMeaning = {"event_coding": event_coding, "event_of_interest": event_of_interest}
    if not requests:
        issues += _censor_columns(table, event_coding)
    if len(requests) > 1 or event_of_interest:
        issues += _targets_together(table, requests, meant)
    codings: dict[str, Coding] = {}
    remarks: dict[str, str] = {}
    known: dict[str, tuple[Task, Mapping[str, Number]]] = {}
    for request in requests:
        issues += _target_issues(table, request, meant, used, folds, codings, remarks, known)
    if requests and table.classes:
        issues += _unused_spellings(table, requests, meant)
    ordered = sorted(gather(issues), key=lambda issue: issue.severity != "error")
    return LabelCheck(ordered, codings, remarks, known)


def _unused_spellings(
    table: LabelTable, requests: Sequence[TargetRequest], meant: EventMeaning
) -> list[Issue]:
    try:
        targets = [read_target(table, request, **meant) for request in requests]
    except HistonicError:
        return []  # listed with its own target
    return unused_by_targets(table, targets)


def alike_patients(table: LabelTable, patients: Sequence[str]) -> list[Issue]:
    """Patients whose identifiers differ only in writing or in zeros before numbers: perhaps one person.

    Args:
        table: For messages.
        patients: Those of the cohort, each once.
    """
    names: dict[str, list[str]] = {}
    for name in patients:
        names.setdefault(without_zeros(name), []).append(name)
    todo = "If it is one patient, write one identifier: else training and test may share him."
    issues = []
    for same in names.values():
        if len(same) > 1:
            found = f"{list_names(map(repr, same))} differ only in {writing_apart(same)}."
            where = f"{table.text.name}, patient {same[0]!r}"
            issues.append(Issue("warning", "Patients that may be one", where, found, todo))
    return issues


def _as_issue(what: str, where: str, error: HistonicError) -> Issue:
    return Issue("error", what, where, f"{error.asked} {error.found}", error.todo, type(error))


def _patients_with_maps(table: LabelTable, join: SlideJoin | None) -> list[str]:
    if join is None:
        return table_patients(table)
    return [patient for patient, slides in join.slides.items() if slides]


def _doubled_rows(table: LabelTable) -> list[Issue]:
    """The same slide twice for one patient; without slides, the same patient twice."""
    what = "patient" if table.links is None else "slide"
    rows: dict[tuple[str, str], list[str]] = {}
    if table.links is None:
        for row, patient in table.patients[table.patients != ""].items():
            rows.setdefault((patient, patient), []).append(str(row))
    else:
        for link in table.links.to_dict("records"):
            rows.setdefault((path_name(link["place"]), link["patient_id"]), []).append(str(link["row"]))
    todo = "Remove the rows that are not needed."
    return [
        Issue(
            "warning",
            f"Doubled {what}",
            f"{table.links_path.name}, {what} {name!r}",
            f"It has the rows {list_names(same)}.",
            todo,
        )
        for (name, _), same in sorted(rows.items())
        if len(same) > 1
    ]


def _join_issues(table: LabelTable, join: SlideJoin, slide_ids: Sequence[str]) -> list[Issue]:
    issues = list(join.issues)
    if join.unlabelled:
        found = f"{len(join.unlabelled)}: {list_names(join.unlabelled)}."
        todo = "Add rows for them, or leave them out."
        issues.append(Issue("warning", "Slides without a label", table.text.name, found, todo))
    without = [patient for patient, slides in join.slides.items() if not slides]
    if without and len(without) < len(join.slides):
        found = f"{len(without)}: {list_names(without)}."
        todo = "Add their slides; without one they are left out."
        issues.append(Issue("warning", "Patients without a slide", table.text.name, found, todo))
    missing = [slide for patient, slides in join.absent.items() if patient not in without for slide in slides]
    if missing:
        found = f"{len(missing)}: {list_names(missing)}."
        todo = "Add the slides or correct their names."
        issues.append(Issue("warning", "Labels without a slide", table.text.name, found, todo))
    if without and len(without) == len(join.slides):
        found = f"No name fits; the table has for instance the patients {list_names(without[:2])}."
        fitting = fitting_column(table, slide_ids) or "--columns slide_id=COLUMN"
        todo = f"Name the column with the slide names: {fitting}."
        issues.append(Issue("error", "No label fits a slide", table.text.name, found, todo, CohortError))
    return issues


def _patient_count(table: LabelTable, used: Sequence[str], folds: int) -> list[Issue]:
    issues: list[Issue] = []
    if table.roles is not None:
        try:
            given_roles(table, used)
        except CohortError as error:
            issues.append(_as_issue("Split with gaps", table.text.name, error))
        return issues
    if 0 < len(used) < folds:
        found = f"{len(used)} patient(s), {folds} folds."
        issues.append(
            Issue(
                "error",
                "Fewer patients than folds",
                table.text.name,
                found,
                "Use fewer folds or more patients.",
                CohortError,
            )
        )
    issues += _tested_often(table, used)
    if table.folds is not None:
        parts = sorted(set(table.folds[table.patients.isin(list(used))]) - {""})
        if parts and len(parts) != folds:
            found = f"It has {len(parts)} parts ({list_names(parts)}), {folds} are asked for."
            where = table.where(table.columns.get("fold", "fold_*"))
            todo = f"Train with --folds {len(parts)}, or ignore the column: --columns fold=none."
            issues.append(Issue("warning", "Given split", where, found, todo, CohortError))
    return issues


def _tested_often(table: LabelTable, used: Sequence[str]) -> list[Issue]:
    """Folds of the table's own that test a patient several times, which training refuses."""
    turns = given_turns(table, used)
    tested = Counter(name for roles in turns for name, role in roles.items() if role == "test")
    several = [name for name, count in tested.items() if count > 1]
    if not several or table.turns is None:
        return []
    columns = [str(column) for column in table.turns.columns]
    found = f"They test {len(several)} of {len(tested)} patients several times: {list_names(several)}."
    todo = (
        f"Train a run for each: --columns split={shlex.quote(columns[0])}; or let histonic split: "
        "--columns fold=none (in 'train' also --split random)."
    )
    where = f"{table.text.name}, columns {columns[0]} ... {columns[-1]}"
    return [Issue("error", "Monte-Carlo folds", where, found, todo, CohortError)]


def _censor_columns(table: LabelTable, event_coding: EventCodes) -> list[Issue]:
    """Columns that by their name mark the censored, while nobody has said so."""
    if event_coding == "censored":
        return []
    todo = "To train on it, say --event-coding censored if 1 means censored; else rename the column."
    found = "By its name, 1 marks the censored there, the inverse of an event."
    return [
        Issue("warning", "Inverted event coding", table.where(column), found, todo)
        for column in table.label_columns
        if is_censor_named(column)
    ]


def _targets_together(
    table: LabelTable, targets: Sequence[TargetRequest], meant: EventMeaning
) -> list[Issue]:
    """What only shows when all targets are looked at together."""
    for request in targets:
        try:
            read_target(table, request, **meant)
        except HistonicError:
            return []  # listed with its own target
    try:
        read_targets(table, targets, **meant)
    except HistonicError as error:
        return [_as_issue("Targets that do not fit together", table.text.name, error)]
    return []


def _target_issues(
    table: LabelTable,
    request: TargetRequest,
    meant: EventMeaning,
    used: Sequence[str],
    folds: int,
    codings: dict[str, Coding],
    remarks: dict[str, str],
    known: dict[str, tuple[Task, Mapping[str, Number]]],
) -> list[Issue]:
    """What is wrong with one target; its coding and what no check can see go into the mappings."""
    try:
        target = read_target(table, request, **meant)
    except HistonicError as error:
        return [_as_issue("Unusable target", f"{table.text.name}, target {request.name!r}", error)]
    values, issues = join_patients(table, target)
    issues = [*target.issues, *issues]
    try:
        task, numbers = make_task(table, target, {p: values[p] for p in used if p in values})
    except HistonicError as error:
        return [*issues, _as_issue("Unusable target", f"{table.text.name}, target {request.name!r}", error)]
    codings[request.name] = target_coding(table, request, task, **meant)
    missing = [patient for patient in used if patient not in numbers]
    if missing:
        found = f"{len(missing)} of {len(used)} patients have no value: {list_names(missing)}."
        todo = "Nothing, if this is so: a missing target is masked in training."
        issues.append(Issue("warning", "Missing target", table.where(target.columns[0]), found, todo))
    if numbers or all(issue.severity == "warning" for issue in issues):
        issues += one_outcome(table, task, numbers.values())
    known[request.name] = (task, dict(numbers))
    looked_at = coding_issues(table, target, list(numbers.values()))
    remark = "" if looked_at else power_words(list(numbers.values()))
    if remark:
        remarks[request.name] = remark
    doubts = [*looked_at, *number_issues(table, target)]
    doubts += [*value_doubts(table, target, task, numbers), *positive_doubt(table, request, task)]
    doubts += follow_up_issues(table, target, numbers)
    return [
        *issues,
        *_rare_outcomes(table, task, numbers.values(), folds),
        *_zero_times(table, target),
        *doubts,
    ]


def one_outcome(table: LabelTable, task: Task, values: Iterable[float | tuple[float, float]]) -> list[Issue]:
    """An issue if the values of a task are too alike to learn from: one class, no event, one number."""
    given = list(values)
    where = f"{table.where(task.columns[-1])}, target {task.name!r}"
    if task.kind == "survival":
        if any(isinstance(value, tuple) and value[1] == 1 for value in given):
            return []
        found, what = f"None of the {len(given)} patients with a map has an event.", "No events"
    elif len(set(given)) > 1:
        return []
    elif task.is_classification:
        what, found = (
            "One class only",
            f"All {len(given)} patients with a map are {list_names(task.classes)}.",
        )
    else:
        what, found = "One value only", f"The {len(given)} patients with a map have no two different values."
    if not given:
        found = "No patient with a map has a value."
    return [Issue("error", what, where, found, "Add patients that differ, or drop the target.", CohortError)]


def _rare_outcomes(
    table: LabelTable, task: Task, values: Iterable[float | tuple[float, float]], folds: int
) -> list[Issue]:
    """Classes, or events, with fewer patients than folds."""
    counts: dict[str, int] = {}
    for value in values:
        if isinstance(value, tuple):
            counts["event"] = counts.get("event", 0) + int(value[1])
        elif task.is_classification:
            name = task.classes[int(value)]
            counts[name] = counts.get(name, 0) + 1
    rare = {name: count for name, count in counts.items() if 0 < count < folds}
    return [
        Issue(
            "warning",
            "Fewer patients than folds",
            f"{table.where(task.columns[-1])}, target {task.name!r}",
            f"{name!r} has {count} patient(s), {folds} folds are planned.",
            "Expect wide intervals; use fewer folds or join classes.",
        )
        for name, count in sorted(rare.items())
    ]


def _zero_times(table: LabelTable, target: RowTarget) -> list[Issue]:
    def is_zero(value: Value) -> bool:
        return isinstance(value, tuple) and value[0] == 0

    rows = [row for row, value in target.values.items() if is_zero(value)]
    if not rows:
        return []
    todo = "Nothing, if this is so: they count, but tell nothing about the order of events."
    return [Issue("warning", "Time of zero", table.where(target.columns[0], *rows), "The time is 0.", todo)]
