"""Liver metastases, the second study of NIC-MTL: growth pattern and overall survival on the same maps.

The cohort of the paper is not public; any cohort of its shape is taken, as a table of slides: several slides
a patient, a binary growth pattern at the tumour's border, and time and event.
"""

from __future__ import annotations

from pathlib import Path

from histonic.core.errors import SettingsError, TableError
from histonic.core.progress import Progress
from histonic.data.names import SLIDE_EXTENSIONS, slide_name
from histonic.data.tables.files import TABLE_EXTENSIONS
from histonic.data.tables.values import is_missing
from histonic.stages.study.frame.cases import Case, Finding, Survey, missing_files, named
from histonic.stages.study.frame.files import all_files, table_with
from histonic.stages.study.frame.plan import Outcome, Place, entered, slide_steps, write_tables
from histonic.stages.study.frame.results import keep_scores, run_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step

TITLE = "liver metastases: growth pattern and overall survival on the same maps (as in NIC-MTL)"
LICENCE = "that of your own cohort"
TARGETS = ("growth", "os")
NEEDED = ("slide_id", "patient_id", "growth_pattern", "os_time", "os_event")
FEWEST_EVENTS = 5


def survey(settings: RecipeSettings) -> Survey:
    """Read the table of the cohort, and find its slides."""
    files = all_files(settings.data)
    path = settings.table or _the_table(settings, files)
    table, column = table_with(path, NEEDED, settings.columns)
    site = settings.columns.get("site", "site")
    site_column = next((name for name in table.columns if name.lower() == site.lower()), None)
    slides: dict[str, list[Path]] = {}
    for file in files:
        if file.name.lower().endswith(SLIDE_EXTENSIONS):
            slides.setdefault(slide_name(file.name), []).append(file)
    cases: dict[str, Case] = {}
    findings: list[Finding] = []
    for row, cells in table.frame.iterrows():
        values = {key: "" if is_missing(cells[name]) else str(cells[name]) for key, name in column.items()}
        name = slide_name(values["slide_id"])
        for key in ("slide_id", "patient_id"):
            if not values[key]:
                raise TableError(
                    f"Read {path}.", f"Row {row} has no {column[key]}.", "Fill the cell or remove the row."
                )
        if name in cases:
            findings.append(Finding("error", f"doubled: slide {name}, row {row}.", "Keep one of its rows."))
            continue
        labels = {key: values[key] for key in ("growth_pattern", "os_time", "os_event")}
        where = "" if site_column is None or is_missing(cells[site_column]) else str(cells[site_column])
        file = slides.get(name, [Path(name)])[0]
        cases[name] = Case(name, file, values["patient_id"], labels, "train", where, group_source="table")
    for name in cases:
        if len(slides.get(name, [])) > 1:
            two = " and ".join(str(each) for each in slides[name][:2])
            findings.append(Finding("error", f"doubled: slide {name}: {two}.", "Keep one of them."))
    absent = [name for name in cases if name not in slides]
    findings += missing_files(absent, "slides of the table", allowed=settings.allow_missing)
    extra = [name for name in slides if name not in cases]
    if extra:
        findings.append(Finding("note", f"extra, in no row of the table: {named(extra)}."))
    used = [case for case in cases.values() if case.slide_id in slides]
    patients = {case.patient for case in used}
    findings += _targets(used, settings)
    recognised = (
        f"recognised: {TITLE}",
        f"licence: {LICENCE}",
        f"{path.name}: {len(cases)} slides of {len({case.patient for case in cases.values()})} patients; "
        f"{len(used)} slides of {len(patients)} patients are there"
        + (f", {len({case.site for case in used} - {''})} sites" if site_column else ""),
    )
    return Survey(recognised, tuple(used), tuple(findings))


def _the_table(settings: RecipeSettings, files: list[Path]) -> Path:
    tables = [file for file in files if file.suffix.lower() in TABLE_EXTENSIONS]
    if len(tables) == 1:
        return tables[0]
    raise SettingsError(
        f"Find the table of the cohort in {settings.data}.",
        f"It holds {len(tables)} tables{': ' + named([each.name for each in tables]) if tables else ''}.",
        f"Name it: --table FILE, with the columns {', '.join(NEEDED)} (or --columns KNOWN=FOUND).",
    )


def _targets(cases: list[Case], settings: RecipeSettings) -> list[Finding]:
    found = []
    patterns = sorted({case.labels["growth_pattern"] for case in cases} - {""})
    if "growth" in entered(settings, TARGETS) and len(patterns) != 2:
        found.append(
            Finding(
                "error",
                f"growth_pattern has {len(patterns)} values ({named(patterns)}), not two.",
                "Write two, such as desmoplastic and other, or leave it out: --target os.",
            )
        )
    events = {
        case.patient for case in cases if case.labels["os_event"].strip().lower() in ("1", "dead", "true")
    }
    if "os" in entered(settings, TARGETS) and len(events) < FEWEST_EVENTS:
        what = f"{len(events)} patients with os_event 1 were found."
        found.append(Finding("warning", what, "Too few events say nothing of survival."))
    return found


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    write_tables(place, found, train=found.used("train"))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Both targets are learned at once; folds are of patients."""
    patterns = sorted({case.labels["growth_pattern"] for case in found.used("train")} - {""})
    positive = next((each for each in patterns if each.lower() in ("desmoplastic", "yes", "1", "dhgp")), "")
    words = {
        "growth": "growth:binary:growth_pattern" + (f":positive={positive}" if positive else ""),
        "os": "os:survival:os_time,os_event",
    }
    targets = [words[name] for name in entered(settings, TARGETS)]
    return slide_steps(settings, place, targets, test=False)


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """Scores by cross-validation, by patient."""
    outcome = Outcome()
    notes = ["A patient's slides are predicted one by one and averaged; patients are never split."]
    keep_scores(settings, place, run_scores(settings, place), notes, outcome)
    return outcome
