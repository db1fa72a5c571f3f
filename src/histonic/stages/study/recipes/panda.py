"""PANDA: ISUP grade of prostate biopsies of two providers, by quadratic weighted kappa."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from histonic.core.errors import TableError
from histonic.core.files import csv_text, write_text
from histonic.core.progress import Progress
from histonic.stages.study.frame.cases import Case, Finding, Survey, missing_files, named, no_groups
from histonic.stages.study.frame.files import all_files, by_name, table_with, the_file
from histonic.stages.study.frame.plan import Outcome, Place, slide_steps, write_tables
from histonic.stages.study.frame.results import keep_scores, predictions_of_test, require_all, run_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step

TITLE = "PANDA: ISUP grade of prostate biopsies"
LICENCE = "CC BY-NC-SA 4.0 (non-commercial)"
TARGETS = ("isup",)
COUNT = 10_616
SLIDE = r"([0-9a-f]{32})\.tiff?"
MASK = r"([0-9a-f]{32})_mask\.tiff?"
PROVIDERS = ("radboud", "karolinska")
GRADES = tuple("012345")
COLUMNS = ("image_id", "data_provider", "isup_grade", "gleason_score")
WORDS = "isup:ordinal:isup_grade:0<1<2<3<4<5"


def survey(settings: RecipeSettings) -> Survey:
    """Find biopsies, grades and masks."""
    files = all_files(settings.data)
    table, findings = the_file(files, r"train\.csv")
    asked, doubled = the_file(files, r"test\.csv")
    findings += doubled
    slides, doubled = by_name(files, SLIDE, "slide")
    findings += doubled
    masks, doubled = by_name(files, MASK, "mask")
    findings += doubled
    paths = {name: path for (name,), path in slides.items()}
    cases: list[Case] = []
    if table is None:
        findings.append(Finding("error", "missing: train.csv.", "Without it no slide has a grade."))
    else:
        cases, told = read_grades(table, paths)
        findings += told
    graded = {case.slide_id for case in cases}
    absent = [case.slide_id for case in cases if case.slide_id not in paths]
    findings += missing_files(absent, "slides of train.csv", allowed=settings.allow_missing)
    cases = [case for case in cases if case.slide_id in paths]
    cases += _tested(asked, paths, graded, findings)
    known = graded | {case.slide_id for case in cases}
    extra = [name for name in paths if name not in known]
    if extra:
        findings.append(Finding("note", f"extra, in no table: {named(extra)}."))
    without = [name for name in graded if (name,) not in masks]
    if masks and without:
        findings.append(Finding("note", f"{len(without)} slides have no label mask (masks are not used)."))
    if graded and len(graded) < COUNT:
        findings.append(Finding("warning", f"A part of the set: {len(graded)} of {COUNT:,} graded slides."))
    findings.append(no_groups("no table says which biopsies are of one patient"))
    providers = ", ".join(f"{sum(case.site == name for case in cases)} of {name}" for name in PROVIDERS)
    recognised = (
        f"recognised: {TITLE}",
        f"licence: {LICENCE}",
        f"{len(paths)} slides ({providers}), {len(masks)} label masks, {len(graded)} rows of train.csv",
    )
    return Survey(recognised, tuple(cases), tuple(findings))


def read_grades(path: Path, slides: dict[str, Path]) -> tuple[list[Case], list[Finding]]:
    """Cases of ``train.csv``; those without a file are there, too, under a path that does not exist.

    Raises:
        TableError: A column is absent, a grade or provider is none, or a slide stands there twice.
    """
    table, column = table_with(path, COLUMNS)
    cases: dict[str, Case] = {}
    odd = []
    for row, cells in table.frame.iterrows():
        name, provider, grade, gleason = (str(cells[column[each]]).strip() for each in COLUMNS)
        name = name.lower()
        if name in cases:
            raise TableError(f"Read {path}.", f"Row {row}: {name} stands there twice.", "Keep one row.")
        if grade not in GRADES or provider not in PROVIDERS or not name:
            found = f"Row {row} ({name}): isup_grade is {grade!r}, data_provider {provider!r}"
            todo = f"Grades are 0 to 5, providers {' and '.join(PROVIDERS)}: restore the organisers' table."
            raise TableError(f"Read {path}.", f"{found}.", todo)
        made = isup_of(gleason)
        if made is not None and str(made) != grade:
            odd.append(name)
        labels = {"isup_grade": grade, "gleason_score": gleason}
        file = slides.get(name, Path(f"{name}.tiff"))
        cases[name] = Case(name, file, name, labels, "train", provider)
    findings = [
        Finding("warning", f"isup_grade and gleason_score differ: {named(odd)}.", "The grade is used.")
    ]
    return list(cases.values()), findings if odd else []


def isup_of(gleason: str) -> int | None:
    """ISUP grade of a Gleason score as the providers write it; None where it cannot be read.

    Example:
        >>> [isup_of(text) for text in ("0+0", "negative", "3+3", "3+4", "4+3", "4+4", "3+5", "4+5", "?")]
        [0, 0, 1, 2, 3, 4, 4, 5, None]
    """
    if gleason.strip().lower() == "negative":
        return 0
    found = re.fullmatch(r"(\d)\s*\+\s*(\d)", gleason.strip())
    if found is None:
        return None
    first, second = int(found.group(1)), int(found.group(2))
    total = first + second
    if total == 7:
        return 2 if first == 3 else 3
    return {0: 0, 6: 1, 8: 4, 9: 5, 10: 5}.get(total)


def _tested(
    table: Path | None, slides: dict[str, Path], graded: set[str], findings: list[Finding]
) -> list[Case]:
    """Test slides that are there; the organisers keep nearly all of them."""
    if table is None:
        return []
    given, column = table_with(table, ("image_id",))
    names = [str(cell).strip().lower() for cell in given.frame[column["image_id"]]]
    there = [name for name in names if name in slides]
    if len(there) < len(names):
        what = f"{len(names) - len(there)} of {len(names)} slides of test.csv are not there."
        findings.append(Finding("note", what, "Test slides are hidden: the challenge runs code, not files."))
    # What lies with the training slides, too, is no test.
    return [
        Case(name, slides[name], name, {"isup_grade": "", "gleason_score": ""}, "test-unlabelled")
        for name in there
        if name not in graded
    ]


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    write_tables(place, found, train=found.used("train"), test=found.used("test-unlabelled"))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Grades are learned on random folds, since no table names patients."""
    return slide_steps(settings, place, [WORDS], test=bool(found.used("test-unlabelled")))


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """Scores by cross-validation, and a submission for test slides that are there."""
    outcome = Outcome()
    notes = [
        "No table says which biopsies are of one patient: folds may share patients, and scores be too good.",
        "About a tenth of the training grades are held to be wrong by the challenge's participants.",
    ]
    keep_scores(settings, place, run_scores(settings, place), notes, outcome)
    names: Sequence[str] = [case.slide_id for case in found.used("test-unlabelled")]
    if names:
        path = place.out / "submission.csv"
        predictions = predictions_of_test(place)
        require_all(place, predictions, names, str(path))
        rows = [[name, predictions.loc[name]["isup.predicted"]] for name in names]
        write_text(path, csv_text(["image_id", "isup_grade"], rows))
        outcome.files.append(path)
        outcome.lines.append(f"Submission: {path} ({len(rows)} slides)")
    else:
        outcome.lines.append("No test slide is there (the challenge hides them), and so no submission.")
    return outcome
