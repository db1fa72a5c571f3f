"""What journals ask for beside the metrics: outcome, training, missing labels, calibration, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from histonic.core.errors import CohortError, SettingsError, TableError
from histonic.core.task import Task
from histonic.runs.networks import read_networks
from histonic.runs.patient_columns import as_levels, find_person_columns, read_patient_columns
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_table, split_repeats
from histonic.runs.run import WholeRun
from histonic.stages.evaluate.calibration.details import calibration_details
from histonic.stages.evaluate.calibration.subgroups import subgroup_calibration
from histonic.stages.evaluate.clinical.cox import CoxModel, cox_model
from histonic.stages.evaluate.groups import site_grouping
from histonic.stages.evaluate.networks.spread import training_spread
from histonic.stages.evaluate.outcome.missing import MissingLabels, missing_labels
from histonic.stages.evaluate.outcome.times import outcome_times
from histonic.stages.report.document.target import NoClinical, Target
from histonic.stages.report.settings import ReportSettings

UNLABELLED = "every target is missing"
"""Reason of the exclusions of patients of whom no label is known."""


@dataclass(frozen=True)
class PatientFacts:
    """Columns of the label table.

    Attributes:
        cells: Per column and patient, those that were asked for and those found by name.
        subgroups: Columns that patients are also scored apart by.
        clinical: Columns of the clinical model.
        compared: Columns by which patients without a label are compared, the site first.
    """

    cells: Mapping[str, Mapping[str, str]]
    subgroups: tuple[str, ...]
    clinical: tuple[str, ...]
    compared: Mapping[str, Mapping[str, str]]


def read_patient_facts(run: WholeRun, settings: ReportSettings) -> PatientFacts:
    """Columns that were asked for, and sex and age where the label table names them.

    Raises:
        SettingsError: The label table has moved, and columns were asked for.
        TableError: A column that was asked for cannot be used.
    """
    asked = (*settings.subgroups, *settings.clinical)
    cells = dict(read_patient_columns(run.settings, asked, settings.labels, run.folder))
    taken = {column for task in run.tasks for column in task.columns}
    found = []
    for name in find_person_columns(run.settings, settings.labels, run.folder):
        if name in taken or name in settings.subgroups:
            continue
        try:
            cells |= read_patient_columns(run.settings, [name], settings.labels, run.folder)
        except (SettingsError, TableError):
            continue  # nobody asked for it
        found.append(name)
    site = {patient.patient_id: patient.site for patient in run.cohort.patients if patient.site}
    try:
        known = read_patient_columns(run.settings, ["site"], settings.labels, run.folder)["site"]
        site |= {patient: text for patient, text in known.items() if text}
    except (SettingsError, TableError):
        pass  # the run's own sites are those of its patients alone
    compared = ({"site": site} if len(set(site.values())) > 1 else {}) | cells
    return PatientFacts(cells, (*settings.subgroups, *found), settings.clinical, compared)


def with_details(
    target: Target, table: PredictionTable, facts: PatientFacts, run: WholeRun, seed: int
) -> Target:
    """One target of a run with all that its predictions, networks and label table tell beside the metrics.

    Args:
        target: What the report says of it so far.
        table: Its predictions, all repeats.
        facts: Columns of the label table.
        run: The run.
        seed: Of resamples and permutations.
    """
    if target.problem:
        return target
    tables = split_repeats(table)
    shown = mean_table(tables)
    groups = {name: as_levels(facts.cells[name]) for name in facts.subgroups}
    networks = read_networks(run.folder, target.task)
    return target.model_copy(
        update={
            **_of_predictions(shown, tables, site_grouping(shown), groups, seed),
            "training": None if networks is None else training_spread(networks),
            "missing": _missing(shown, facts, run, seed),
            "cox": _cox(shown, facts, target.task),
        }
    )


def with_external_details(
    target: Target, table: PredictionTable, reference: PredictionTable, seed: int
) -> Target:
    """One target of a cohort from elsewhere, as far as its predictions tell.

    Args:
        target: What the report says of it so far.
        table: Its predictions.
        reference: Those of the run's own patients.
        seed: Of the resamples.
    """
    if target.problem:
        return target
    tables = split_repeats(table)
    shown, own = mean_table(tables), mean_table(split_repeats(reference))
    found = _of_predictions(shown, tables, site_grouping(shown), {}, seed)
    return target.model_copy(update={**found, "calibration": calibration_details(shown, own)})


def _of_predictions(
    shown: PredictionTable,
    repeats: Sequence[PredictionTable],
    sites: Mapping[str, str],
    groups: Mapping[str, Mapping[str, str]],
    seed: int,
) -> dict[str, object]:
    groupings = ({"site": sites} if sites and "site" not in groups else {}) | dict(groups)
    return {
        "times": outcome_times(shown) if shown.task.kind == "survival" else None,
        "calibration": calibration_details(shown),
        "fairness": subgroup_calibration(shown, groupings, seed, repeats),
    }


def _missing(shown: PredictionTable, facts: PatientFacts, run: WholeRun, seed: int) -> MissingLabels | None:
    # Those who only train are in no table of predictions: of them the cohort tells.
    labelled = {each.patient_id for each in run.cohort.patients if shown.task.name in each.targets} | {
        name for name, known in zip(shown.texts("patient_id"), shown.has_truth(), strict=True) if known
    }
    patients = sorted({each.patient_id for each in run.cohort.patients} | set(shown.texts("patient_id")))
    unused = [each.name for each in run.cohort.exclusions if _is_unlabelled(each.what, each.reason)]
    present, missing = (
        [patient for patient in patients if (patient in labelled) == wanted] for wanted in (True, False)
    )
    taken = set(shown.task.columns)
    columns = {name: cells for name, cells in facts.compared.items() if name not in taken}
    return missing_labels(present, missing, unused, columns, seed)


def _is_unlabelled(what: str, reason: str) -> bool:
    return what == "patient" and reason == UNLABELLED


def _cox(shown: PredictionTable, facts: PatientFacts, task: Task) -> CoxModel | NoClinical | None:
    if task.kind != "survival" or not facts.clinical:
        return None
    columns: Sequence[str] = facts.clinical
    try:
        return cox_model(shown, {name: facts.cells[name] for name in columns})
    except CohortError as error:
        return NoClinical(problem=error.reason)
