"""TCGA: overall survival from diagnostic slides, with the clinical tables of GDC or cBioPortal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from histonic.core.errors import TableError
from histonic.core.progress import Progress
from histonic.data.tables.files import TextTable, read_table
from histonic.stages.study.frame.cases import Case, Finding, Survey, left_out, missing_files, named
from histonic.stages.study.frame.files import all_files, by_name, extra_files, the_file
from histonic.stages.study.frame.plan import Outcome, Place, slide_steps, write_tables
from histonic.stages.study.frame.results import keep_scores, run_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step

TITLE = "TCGA: overall survival from slides"
LICENCE = "open-access images of TCGA; see the project's own page"
TARGETS = ("os",)
SLIDE = r"(tcga-\w\w-\w{4})-(\d\d\w?)(?:-(\d\d)\w?)?-([a-z]{2}\w*)(?:\.[^.]+)?\.(?:svs|tiff?)"
PATIENT = re.compile(r"TCGA-\w\w-\w{4}", re.IGNORECASE)
WORDS = "os:survival:os_days,os_event"
DAYS_OF_MONTH = 30.4375
ABSENT = (
    "",
    "'--",
    "--",
    "not reported",
    "unknown",
    "na",
    "nan",
    "[not available]",
    "[not applicable]",
    "null",
)
GDC = {
    "oldest form": ("submitter_id", "vital_status", "days_to_death", "days_to_last_follow_up"),
    "old form": ("case_submitter_id", "vital_status", "days_to_death", "days_to_last_follow_up"),
    "new form": (
        "cases.submitter_id",
        "demographic.vital_status",
        "demographic.days_to_death",
        "diagnoses.days_to_last_follow_up",
    ),
}
"""Columns of patient, vital status, death and last contact, by the age of the export."""
TABLES = r"(?:clinical\.tsv|clinical\.txt|data_clinical_patient\.txt)"
LATER = r"follow_?ups?\.tsv"


@dataclass(frozen=True)
class FollowUp:
    """Of one patient.

    Attributes:
        days: From diagnosis to death or last contact; None if unusable.
        event: Whether the patient died.
        why: He is left out; empty if he is not.
    """

    days: float | None = None
    event: bool = False
    why: str = ""


def survey(settings: RecipeSettings) -> Survey:
    """Find slides in whatever folders, and the follow-up of their patients."""
    files = all_files(settings.data)
    clinical, findings = the_file(files, TABLES) if settings.table is None else (settings.table, [])
    later, doubled = the_file(files, LATER)
    findings += doubled
    known: dict[str, FollowUp] = {}
    form = "no clinical table"
    if clinical is None:
        findings.append(
            Finding("error", "missing: clinical.tsv (GDC) or data_clinical_patient.txt (cBioPortal).")
        )
    else:
        known, form = read_follow_up(clinical, later)
    slides, doubled = by_name(files, SLIDE, "slide")
    findings += doubled
    cases = [_case(settings, key, path, known) for key, path in sorted(slides.items())]
    findings += left_out(cases)
    there = {case.patient for case in cases}
    absent = [name for name, each in known.items() if name not in there and not each.why]
    if absent:
        what = f"missing: slides of patients of the table: {named(absent)}."
        findings.append(Finding("warning", what, "The recipe goes on without them."))
    without = sorted({case.patient for case in cases} - set(known)) if known else []
    findings += missing_files(without, "follow-up of patients with slides", allowed=settings.allow_missing)
    findings += extra_files(files, list(slides.values()), (".svs",))
    used = {case.patient for case in cases if not case.left_out}
    events = sum(known[name].event for name in used if name in known)
    recognised = (
        f"recognised: {TITLE} ({form})",
        f"licence: {LICENCE}",
        f"{len(cases)} slides of {len(there)} patients, {len(known)} patients in the table; "
        f"{len(used)} can be used, {events} of them died",
    )
    findings.append(
        Finding(
            "note",
            "TUPAC16's slides are of TCGA-BRCA: an encoder trained on them has seen these patients.",
        )
    )
    return Survey(recognised, tuple(cases), tuple(findings))


def _case(settings: RecipeSettings, key: tuple[str, ...], path: Path, known: Mapping[str, FollowUp]) -> Case:
    patient, sample, _, section = (part.upper() for part in key)
    name = path.name.rpartition(".")[0]
    follow_up = known.get(patient, FollowUp(why="not in the clinical table"))
    reason = ""
    if section[:2] != "DX":
        reason = "no diagnostic (DX) slide: a frozen section or another kind"
    elif sample[:2] == "11":
        reason = "normal tissue (sample type 11)"
    elif follow_up.why:
        reason = follow_up.why
    if name in settings.keep and not follow_up.why:
        reason = ""
    days = "" if follow_up.days is None else f"{follow_up.days:.10g}"
    event = "" if follow_up.days is None else "1" if follow_up.event else "0"
    labels = {"os_days": days, "os_event": event}
    return Case(name, path, patient, labels, "train", patient[5:7], group_source="file name", left_out=reason)


def read_follow_up(path: Path, later: Path | None = None) -> tuple[dict[str, FollowUp], str]:
    """Days and death by patient, and in which form the table is.

    Of GDC's tables, which have several rows a case, the vital status must agree and the longest follow-up
    counts; ``follow_up.tsv`` fills in what the newer ones lack. Months of cBioPortal are of 30.4375 days.

    Args:
        path: GDC's ``clinical.tsv``, old or new, or cBioPortal's ``data_clinical_patient.txt``.
        later: GDC's ``follow_up.tsv``.

    Raises:
        TableError: The columns are of none of these, or a number is none.
    """
    table = read_table(path)
    columns = {name.lower(): name for name in table.columns}
    if "patient_id" in columns and "os_status" in columns and "os_months" in columns:
        return _of_cbioportal(table, columns), "cBioPortal's clinical table"
    for form, names in GDC.items():
        if all(name in columns for name in names):
            of = {
                key: columns[name]
                for key, name in zip(("case", "status", "death", "last"), names, strict=True)
            }
            return _of_gdc(table, of, _later(later)), f"GDC's clinical table, {form}"
    raise TableError(
        f"Read the follow-up of {path}.",
        f"Its columns are {', '.join(table.columns[:12])} ...",
        "Give GDC's clinical.tsv (case_submitter_id, vital_status, days_to_death, days_to_last_follow_up) or "
        "cBioPortal's data_clinical_patient.txt (PATIENT_ID, OS_STATUS, OS_MONTHS).",
    )


def _value(cell: str) -> str:
    return "" if cell.strip().lower() in ABSENT else cell.strip()


def _number(table: TextTable, row: object, column: str, cell: str) -> float | None:
    text = _value(cell)
    if not text:
        return None
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        found = f"Row {row}, column {column!r} is {cell!r}, no number."
        raise TableError(f"Read the follow-up of {table.path}.", found, "Correct the cell or leave it empty.")
    return float(text)


def _of_cbioportal(table: TextTable, columns: Mapping[str, str]) -> dict[str, FollowUp]:
    found: dict[str, FollowUp] = {}
    for row, cells in table.frame.iterrows():
        patient = str(cells[columns["patient_id"]]).strip().upper()
        status = _value(str(cells[columns["os_status"]])).upper()
        months = _number(table, row, columns["os_months"], str(cells[columns["os_months"]]))
        dead = {"0:LIVING": False, "LIVING": False, "1:DECEASED": True, "DECEASED": True}.get(status)
        if status and dead is None:
            what = f"Row {row}, column {columns['os_status']!r} is {status!r}."
            todo = "Known are 0:LIVING and 1:DECEASED, with or without the number."
            raise TableError(f"Read the follow-up of {table.path}.", what, todo)
        judged = _judged(dead, None if months is None else months * DAYS_OF_MONTH)
        agrees = found.get(patient, judged) == judged
        found[patient] = judged if agrees else FollowUp(why="rows of the clinical table disagree")
    return found


def _of_gdc(table: TextTable, of: Mapping[str, str], later: Mapping[str, float]) -> dict[str, FollowUp]:
    rows: dict[str, list[tuple[str, float | None, float | None]]] = {}
    for row, cells in table.frame.iterrows():
        patient = str(cells[of["case"]]).strip().upper()
        death, last = (_number(table, row, of[key], str(cells[of[key]])) for key in ("death", "last"))
        status = _value(str(cells[of["status"]])).lower()
        if status not in ("", "dead", "alive"):
            # Left out as not reported, one of the two would be missing from the cohort.
            what = f"Row {row}, column {of['status']!r} is {cells[of['status']]!r}."
            todo = "GDC writes Alive, Dead, Unknown and Not Reported: restore the table."
            raise TableError(f"Read the follow-up of {table.path}.", what, todo)
        rows.setdefault(patient, []).append((status, death, last))
    found = {}
    for patient, each in rows.items():
        statuses = {status for status, _, _ in each if status}
        deaths = [death for _, death, _ in each if death is not None]
        lasts = [last for _, _, last in each if last is not None]
        if patient in later:
            lasts.append(later[patient])
        if len(statuses) != 1 or len(set(deaths)) > 1:
            why = "rows of the clinical table disagree" if statuses else "vital status is not reported"
            found[patient] = FollowUp(why=why)
            continue
        dead = statuses == {"dead"}
        found[patient] = _judged(dead, max(deaths if dead else lasts, default=None))
    return found


def _judged(dead: bool | None, days: float | None) -> FollowUp:
    if dead is None:
        return FollowUp(why="vital status is not reported")
    if days is None:
        return FollowUp(why="dead, and no day of death" if dead else "alive, and no day of last contact")
    if days <= 0:
        return FollowUp(why="followed for no day")
    return FollowUp(days, dead)


def _later(path: Path | None) -> dict[str, float]:
    """The last day of contact in ``follow_up.tsv``, by patient."""
    if path is None:
        return {}
    table = read_table(path)
    columns = {name.lower(): name for name in table.columns}
    case = columns.get("case_submitter_id") or columns.get("cases.submitter_id")
    days = columns.get("days_to_follow_up") or columns.get("follow_ups.days_to_follow_up")
    found: dict[str, float] = {}
    if case is None or days is None:
        raise TableError(
            f"Read {path}.",
            f"Its columns are {', '.join(table.columns[:12])}.",
            "Wanted are case_submitter_id and days_to_follow_up; or take the file out of the folder.",
        )
    for row, cells in table.frame.iterrows():
        value = _number(table, row, days, str(cells[days]))
        if value is not None:
            patient = str(cells[case]).strip().upper()
            found[patient] = max(value, found.get(patient, value))
    return found


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    write_tables(place, found, train=found.used("train"))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Survival is learned on random folds of patients; the site stands in the table for the audit."""
    return slide_steps(settings, place, [WORDS], test=False)


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """Scores by cross-validation."""
    outcome = Outcome()
    notes = [
        "Days count from diagnosis. Tissue source sites are mixed in the folds; the report's audit says "
        "whether the site tells the outcome, and 'histonic train --split site' keeps sites apart."
    ]
    keep_scores(settings, place, run_scores(settings, place), notes, outcome)
    return outcome
