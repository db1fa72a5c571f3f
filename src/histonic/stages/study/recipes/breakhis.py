"""BreakHis: benign or malignant at four magnifications, by patient-level recognition rates of five trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from histonic.core.files import csv_text, write_text
from histonic.core.progress import Progress
from histonic.data.tilesets.plan import TileSetSettings
from histonic.metrics.challenges.patients import recognition_rate
from histonic.stages.study.frame.cases import Case, Finding, Survey, named
from histonic.stages.study.frame.files import all_files, by_name, extra_files
from histonic.stages.study.frame.plan import Outcome, Place, encoder_step, write_tables
from histonic.stages.study.frame.results import ScoreLine, keep_scores
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.frame.tiles import coded_tiles
from histonic.stages.study.steps.step import Step

TITLE = "BreakHis: benign or malignant breast tumours at four magnifications"
LICENCE = "CC BY 4.0 as others state it; the authors ask for a request"
TARGETS = ("malignant",)
IMAGE = r"SOB_(B|M)_(A|F|PT|TA|DC|LC|MC|PC)-(\d\d)-(\d+[A-Z]*)-(40|100|200|400)-(\d+)\.png"
MAGNIFICATIONS = ("40", "100", "200", "400")
COUNTS = {"40": 1_995, "100": 2_081, "200": 2_013, "400": 1_820}
CLASSES = ("benign", "malignant")
TRIALS = 5
TEST_SHARE = 0.3
FEWEST_PATIENTS = 2
"""Of a class: one to learn from, one to test."""


def survey(settings: RecipeSettings) -> Survey:
    """Find the images; names say class, type, patient and magnification."""
    files = all_files(settings.data)
    images, findings = by_name(files, IMAGE, "image")
    cases = []
    classes: dict[str, set[str]] = {}
    for (kind, type_, year, slide, magnification, _), path in sorted(images.items()):
        patient = f"{year}-{slide.upper()}"
        label = CLASSES[kind == "m"]
        classes.setdefault(patient, set()).add(label)
        labels = {"label": label, "type": type_.upper(), "magnification": magnification}
        cases.append(Case(path.stem, path, patient, labels, "train", group_source="file name"))
    both = sorted(patient for patient, found in classes.items() if len(found) > 1)
    if both:
        what = f"patients both benign and malignant: {named(both)}."
        findings.append(Finding("error", what, "A patient has one class: look at the folders."))
    findings += _types(cases) + _too_few(cases)
    for magnification, wanted in COUNTS.items():
        here = sum(case.labels["magnification"] == magnification for case in cases)
        if here != wanted:
            findings.append(
                Finding("warning", f"{here:,} images of {magnification}X, the archive has {wanted:,}.")
            )
    findings += extra_files(files, list(images.values()), (".png",))
    patients = set(classes)
    benign = sum(found == {"benign"} for found in classes.values())
    recognised = (
        f"recognised: {TITLE}",
        f"licence: {LICENCE}",
        f"{len(cases):,} images of {len(patients)} patients ({benign} of them benign)",
    )
    return Survey(recognised, tuple(cases), tuple(findings))


def _types(cases: Sequence[Case]) -> list[Finding]:
    types: dict[str, set[str]] = {}
    for case in cases:
        types.setdefault(case.patient, set()).add(case.labels["type"])
    several = [
        f"{patient} ({' and '.join(sorted(each))})" for patient, each in types.items() if len(each) > 1
    ]
    what = f"patients of two types: {named(several)}."
    return [Finding("warning", what, "Their images are kept together.")] if several else []


def _too_few(cases: Sequence[Case]) -> list[Finding]:
    """Magnifications of which no trial can both learn and test a class."""
    found = []
    for magnification in sorted({case.labels["magnification"] for case in cases}, key=int):
        for label in CLASSES:
            count = len(
                {
                    case.patient
                    for case in cases
                    if case.labels["magnification"] == magnification and case.labels["label"] == label
                }
            )
            if count < FEWEST_PATIENTS:
                what = f"{count} {label} patient(s) at {magnification}X."
                todo = "A trial learns from some and tests others: unpack the whole archive."
                found.append(Finding("error", what, todo))
    return found


def set_name(magnification: str) -> str:
    """Of the tiles of one magnification."""
    return f"breakhis_{magnification}x"


def tile_plan(place: Place, magnification: str) -> TileSetSettings:
    """The set as other commands take it; nothing confirmed says its resolution, so that tiles fill."""
    return TileSetSettings(
        name=set_name(magnification),
        path=place.table(set_name(magnification)),
        classes=CLASSES,
        scale="fill",
        licence=LICENCE,
        duplicates="drop",
    )


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables, one a magnification."""
    write_tables(place, found)
    for magnification in _present(found):
        rows = [
            [str(case.path.resolve()), case.labels["label"], case.patient]
            for case in found.used("train")
            if case.labels["magnification"] == magnification
        ]
        write_text(place.table(set_name(magnification)), csv_text(["path", "label", "group"], rows))


def _present(found: Survey) -> list[str]:
    there = {case.labels["magnification"] for case in found.cases}
    return [each for each in MAGNIFICATIONS if each in there]


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Codes are of an encoder that has seen none of the five trials' patients: none is trained on them."""
    return encoder_step(settings, place)[0]


def trial_patients(patients: Sequence[str], malignant: Sequence[bool], trial: int, seed: int) -> set[str]:
    """The patients who are tested in a trial: 30 % of each class, at least one.

    Example:
        >>> len(trial_patients(list("abcdefghij"), [True] * 6 + [False] * 4, trial=0, seed=0))
        3
    """
    rng = np.random.default_rng([seed, trial])
    chosen: set[str] = set()
    for wanted in (False, True):
        names = sorted(name for name, bad in zip(patients, malignant, strict=True) if bad is wanted)
        count = max(1, round(TEST_SHARE * len(names))) if names else 0
        chosen |= {names[place] for place in rng.permutation(len(names))[:count]}
    return chosen


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """A model a magnification: mean and standard deviation of the recognition rate over five trials."""
    outcome = Outcome()
    encoder = encoder_step(settings, place)[1]
    malignant = {case.patient: case.labels["label"] == "malignant" for case in found.used("train")}
    scores, rows, name = [], [], ""
    for magnification in _present(found):
        coded = coded_tiles(
            place, tile_plan(place, magnification), encoder, settings.seed, progress, settings.device
        )
        name = coded.encoder
        group = np.array([str(each) for each in coded.tiles.group])
        rates = []
        here = sorted(set(group))
        for trial in range(TRIALS):
            tested = trial_patients(here, [malignant[each] for each in here], trial, settings.seed)
            inside = np.isin(group, sorted(tested))
            test: npt.NDArray[np.int64] = np.flatnonzero(inside).astype(np.int64)
            result = coded.probe(np.flatnonzero(~inside).astype(np.int64), test, settings.seed)
            right = result.predictions.called == result.predictions.truth.astype(np.int64)
            rates.append(recognition_rate(group[test].tolist(), right))
            rows.append([magnification, trial + 1, len(tested), len(test), f"{rates[-1]:.6f}"])
        scores.append(
            ScoreLine(
                of=f"{magnification}X, {TRIALS} trials",
                n=len(here),
                name="Patient-level recognition rate, mean",
                value=float(np.mean(rates)),
                note=f"Standard deviation over the trials {np.std(rates, ddof=1):.3f}.",
            )
        )
        outcome.lines.append(
            f"{magnification}X: patient-level recognition rate {np.mean(rates):.3f}, standard deviation "
            f"{np.std(rates, ddof=1):.3f}"
        )
    path = place.out / "trials.csv"
    columns = ["magnification", "trial", "patients_tested", "images_tested", "recognition_rate"]
    write_text(path, csv_text(columns, rows))
    outcome.files.append(path)
    notes = [
        f"A linear model of the codes of {name}, one a magnification; patients are never split, about 30 % "
        "of each class are tested in a trial.",
        "Nothing confirmed says the microns per pixel: whole images fill the encoder's tile.",
    ]
    shown = len(outcome.lines)
    keep_scores(settings, place, scores, notes, outcome)
    del outcome.lines[shown : shown + len(scores)]
    return outcome
