"""BACH, part A: four classes of breast tissue in photographs; by accuracy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from histonic.core.errors import TableError
from histonic.core.files import csv_text, write_text
from histonic.core.progress import Progress
from histonic.data.tables.values import is_missing
from histonic.stages.study.frame.cases import Case, Finding, Survey, missing_files, named, no_groups
from histonic.stages.study.frame.files import (
    all_files,
    by_name,
    extra_files,
    headless_rows,
    table_with,
    the_file,
)
from histonic.stages.study.frame.plan import Outcome, Place, slide_steps, write_tables
from histonic.stages.study.frame.results import keep_scores, predictions_of_test, require_all, run_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step

TITLE = "BACH (ICIAR 2018), part A: breast photographs"
LICENCE = "CC BY-NC-ND 4.0 (non-commercial)"
TARGETS = ("class",)
CLASSES = ("Normal", "Benign", "InSitu", "Invasive")
BEGINS = {"n": "Normal", "b": "Benign", "is": "InSitu", "iv": "Invasive"}
PHOTO = r"((?:n|b|is|iv)\d{3})\.tiff?"
TRUTH = r"microscopy_ground_truth\.csv"
TEST_FOLDER = "ICIAR2018_BACH_Challenge_TestDataset"
EACH = 100
MPP = 0.42
WORDS = "class:multiclass:class"


def survey(settings: RecipeSettings) -> Survey:
    """Find photographs and their classes, and the table of patients if it is given."""
    files = all_files(settings.data)
    tested = [
        file
        for file in files
        if TEST_FOLDER in file.parts and "Photos" in file.parts and file.suffix.lower() in (".tif", ".tiff")
    ]
    photos, findings = by_name([file for file in files if file not in set(tested)], PHOTO, "photograph")
    truth, doubled = the_file(files, TRUTH)
    findings += doubled
    labels: dict[str, str] = {}
    if truth is None:
        findings.append(
            Finding("error", "missing: microscopy_ground_truth.csv.", "It says the class of each photograph.")
        )
    else:
        labels = read_truth(truth)
    patients = {} if settings.table is None else read_patients(settings.table, settings.columns)
    paths = {name: path for (name,), path in photos.items()}
    findings += missing_files(
        [name for name in labels if name not in paths], "photographs", allowed=settings.allow_missing
    )
    findings += _tested_twice(tested)
    findings += extra_files(files, [*photos.values(), *tested, *_whole_slides(files)], (".tif", ".tiff"))
    extra = [name for name in paths if labels and name not in labels]
    if extra:
        findings.append(Finding("error", f"photographs without a class: {named(extra)}."))
    wrong = [name for name, path in paths.items() if _folder_class(path) not in ("", labels.get(name, ""))]
    if wrong and labels:
        what = f"class by table and by folder differ: {named(wrong)}."
        findings.append(Finding("error", what, "Unpack the set again."))
    cases = [
        Case(
            name,
            path,
            "",
            {"class": labels.get(name, ""), "patient": patients.get(name, "")},
            "train",
            # Photographs of a patient may be of several classes: each is a case, kept with them by the site.
            patients.get(name, name) if patients else "",
            mpp=MPP,
            group_source="table" if name in patients else "none",
        )
        for name, path in sorted(paths.items())
    ]
    cases += [
        Case(file.stem, file, "", {"class": "", "patient": ""}, "test-unlabelled", mpp=MPP) for file in tested
    ]
    strange = sorted(set(patients) - set(paths) - set(labels) - {file.stem.lower() for file in tested})
    if strange:
        what = f"the table of patients names no photograph here: {named(strange)}."
        todo = "It names them as the files are called, n001.tif or n001: correct the table."
        is_none = not set(patients) & (set(paths) | set(labels))
        findings.append(Finding("error" if is_none else "warning", what, todo))
    if not patients:
        findings.append(
            no_groups("the table of patients lies on the challenge's page, not in its archive (--table)")
        )
    elif without := len(set(paths) - set(patients)):
        what = f"{without} photographs have no patient in the table;"
        findings.append(Finding("note", what, "by its page they are of other patients than the others."))
    for name in CLASSES:
        here = sum(case.labels["class"] == name for case in cases)
        if here != EACH:
            findings.append(Finding("warning", f"{here} photographs of {name}, the organisers ship {EACH}."))
    if any(file.parent.name == "WSI" for file in files):
        findings.append(Finding("note", "Whole slides (part B) are there, and not used by this recipe."))
    recognised = (
        f"recognised: {TITLE}",
        f"licence: {LICENCE}",
        f"{len(paths)} photographs with {len(labels)} classes, {len(tested)} of the test set, "
        f"{len(set(patients.values()))} patients known",
    )
    return Survey(recognised, tuple(cases), tuple(findings))


def _tested_twice(tested: Sequence[Path]) -> list[Finding]:
    names: dict[str, list[str]] = {}
    for file in tested:
        names.setdefault(file.stem.lower(), []).append(str(file))
    twice = [" and ".join(each) for each in names.values() if len(each) > 1]
    return [Finding("error", f"doubled: test photograph: {each}.", "Keep one of them.") for each in twice]


def _whole_slides(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if "WSI" in file.parts]


def _folder_class(path: Path) -> str:
    return path.parent.name if path.parent.name in CLASSES else ""


def read_truth(path: Path) -> dict[str, str]:
    """Class by name of the photograph; the file has no header.

    Raises:
        TableError: A row names no photograph, or no class.
    """
    found: dict[str, str] = {}
    known = {each.lower(): each for each in CLASSES}
    for number, (file, label) in headless_rows(path, ("file", "class")):
        name = re.sub(r"\.tiff?$", "", file.lower())
        kind = known.get(label.lower().replace(" ", ""))
        begins = re.match(r"(n|b|is|iv)\d{3}$", name)
        if kind is None or begins is None or name in found or BEGINS[begins.group(1)] != kind:
            raise TableError(
                f"Read {path}.",
                f"Row {number} says {file!r}, {label!r}"
                + (" for the second time." if name in found else "."),
                f"Rows are a file (n001.tif, b001.tif, is001.tif, iv001.tif) and its class "
                f"({', '.join(CLASSES)}), no header: restore the organisers' file.",
            )
        found[name] = kind
    return found


def read_patients(path: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Patient by name of the photograph, of the table on the challenge's page.

    Raises:
        TableError: A column is absent, or a photograph is of two patients.
    """
    table, column = table_with(path, ("image", "patient_id"), columns)
    found: dict[str, str] = {}
    pairs = zip(table.frame[column["image"]], table.frame[column["patient_id"]], strict=True)
    for row, (image, patient) in zip(table.frame.index, pairs, strict=True):
        if is_missing(patient):
            continue
        name = re.sub(r"\.tiff?$", "", str(image).strip().lower())
        if found.setdefault(name, str(patient)) != str(patient):
            raise TableError(
                f"Read the patients of {path}.",
                f"Row {row} says that {name} is of patient {patient}, a row above it of {found[name]}.",
                "A photograph is of one patient: correct the table.",
            )
    return found


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    write_tables(place, found, train=found.used("train"), test=found.used("test-unlabelled"))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Photographs are maps like slides; all of them is tissue."""
    return slide_steps(
        settings,
        place,
        [WORDS],
        test=bool(found.used("test-unlabelled")),
        split="site" if any(case.site for case in found.used("train")) else "random",
        compress_more={"tissue": {"source": "all"}},
    )


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """Scores by cross-validation, and the classes of the test photographs."""
    outcome = Outcome()
    notes = []
    if any(case.group_source == "none" for case in found.used("train")):
        notes.append(
            "Not every photograph has a known patient: these scores are of photographs, not of patients, and "
            "may be too good."
        )
    scores = run_scores(settings, place)
    scores.sort(key=lambda score: score.name != "Accuracy")
    keep_scores(settings, place, scores, notes, outcome)
    tested = found.used("test-unlabelled")
    if tested:
        path = place.out / "submission.csv"
        predictions = predictions_of_test(place)
        names = {case.slide_id: case.path.name for case in tested}
        require_all(place, predictions, list(names), str(path))
        rows = [[file, predictions.loc[name]["class.predicted"]] for name, file in names.items()]
        write_text(path, csv_text(["file", "class"], rows))
        outcome.files.append(path)
        outcome.lines.append(
            f"Classes of the test set: {path} ({len(rows)} photographs; the organisers' own form of "
            "submissions is not known here: bring it into theirs)"
        )
    return outcome
