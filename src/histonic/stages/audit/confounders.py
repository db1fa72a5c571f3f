"""Can site, scanner, resolution, colour or area alone predict the targets? The test and what it means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import Cohort
from histonic.core.progress import Progress
from histonic.core.task import Task
from histonic.data.tables.issues import list_names
from histonic.metrics.discrimination.confounding import (
    ConfounderScore,
    ScoredOutcome,
    class_outcome,
    number_outcome,
    score_confounders,
    survival_outcome,
)
from histonic.stages.audit.facts import Confounder
from histonic.stages.audit.findings import ConfounderResult, Finding

FEWEST_PATIENTS = 20
FEWEST_OF_KIND = 5
"""Patients of every class, or events, below which a target is not tested."""
LEVEL = 0.04
"""Chance of any alarm in a cohort without confounding; a little below 5 %, because permutations and ties are
finite (``benchmarks/audit_alarms.py``)."""
FIRST_STEPS = {
    "site": "Train with --split site, so that no site is in training and test at once, and look at the "
    "performance within sites.",
    "colour": "Colour may be stain, which is no finding, or tissue: a tumour is bluer. Look at the "
    "performance within sites, and test on slides of another laboratory.",
    "tissue": "Biopsies and resections may differ in outcome before anyone looks at them. Compare within one "
    "kind of specimen.",
    "share": "Small pieces, another framing of the scan, or tissue that was missed may go with the labels. "
    "Look at the slides of least and greatest share ('tissue.csv' and 'thumbnails' of the store), and "
    "compare within one kind of specimen.",
    "slides": "More slides may have been cut from patients who were known to be ill. Compare patients with "
    "equally many.",
}
OTHER_STEP = (
    "The labels go with how the slides were made. Look at the performance among slides that were made "
    "alike, and scan patients of all kinds on the same device if you can."
)
PATIENTS_ALIKE = "It is the same for all patients: {spread}."


def make_outcome(task: Task, targets: npt.NDArray[np.float64]) -> ScoredOutcome:
    """A target without missing values as the test takes it."""
    if task.kind == "survival":
        return survival_outcome(targets[:, 0], targets[:, 1] == 1)
    if task.kind in ("binary", "multiclass"):
        return class_outcome(targets.astype(np.int64))
    return number_outcome(targets)


def measure_of(task: Task) -> str:
    """What the share of pairs in the right order is called for a kind of target."""
    return "AUROC" if task.kind in ("binary", "multiclass") else "C-index"


def score_all(
    cohort: Cohort,
    confounders: Sequence[Confounder],
    *,
    permutations: int,
    seed: int,
    progress: Progress,
) -> list[ConfounderResult]:
    """Test all confounders against all targets.

    Args:
        cohort: Patients and targets.
        confounders: Of the same patients in the same order.
        permutations: Permutations of the targets, for the p-values.
        seed: Of permutations and folds.
        progress: One step.
    """
    progress.stage("confounders", 1)
    varying = [each for each in confounders if each.features.shape[1]]
    tested: list[tuple[Task, ScoredOutcome, npt.NDArray[np.int64]]] = []
    problems: dict[str, str] = {}
    notes: dict[str, str] = {}
    for task in cohort.tasks:
        targets = cohort.targets(task)
        known = np.flatnonzero(~np.isnan(targets.reshape(len(targets), -1)).any(axis=1))
        known, notes[task.name] = _without_rare(task, targets, known)
        problems[task.name] = _problem(task, targets[known])
        if not problems[task.name]:
            tested.append((task, make_outcome(task, targets[known]), known))
    cells: list[list[ConfounderScore]] = []
    if varying and tested:
        cells = score_confounders(
            [(outcome, rows) for _, outcome, rows in tested],
            [each.features for each in varying],
            permutations=permutations,
            rng=np.random.default_rng(seed),
        )
    progress.advance()
    found = {
        (task.name, each.name): (cell, len(rows))
        for (task, _, rows), row in zip(tested, cells, strict=False)
        for each, cell in zip(varying, row, strict=True)
    }
    return [
        _result_of(
            task, each, found.get((task.name, each.name)), f"{notes[task.name]} {problems[task.name]}".strip()
        )
        for task in cohort.tasks
        for each in confounders
    ]


def _without_rare(
    task: Task, targets: npt.NDArray[np.float64], known: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], str]:
    """Patients without those of classes that too few have, and which these are; an order needs no counts."""
    if task.kind not in ("binary", "multiclass"):
        return known, ""
    classes, counts = np.unique(targets[known], return_counts=True)
    rare = classes[counts < FEWEST_OF_KIND]
    if not len(rare):
        return known, ""
    names = list_names([task.classes[int(each)] for each in rare])
    kept = known[~np.isin(targets[known], rare)]
    return kept, f"Without {names}, which fewer than {FEWEST_OF_KIND} patients are."


def _problem(task: Task, targets: npt.NDArray[np.float64]) -> str:
    """Why a target cannot be tested; empty if it can."""
    if len(targets) < FEWEST_PATIENTS:
        return f"Only {len(targets)} patients; at least {FEWEST_PATIENTS} are needed."
    if task.kind == "survival":
        events = int(targets[:, 1].sum())
        return "" if events >= FEWEST_OF_KIND else f"Only {events} events; {FEWEST_OF_KIND} are needed."
    if task.is_classification:
        _, counts = np.unique(targets, return_counts=True)
        if (counts >= FEWEST_OF_KIND).sum() < 2:
            return f"No two classes have {FEWEST_OF_KIND} patients."
        return ""
    return "" if len(np.unique(targets)) > 1 else "All patients have the same value."


def _result_of(
    task: Task, confounder: Confounder, found: tuple[ConfounderScore, int] | None, note: str
) -> ConfounderResult:
    names = (task.name, confounder.name, confounder.label, confounder.spread)
    if found is None:
        note = note or PATIENTS_ALIKE.format(spread=confounder.spread)
        return ConfounderResult(*names, 0, measure_of(task), note=note)
    (cell, n), estimate = found, found[0].estimate
    if estimate is None:
        return ConfounderResult(*names, n, measure_of(task), note="No two patients can be compared.")
    alarm = cell.p_adjusted < LEVEL and estimate.value > 0.5
    return ConfounderResult(
        *names,
        n,
        measure_of(task),
        estimate.value,
        estimate.low,
        estimate.high,
        cell.p,
        cell.p_adjusted,
        alarm,
        note,
    )


def confounder_findings(results: Sequence[ConfounderResult]) -> list[Finding]:
    """A warning for each confounder that predicts a target, and a note on each target that was not tested."""
    findings = []
    tested = [each for each in results if each.value is not None]
    can_be = {each.target for each in tested}
    untested = {each.target: each.note for each in results if each.target not in can_be}
    for name, why in untested.items():
        findings.append(
            Finding(
                "note",
                "unchecked",
                f"No confounder was tested for {name}",
                name,
                why,
                "Whether site, scanner or colour predict it is not known.",
            )
        )
    for each in tested:
        if not each.alarm:
            continue
        findings.append(
            Finding(
                "warning",
                "confounder",
                f"{each.label[0].upper()}{each.label[1:]} alone predicts {each.target}",
                f"{each.n} patients; {each.spread}",
                f"Without looking at any tissue structure, it puts {_hundred(each.value)} of 100 pairs of "
                f"patients in the right order (95 % interval {_hundred(each.low)} to {_hundred(each.high)}, "
                f"chance 50; {_p(each.p_adjusted)}, corrected for all {len(tested)} comparisons).",
                FIRST_STEPS.get(each.confounder, OTHER_STEP),
            )
        )
    return findings


def _hundred(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}"


def _p(value: float | None) -> str:
    return "no p-value" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
