"""The audit of a finished run: its cohort, its predictions within sites, and its external cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import HistonicError
from histonic.core.progress import Progress, Silent
from histonic.core.task import Task
from histonic.data.maps.store import Store
from histonic.runs.predictions import read_predictions
from histonic.runs.run import read_json, read_store_path, read_tasks
from histonic.stages.audit.audit import audit_cohort
from histonic.stages.audit.copies import OtherCohort, owners
from histonic.stages.audit.facts import SlideFacts, read_slide_facts
from histonic.stages.audit.findings import AuditResult, ModelOrder, WithinSites, by_level, write_audit
from histonic.stages.audit.sites import model_order, site_finding, within_sites

AGAIN = "Test the run on that cohort again with 'histonic external', or delete the folder."


def audit_run(
    run: str | Path, *, permutations: int = 2000, seed: int = 0, progress: Progress | None = None
) -> AuditResult:
    """Audit the patients of a run, what its predictions are worth within sites, and its external cohorts.

    Scanner, resolution, colour and copies need the store that the run was trained on; where it is gone, the
    audit says what was not looked at. ``audit.json``, ``audit.csv`` and ``confounders.csv`` go into the run.

    Args:
        run: Folder made by ``histonic train``.
        permutations: Exchanges of the targets, for the p-values of confounders.
        seed: Of the exchanges.
        progress: Listener to the progress.

    Raises:
        TableError: A file of the run is absent or damaged.
        OutputError: The folder cannot be written to.
    """
    folder, listener = Path(run), progress or Silent()
    tasks = read_tasks(folder)
    patients, part = read_json(
        folder / "cohort.json", lambda described: (_patients(described, tasks), _parts(described))
    )
    cohort = Cohort(tuple(tasks), patients)
    slides = _facts_of(read_store_path(folder), sorted(owners(cohort.patients)), listener)
    others = _external(folder, listener)
    result = audit_cohort(
        cohort,
        slides,
        others=others,
        part=part,
        permutations=permutations,
        seed=seed,
        progress=listener,
    )
    sites, models = _of_predictions(folder, cohort.tasks)
    findings = [*filter(None, map(site_finding, sites)), *result.findings]
    changes = {"findings": by_level(findings), "within_sites": tuple(sites), "models": tuple(models)}
    result = result.model_copy(update=changes)
    write_audit(folder, result, {"permutations": permutations, "seed": seed})
    return result.model_copy(update={"out": folder})


def _patients(described: Mapping[str, Any], tasks: Sequence[Task]) -> tuple[Patient, ...]:
    """The patients of ``cohort.json``."""
    return tuple(_patient(values, tasks) for values in described["patients"])


def _patient(values: Mapping[str, Any], tasks: Sequence[Task]) -> Patient:
    targets: dict[str, float | tuple[float, float]] = {}
    for task in tasks:
        value = values["targets"].get(task.name)
        if value is None:
            continue
        if task.kind == "survival":
            targets[task.name] = float(value[0]), float(value[1])
        else:
            targets[task.name] = float(task.classes.index(str(value)) if task.is_classification else value)
    return Patient(values["patient_id"], tuple(values["slide_ids"]), values["site"] or "", targets)


def _facts_of(store: Path, slides: Sequence[str], progress: Progress) -> dict[str, SlideFacts]:
    """Facts of the slides whose maps are there; none if the store is gone or damaged."""
    if not store.is_dir():
        return {}
    try:
        opened = Store.open(store)
        held = set(opened.slide_ids)
        return read_slide_facts(opened, [name for name in slides if name in held], progress)
    except HistonicError as error:
        progress.say(f"the store {store} cannot be read, so its slides are not audited: {error.reason}")
        return {}


def _external(run: Path, progress: Progress) -> list[OtherCohort]:
    """The external cohorts of a run: patients from their predictions, slides from their stores."""
    found = []
    for path in sorted((run / "external").glob("*/external.json")):
        name, store, owner = read_json(path, _described_external, todo=AGAIN)
        patients = sorted(
            {
                patient
                for table in sorted((path.parent / "predictions").glob("*.csv"))
                for patient in read_predictions(table).get("patient_id", ())
            }
        )
        facts = _facts_of(Path(store), sorted(owner), progress) if owner and store else {}
        found.append(OtherCohort(name or path.parent.name, tuple(patients), facts, owner))
    return found


def _described_external(values: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
    """Name, store and the patient of each slide of ``external.json``.

    Only slides of the cohort: a store may hold those of others, even of the audited one.
    """
    owner = {
        str(slide): str(each["patient_id"])
        for each in values.get("patients", ())
        for slide in each["slide_ids"]
    }
    return str(values.get("name", "")), str(values.get("store", "")), owner


def _of_predictions(run: Path, tasks: Sequence[Task]) -> tuple[list[WithinSites], list[ModelOrder]]:
    sites, models = [], []
    for task in tasks:
        path = run / "predictions" / f"{task.name}.csv"
        if not path.is_file():
            continue
        table = read_predictions(path)
        if (model := model_order(task, table)) is not None:
            models.append(model)
        if (within := within_sites(task, table)) is not None:
            sites.append(within)
    return sites, models


def _parts(described: Mapping[str, Any]) -> dict[str, str]:
    """Where each patient of ``cohort.json`` was tested, of several repeats in the first."""
    return {
        each["patient_id"]: f"fold {each['tested_in'][0][1] + 1}" if each["tested_in"] else "training"
        for each in described["patients"]
    }
