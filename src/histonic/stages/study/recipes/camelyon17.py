"""CAMELYON17: node classes, and from five nodes the pN stage of each (artificial) patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from histonic.core.errors import RunError, TableError
from histonic.core.files import csv_text, write_text
from histonic.core.progress import Progress
from histonic.metrics.challenges.nodes import NODE_CLASSES, PN_STAGES, pn_stage
from histonic.runs.predictions import read_predictions
from histonic.runs.run import read_facts
from histonic.stages.study.frame.cases import Case, Finding, Survey, missing_files, named
from histonic.stages.study.frame.files import all_files, by_name, extra_files, table_with, the_file
from histonic.stages.study.frame.leaks import shipped_encoder_note
from histonic.stages.study.frame.plan import Outcome, Place, slide_steps, write_tables
from histonic.stages.study.frame.results import (
    ScoreLine,
    kappa_score,
    keep_scores,
    predictions_of_test,
    require_all,
    run_scores,
)
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step

TITLE = "CAMELYON17: lymph node metastases, pN stage"
LICENCE = "CC0"
TARGETS = ("node",)
NODES = 5
"""Of a patient."""
TRAINED = range(100)
TESTED = range(100, 200)
PER_CENTRE = 20
SLIDE = r"patient_(\d{3})_node_(\d)\.tiff?"
TABLES = r"(?:stage_labels|stages)\.csv"
WORDS = "node:ordinal:node:negative<itc<micro<macro"


def survey(settings: RecipeSettings) -> Survey:
    """Find the nodes' slides, their classes and the patients' stages."""
    files = all_files(settings.data)
    table, findings = the_file(files, TABLES)
    slides, doubled = by_name(files, SLIDE, "slide")
    findings += doubled
    nodes: dict[str, str] = {}
    stages: dict[str, str] = {}
    if table is None:
        findings.append(Finding("error", "missing: stage_labels.csv.", "Without it no slide has a label."))
    else:
        nodes, stages = read_stages(table)
        findings += stages_that_differ(nodes, stages)
    cases = [_case(key, path, nodes) for key, path in sorted(slides.items())]
    findings += _other_centres(cases)
    findings += _missing(settings, {case.slide_id for case in cases}, nodes)
    findings += extra_files(files, list(slides.values()), (".tif", ".tiff"))
    findings += shipped_encoder_note(
        settings,
        "labelled tiles of PatchCamelyon, which are of CAMELYON16, two of whose hospitals are here, too",
    )
    findings.append(
        Finding(
            "note",
            "The patients are artificial: their nodes are of different people.",
            "So centres, not patients, are kept apart in the folds, and each node is a case of its own.",
        )
    )
    edition = "stages.csv, later edition" if table and table.name.lower() == "stages.csv" else "first edition"
    recognised = (
        f"recognised: {TITLE} ({edition})",
        f"licence: {LICENCE}",
        f"{len(cases)} slides of {len({case.labels['patient'] for case in cases})} patients; "
        f"{len(nodes)} node classes, {len(stages)} patient stages",
    )
    return Survey(recognised, tuple(cases), tuple(findings), {"stages": stages})


def read_stages(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Classes of nodes by slide, and stages by patient; both stand in one table.

    Raises:
        TableError: A column is absent, or a row is neither a known patient's stage nor a node's class.
    """
    table, column = table_with(path, ("patient", "stage"))
    nodes: dict[str, str] = {}
    stages: dict[str, str] = {}
    for row, name, value in zip(
        table.frame.index, table.frame[column["patient"]], table.frame[column["stage"]], strict=True
    ):
        stem = re.sub(r"\.(zip|tiff?)$", "", name.strip().lower())
        is_node = re.fullmatch(r"patient_\d{3}_node_\d", stem) is not None
        is_patient = re.fullmatch(r"patient_\d{3}", stem) is not None
        known = {each.lower(): each for each in (NODE_CLASSES if is_node else PN_STAGES)}
        held = nodes if is_node else stages
        if not (is_node or is_patient) or value.strip().lower() not in known or stem in held:
            why = "stands there twice" if stem in held else f"has the stage {value!r}"
            raise TableError(
                f"Read {path}.",
                f"Row {row}: {name!r} {why}.",
                f"Rows are patient_NNN.zip with {', '.join(PN_STAGES)}, or patient_NNN_node_N.tif with "
                f"{', '.join(NODE_CLASSES)}; restore the organisers' table.",
            )
        held[stem] = known[value.strip().lower()]
    return nodes, stages


def stages_that_differ(nodes: Mapping[str, str], stages: Mapping[str, str]) -> list[Finding]:
    """Patients whose stage is not the one that their nodes make."""
    odd = []
    for patient, classes in _by_patient(nodes).items():
        if (
            len(classes) == NODES
            and patient in stages
            and pn_stage(list(classes.values())) != stages[patient]
        ):
            odd.append(f"{patient} ({stages[patient]}, by its nodes {pn_stage(list(classes.values()))})")
    return [Finding("warning", f"stage and nodes differ: {', '.join(odd)}.")] if odd else []


def _by_patient(nodes: Mapping[str, str]) -> dict[str, dict[str, str]]:
    grouped: dict[str, dict[str, str]] = {}
    for node, name in sorted(nodes.items()):
        grouped.setdefault(node[:11], {})[node] = name
    return grouped


def centre_of(number: int, path: Path) -> str:
    """The centre: by the folder, of training patients else by their number; empty where nothing says it.

    Example:
        >>> centre_of(45, Path("patient_045_node_1.tif")), centre_of(145, Path("a/patient_145_node_1.tif"))
        ('2', '')
    """
    for part in reversed(path.parts[:-1]):
        named = re.fullmatch(r"cent(?:er|re)_(\d)", part, re.IGNORECASE)
        if named:
            return named.group(1)
    return str(number // PER_CENTRE) if number in TRAINED else ""


def _case(key: tuple[str, ...], path: Path, nodes: Mapping[str, str]) -> Case:
    patient = f"patient_{key[0]}"
    name = f"{patient}_node_{key[1]}"
    number = int(key[0])
    label = nodes.get(name, "")
    split = "train" if number in TRAINED else "test" if label else "test-unlabelled"
    labels = {"node": label, "patient": patient}
    # A node is a case of its own: its patient is made up of nodes of different people.
    return Case(name, path, name, labels, split, centre_of(number, path), group_source="file name")


def _other_centres(cases: Sequence[Case]) -> list[Finding]:
    """Training slides in the folder of another centre than their patient's number says."""
    odd = [
        f"{case.slide_id} (centre_{case.site})"
        for case in cases
        if (number := int(case.labels["patient"][-3:])) in TRAINED and case.site != str(number // PER_CENTRE)
    ]
    what = f"in the folder of another centre than by their number: {named(odd)}."
    todo = "The folder is used, and centres are kept apart by it: move them if it is wrong."
    return [Finding("warning", what, todo)] if odd else []


def _missing(settings: RecipeSettings, there: set[str], nodes: Mapping[str, str]) -> list[Finding]:
    found = []
    absent = [name for name in nodes if name not in there]
    found += missing_files(absent, "slides of nodes with a class", allowed=settings.allow_missing)
    patients = {name[:11] for name in there}
    tested = [
        f"{patient}_node_{number}"
        for patient in sorted(patients)
        if int(patient[-3:]) in TESTED
        for number in range(NODES)
        if f"{patient}_node_{number}" not in there
    ]
    found += missing_files(tested, "nodes of test patients", allowed=settings.allow_missing)
    unlabelled = [name for name in there if int(name[8:11]) in TRAINED and name not in nodes]
    if unlabelled:
        found.append(
            Finding("error", f"Training slides without a class: {', '.join(sorted(unlabelled)[:8])}.")
        )
    return found


def write_inputs(settings: RecipeSettings, found: Survey, place: Place) -> None:
    """Write the tables."""
    write_tables(place, found, train=found.used("train"), test=found.used("test", "test-unlabelled"))


def steps(settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
    """Nodes are learned with centres kept apart."""
    centres = len({case.site for case in found.used("train")})
    test = bool(found.used("test", "test-unlabelled"))
    split = "site" if _by_centre(found) else "random"
    # A part for each centre, unless fewer are asked for.
    folds = min(settings.folds, centres) if "folds" in settings.model_fields_set else centres
    more = {"folds": max(3, folds)} if split == "site" else {}
    return slide_steps(settings, place, [WORDS], test=test, split=split, train_more=more)  # type: ignore[arg-type]


def _by_centre(found: Survey) -> bool:
    """Whether there are centres enough to keep them apart."""
    return len({case.site for case in found.used("train")}) > 2


def finish(settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
    """Node scores, the kappa of the stages by cross-validation, and the submission."""
    outcome = Outcome()
    scores = run_scores(settings, place)
    task = read_facts(place.run).tasks[0]
    table = read_predictions(place.run, task)
    called = dict(zip(table.texts("patient_id"), table.texts("predicted"), strict=True))
    trained = {
        patient: stage for patient, stage in found.facts["stages"].items() if int(patient[-3:]) in TRAINED
    }
    apart = _by_centre(found)
    how = "by centre" if apart else "at random"
    scores += stage_scores(f"pN stage, cross-validated {how}", called, trained, settings)
    tested = found.used("test", "test-unlabelled")
    notes = [
        "Nodes were called by networks that saw no slide of their centre."
        if apart
        else "Folds are random, for want of centres: networks saw slides of the same centre and of the same "
        "made-up patient as those that they called."
    ]
    if tested:
        names = [case.slide_id for case in tested]
        calls = _submit(place, names, outcome, allow_missing=settings.allow_missing)
        known = {
            patient: stage for patient, stage in found.facts["stages"].items() if int(patient[-3:]) in TESTED
        }
        scores += stage_scores("pN stage, test patients", calls, known, settings) if known else []
    keep_scores(settings, place, scores, notes, outcome)
    return outcome


def stage_scores(
    of: str, nodes: Mapping[str, str], stages: Mapping[str, str], settings: RecipeSettings
) -> list[ScoreLine]:
    """Quadratic kappa of the stages that the called nodes make; patients without five calls are left out."""
    calls = {
        patient: pn_stage(list(classes.values()))
        for patient, classes in _by_patient(nodes).items()
        if len(classes) == NODES and patient in stages
    }
    if len(calls) < 2:
        why = f"{len(calls)} patient(s) have a stage and {NODES} called nodes."
        return [ScoreLine(of=of, n=len(calls), name="Quadratic weighted kappa", value=None, note=why)]
    order = {stage: number for number, stage in enumerate(PN_STAGES)}
    truth = np.array([order[stages[patient]] for patient in calls], np.int64)
    called = np.array([order[stage] for stage in calls.values()], np.int64)
    return [kappa_score(of, truth, called, len(PN_STAGES), settings)]


def _submit(
    place: Place, names: Sequence[str], outcome: Outcome, *, allow_missing: bool = False
) -> dict[str, str]:
    """Write the submission; the called class by node.

    Args:
        place: Of the study.
        names: Of the test slides.
        outcome: The file is added.
        allow_missing: Patients who have not all nodes are left out.

    Raises:
        RunError: A patient has not all nodes.
    """
    path = place.out / "submission.csv"
    predictions = predictions_of_test(place)
    require_all(place, predictions, names, str(path))
    calls = {name: str(predictions.loc[name]["node.predicted"]) for name in names}
    rows: list[list[str]] = []
    without: list[str] = []
    for patient, classes in _by_patient(calls).items():
        if len(classes) != NODES and allow_missing:
            without.append(patient)
            continue
        if len(classes) != NODES:
            raise RunError(
                f"Write {path}.",
                f"{patient} has {len(classes)} of {NODES} nodes; a stage needs all of them.",
                "Download its other slides, or move these out of the folder.",
            )
        rows.append([f"{patient}.zip", pn_stage(list(classes.values()))])
        rows += [[f"{node}.tif", name] for node, name in classes.items()]
    if not rows:
        outcome.lines.append("No submission: no test patient has all five nodes.")
        return calls
    write_text(path, csv_text(["patient", "stage"], rows))
    outcome.files.append(path)
    count = len(_by_patient(calls)) - len(without)
    if without:
        outcome.lines.append(f"Not in the submission, for want of nodes: {named(without)}.")
    short = "" if count == len(TESTED) else f"; the organisers refuse fewer than {len(TESTED)}"
    outcome.lines.append(f"Submission: {path} ({count} patients{short})")
    return calls
