"""CAMELYON16: is there a metastasis in the slide (AUC), and where (FROC)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from histonic.core.errors import SettingsError, TableError
from histonic.core.files import csv_text, write_text
from histonic.core.progress import Progress
from histonic.runs.run import read_facts
from histonic.stages.study.frame.cases import (
    Case,
    Finding,
    Survey,
    left_out,
    missing_files,
    named,
    no_groups,
    unknown_kept,
)
from histonic.stages.study.frame.files import all_files, by_name, extra_files, gaps, headless_rows, the_file
from histonic.stages.study.frame.leaks import shipped_encoder_note
from histonic.stages.study.frame.lesions import (
    METHOD,
    annotation_findings,
    detection_files,
    froc_scores,
    read_lesions,
    write_lesions,
)
from histonic.stages.study.frame.plan import Outcome, Place, slide_steps, write_tables
from histonic.stages.study.frame.results import (
    beside_truth,
    keep_scores,
    predictions_of_test,
    require_all,
    run_scores,
    target_scores,
)
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step

TITLE = "CAMELYON16: lymph node metastases, slides and lesions"
LICENCE = "CC0"
TARGETS = ("tumour",)
SHIPPED = {"normal": 160, "tumor": 111, "test": 130}
"""Largest number in the names of each kind."""
TEST_SLIDES = 129
SLIDE = r"(normal|tumor|test)_(\d{3})\.tiff?"
DRAWN = r"((?:tumor|test)_\d{3})\.xml"
REFERENCE = r"reference\.csv"
REMOVED = {
    "normal_086": "the organisers took it out (misclassified; it became tumor_111)",
    "test_049": "the organisers took it out (a duplicate)",
}
NOT_SCORED_FOR_LESIONS = "test_114"
PART_DRAWN = tuple(
    f"tumor_{number:03d}"
    for number in (
        *(10, 15, 18, 20, 25, 29, 33, 34, 44, 46, 51),
        *(54, 55, 56, 67, 79, 85, 92, 95, 110),
    )
)
"""Slides in which not every metastasis is drawn."""
WORDS = "tumour:binary:tumour:positive=tumor"


def survey(settings: RecipeSettings) -> Survey:
    """Find slides, annotations and the reference of the test slides, in either of the layouts."""
    files = all_files(settings.data)
    slides, findings = by_name(files, SLIDE, "slide")
    drawn, doubled = by_name(files, DRAWN, "annotation")
    findings += doubled
    reference, doubled = the_file(files, REFERENCE)
    findings += doubled
    truth = {} if reference is None else read_reference(reference)
    paths = {f"{kind}_{number}": path for (kind, number), path in slides.items()}
    cases = [_case(settings, name, path, truth) for name, path in sorted(paths.items())]
    findings += _missing(settings, paths, truth, reference)
    shown = {name: path for (name,), path in drawn.items()}
    tumours = {
        case.slide_id: case.path
        for case in cases
        if case.split == "test" and case.labels["tumour"] == "tumor" and not case.left_out
    }
    tumours.pop(NOT_SCORED_FOR_LESIONS, None)
    findings += annotation_findings(tumours, shown)
    if settings.detections is not None:
        try:
            for path in detection_files(settings.detections, [case.slide_id for case in cases]).values():
                read_lesions(path)
        except SettingsError as error:
            findings.append(
                Finding("error", f"--detections {settings.detections}: {error.found}", error.todo)
            )
    findings += left_out(cases) + unknown_kept(settings.keep, list(REMOVED))
    masks = [file for file in files if re.fullmatch(r".*_mask\.tiff?", file.name, re.IGNORECASE)]
    findings += extra_files(files, [*slides.values(), *masks], (".tif", ".tiff"))
    here = [name for name in PART_DRAWN if name in paths]
    if here:
        what = f"metastases are drawn in part only: {named(here)}."
        findings.append(Finding("note", what, "Draw no negative tiles from them; as slides they are sound."))
    if "normal_144" in paths:
        findings.append(
            Finding("note", "normal_144 has a black background in some copies.", "Look at its tissue.")
        )
    findings += shipped_encoder_note(
        settings,
        "labelled tiles of PatchCamelyon, which are of these slides, and began with weights that learned "
        "from 60 of the slides, unlabelled",
    )
    findings.append(no_groups("no table says which slides are of one patient"))
    counts = ", ".join(f"{sum(name.startswith(kind) for name in paths)} {kind}" for kind in SHIPPED)
    recognised = (
        f"recognised: {TITLE} ({_edition(files, slides)})",
        f"licence: {LICENCE}",
        f"slides: {counts}; {len(drawn)} annotations, {len(masks)} masks, "
        f"{len(truth)} references of test slides",
    )
    return Survey(recognised, tuple(cases), tuple(findings), {"drawn": shown})


def read_reference(path: Path) -> dict[str, str]:
    """Normal or tumor by test slide; with or without a header, further columns are not used.

    Raises:
        TableError: A row is neither.
    """
    found: dict[str, str] = {}
    for number, (image, kind) in headless_rows(path, ("image", "type"), more=True):
        name = re.sub(r"\.tiff?$", "", image.lower())
        if number == 1 and name in ("image", "name", "slide", "filename"):
            continue
        if not re.fullmatch(r"test_\d{3}", name) or kind.lower() not in ("normal", "tumor") or name in found:
            raise TableError(
                f"Read {path}.",
                f"Row {number} says {image!r}, {kind!r}"
                + (" for the second time." if name in found else "."),
                "The first column is test_NNN, the second Normal or Tumor: restore the organisers' file.",
            )
        found[name] = kind.lower()
    return found


def _case(settings: RecipeSettings, name: str, path: Path, truth: Mapping[str, str]) -> Case:
    kind = name.partition("_")[0]
    label = kind if kind != "test" else truth.get(name, "")
    split = "train" if kind != "test" else "test" if label else "test-unlabelled"
    reason = "" if name in settings.keep else REMOVED.get(name, "")
    return Case(name, path, name, {"tumour": label}, split, left_out=reason)


def _missing(
    settings: RecipeSettings, paths: Mapping[str, Path], truth: Mapping[str, str], reference: Path | None
) -> list[Finding]:
    found = []
    for kind, last in SHIPPED.items():
        numbers = [int(name[-3:]) for name in paths if name.startswith(kind)]
        holes = [f"{kind}_{number:03d}" for number in gaps(numbers)]
        absent = [name for name in holes if name not in REMOVED]
        found += missing_files(absent, f"{kind} slides", allowed=settings.allow_missing)
        if numbers and max(numbers) < last:
            what = f"A part of the challenge: {kind} slides end with {max(numbers):03d}, not {last:03d}."
            found.append(Finding("warning", what))
    absent = [name for name in truth if name not in paths and name not in REMOVED]
    found += missing_files(absent, "test slides of the reference", allowed=settings.allow_missing)
    tested = [name for name in paths if name.startswith("test") and name not in (truth.keys() | REMOVED)]
    if reference is not None and tested:
        what = f"no row of the reference: {named(tested)}."
        found.append(Finding("warning", what, "They are predicted, and cannot be scored."))
    if reference is None and any(name.startswith("test") for name in paths):
        found.append(
            Finding("warning", "missing: reference.csv.", "Test slides are predicted, and cannot be scored.")
        )
    for kind in ("normal", "tumor"):
        if not any(name.startswith(kind) for name in paths):
            found.append(Finding("error", f"missing: all {kind} slides."))
    return found


def _edition(files: Sequence[Path], slides: Mapping[tuple[str, ...], Path]) -> str:
    if any(path.name[0].isupper() for path in slides.values()):
        return "names of the old challenge disk"
    if any(path.parent.name == "images" and path.name.startswith("normal") for path in slides.values()):
        return "AWS layout"
    if any(path.parent.name in ("normal", "tumor") for path in slides.values()):
        return "GigaDB layout"
    return "folders of other names"


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    write_tables(place, found, train=found.used("train"), test=found.used("test", "test-unlabelled"))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Slides are learned by their kind; test slides are predicted, and explained for the lesions."""
    tested = found.used("test", "test-unlabelled")
    made = slide_steps(settings, place, [WORDS], test=bool(tested))
    if tested and settings.detections is None:
        values = {
            "run": str(place.run),
            "store": str(place.test_maps),
            "slide": [case.slide_id for case in tested],
            "target": ["tumour"],
            "method": METHOD,
            "checks": False,
        }
        made.append(Step("lesions of test slides", "explain", values))
    return made


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """AUC of the test slides, and both submissions with their scores."""
    outcome = Outcome()
    scores = run_scores(settings, place)
    tested = found.used("test", "test-unlabelled")
    notes = [
        "No table says which slides are of one patient: training folds may share patients.",
    ]
    if tested:
        path = place.out / "submission.csv"
        predictions = predictions_of_test(place)
        names = [case.slide_id for case in tested]
        require_all(place, predictions, names, str(path))
        chance = {name: float(predictions.loc[name]["tumour.p_tumor"]) for name in names}
        write_text(
            path, csv_text(["image", "probability"], [[f"{n}.tif", f"{chance[n]:.6f}"] for n in names])
        )
        outcome.files.append(path)
        short = "" if len(names) >= TEST_SLIDES else f"; the organisers have {TEST_SLIDES}"
        outcome.lines.append(f"Submission, slides: {path} ({len(names)} test slides{short})")
        truth = {case.slide_id: case.labels["tumour"] for case in tested}
        if any(truth.values()):
            task = read_facts(place.run).tasks[0]
            table = beside_truth(task, predictions, truth)
            scores += target_scores("tumour, test slides", table, settings)
        lesions = settings.detections
        if lesions is None:
            lesions = place.out / "lesions"
            count = write_lesions(place, chance, lesions)
            outcome.files.append(lesions)
            outcome.lines.append(
                f"Submission, lesions: {lesions} (p, x, y of {count} peaks of {METHOD}, {len(names)} slides)"
            )
            notes.append(
                f"Lesions are peaks of {METHOD} on networks that learned from slide labels alone; a cell is "
                "as wide as a tile of the encoder."
            )
        scored = {name: kind for name, kind in truth.items() if kind and name != NOT_SCORED_FOR_LESIONS}
        if scored:
            scores += froc_scores(place, scored, found.facts["drawn"], lesions)
    keep_scores(settings, place, scores, notes, outcome)
    return outcome
