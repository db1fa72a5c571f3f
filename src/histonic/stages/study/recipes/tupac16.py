"""TUPAC16, tasks 1 and 2: proliferation score and molecular score of whole slides, as in NIC and NIC-MTL."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from histonic.core.errors import RunError, TableError
from histonic.core.files import write_text
from histonic.core.progress import Progress
from histonic.data.names import SLIDE_EXTENSIONS
from histonic.metrics.challenges.correlations import fisher_interval
from histonic.stages.study.frame.cases import Case, Finding, Survey, missing_files
from histonic.stages.study.frame.files import all_files, by_name, extra_files, gaps, headless_rows, the_file
from histonic.stages.study.frame.leaks import shipped_encoder_note
from histonic.stages.study.frame.plan import Outcome, Place, entered, slide_steps, write_tables
from histonic.stages.study.frame.results import keep_scores, predictions_of_test, require_all, run_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step

TITLE = "TUPAC16: tumour proliferation, tasks 1 (score) and 2 (molecular score)"
LICENCE = "slides are of TCGA-BRCA (CC BY 3.0); the licence of the labels is not stated"
TARGETS = ("score", "molecular")
TRAINED, TESTED = 500, 321
"""Slides that the organisers ship."""
TRUTH = "training_ground_truth.csv"
SCORES = ("1", "2", "3")
NOT_ENTERED = "-1"
SLIDE = r"(tupac-{part}-\d{{3}})\.(?:svs|tiff?|ndpi|mrxs)"
WORDS = {"score": "score:ordinal:score:1<2<3", "molecular": "molecular:regression:molecular"}
PUBLISHED = (("NIC", 0.558), ("streaming CNN", 0.570), ("challenge winner", 0.617), ("NIC-MTL", 0.632))
"""Spearman correlation on the test slides. Tellez et al. 2019, 2020; Pinckaers et al.; Veta et al."""


def survey(settings: RecipeSettings) -> Survey:
    """Find slides, labels and what else of the challenge lies in the folder."""
    files = all_files(settings.data)
    truth, findings = the_file(files, re.escape(TRUTH))
    slides = {}
    for part in ("tr", "te"):
        found, doubled = by_name(files, SLIDE.format(part=part), "slide")
        slides[part] = {int(name[-3:]): path for (name,), path in found.items()}
        findings += doubled
    labels = {} if truth is None else read_truth(truth, slides["tr"])
    recognised = [
        f"recognised: {TITLE}",
        f"licence: {LICENCE}",
        f"{len(slides['tr'])} of {TRAINED} training slides, {len(slides['te'])} of {TESTED} test slides "
        f"({_edition(files)})",
        *_others(files),
    ]
    findings += _missing(settings, truth, labels, slides)
    findings += extra_files(files, [*slides["tr"].values(), *slides["te"].values(), *_tiles(files)], _SLIDES)
    findings += shipped_encoder_note(
        settings,
        "crops of TUPAC16's mitosis set, and began with weights into which 40 of its slides had gone, "
        "unlabelled",
    )
    findings.append(
        Finding(
            "note",
            "The slides are of TCGA-BRCA: an encoder or a survival cohort of TCGA-BRCA has seen them.",
            "Nothing shipped says which of its patients they are.",
        )
    )
    cases = [
        _case(number, path, "TR", "train", labels.get(number, {})) for number, path in slides["tr"].items()
    ]
    cases += [_case(number, path, "TE", "test-unlabelled", {}) for number, path in slides["te"].items()]
    cases.sort(key=lambda case: case.slide_id)
    return Survey(tuple(recognised), tuple(cases), tuple(findings))


_SLIDES = tuple(ending for ending in SLIDE_EXTENSIONS if ending not in (".dcm",))


def read_truth(path: Path, slides: Mapping[int, Path]) -> dict[int, dict[str, str]]:
    """The labels by the number of the slide: row n is of TUPAC-TR-n, and nothing in the file says so.

    Raises:
        TableError: A row is no pair of score and molecular score, or rows and slides cannot belong together.
    """
    rows = headless_rows(path, ("score", "molecular"))
    asked = f"Read {path}: row n is of TUPAC-TR-n, two columns (mitotic score, molecular score), no header."
    for number, (score, molecular) in rows:
        if score not in SCORES:
            todo = "It holds no header; the first column is 1, 2 or 3. Restore the organisers' file."
            raise TableError(asked, f"Row {number}, first column is {score!r}.", todo)
        if not _is_number(molecular):
            raise TableError(
                asked, f"Row {number}, second column is {molecular!r}, no number.", "Restore the file."
            )
    largest = max(slides, default=0)
    if [number for number, _ in rows] != list(range(1, len(rows) + 1)):
        raise TableError(asked, "It has a header or empty rows.", "Restore the organisers' file.")
    if slides and len(rows) != TRAINED and len(rows) != largest:
        raise TableError(
            asked,
            f"It has {len(rows)} rows, the organisers' {TRAINED}, and the last slide here is "
            f"TUPAC-TR-{largest:03d}: with rows lost, all labels behind them would be of other slides.",
            "Restore the organisers' file.",
        )
    return {
        row: {"score": score, "molecular": molecular}
        for row, (_, (score, molecular)) in enumerate(rows, start=1)
    }


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?|[+-]?\.\d+", text) is not None


def _case(number: int, path: Path, part: str, split: str, labels: Mapping[str, str]) -> Case:
    name = f"TUPAC-{part}-{number:03d}"
    full = {"score": "", "molecular": "", **labels}
    return Case(name, path, name, full, split, group_source="file name")


def _missing(
    settings: RecipeSettings,
    truth: Path | None,
    labels: Mapping[int, Mapping[str, str]],
    slides: Mapping[str, Mapping[int, Path]],
) -> list[Finding]:
    if truth is None:
        return [Finding("error", f"missing: {TRUTH}.", "Without it no slide has a label.")]
    absent = [f"TUPAC-TR-{number:03d}" for number in labels if number not in slides["tr"]]
    found = missing_files(absent, "slides of rows with labels", allowed=settings.allow_missing)
    holes = [f"TUPAC-TE-{number:03d}" for number in gaps(list(slides["te"]))]
    found += missing_files(holes, "test slides", allowed=settings.allow_missing)
    if len(labels) < TRAINED or len(slides["te"]) < TESTED:
        found.append(
            Finding(
                "warning",
                f"A part of the challenge: {len(labels)} of {TRAINED} labels, {len(slides['te'])} of "
                f"{TESTED} test slides.",
                f"The organisers score submissions of {TESTED} rows only.",
            )
        )
    return found


def _edition(files: list[Path]) -> str:
    folders = {file.parent.name for file in files}
    own = [name for name in ("training_image_data", "testing_image_data") if name in folders]
    return f"in the organisers' folders {' and '.join(own)}" if own else "in folders of other names"


def _tiles(files: list[Path]) -> list[Path]:
    """Images of the mitosis sets."""
    return [file for file in files if re.search(r"mitoses[-_]", str(file.parent), re.IGNORECASE)]


def _others(files: list[Path]) -> list[str]:
    regions = [file for file in files if re.fullmatch(r"TUPAC-TR-\d{3}-ROI\.csv", file.name, re.IGNORECASE)]
    tiles = [file for file in _tiles(files) if file.suffix.lower() in (".tif", ".tiff")]
    told = []
    if regions:
        told.append(f"{len(regions)} files of regions of interest (not used)")
    if tiles:
        told.append(f"{len(tiles)} images of the mitosis set (for an encoder: histonic tiles, encoder train)")
    return told


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    trained = found.used("train")
    write_tables(place, found, train=trained, test=found.used("test-unlabelled"))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Compress in 8 orientations, four folds of two networks, and the test slides by all eight."""
    targets = [WORDS[name] for name in entered(settings, TARGETS)]
    return slide_steps(settings, place, targets, test=bool(found.used("test-unlabelled")))


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """Scores by cross-validation, and the submission of both tasks."""
    outcome = Outcome()
    keep_scores(settings, place, run_scores(settings, place), _notes(), outcome)
    tested = [case.slide_id for case in found.used("test-unlabelled")]
    if not tested:
        outcome.lines.append("There is no test slide, and so no submission.")
        return outcome
    path = place.out / "submission.csv"
    predictions = predictions_of_test(place)
    numbers = [int(name[-3:]) for name in tested]
    holes = gaps(numbers)
    if holes and settings.allow_missing:
        lacking = sorted({*range(1, TESTED + 1), *holes} - set(numbers))
        rows = "1 row is" if len(lacking) == 1 else f"{len(lacking)} rows are"
        outcome.lines.append(
            f"No submission: row n is of TUPAC-TE-n, and {rows} lacking, the first of "
            f"TUPAC-TE-{lacking[0]:03d}. Predictions of the others: {place.predictions}"
        )
        return outcome
    if holes:
        raise RunError(
            f"Write {path}.",
            f"Row n is of TUPAC-TE-n, and TUPAC-TE-{holes[0]:03d} is not there ({len(holes)} such slides).",
            "Download them; a submission cannot leave slides out.",
        )
    require_all(place, predictions, tested, str(path))
    mine = entered(settings, TARGETS)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name in tested:
        row = predictions.loc[name]
        writer.writerow([row[f"{each}.predicted"] if each in mine else NOT_ENTERED for each in TARGETS])
    write_text(path, text.getvalue())
    outcome.files.append(path)
    short = "" if len(tested) == TESTED else f"; the organisers want {TESTED}"
    outcome.lines.append(f"Submission: {path} ({len(tested)} rows without header: score, molecular{short})")
    return outcome


def _notes() -> list[str]:
    told = []
    for name, value in PUBLISHED:
        low, high = fisher_interval(value, TESTED)
        told.append(f"{name} {value:.3f} ({low:.3f} to {high:.3f})")
    return [
        "Published Spearman correlations on the test slides, with 95 % intervals by Fisher's z (those in "
        f"print are about 68 %): {', '.join(told)}.",
        "Cross-validated scores of the training slides are not scores of the challenge: test labels were "
        "never released.",
    ]
