"""The audit of a finished run: its cohort, its predictions within sites, and its external cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import HistonicError
from histonic.core.places.urls import Url
from histonic.core.progress import Progress, heard
from histonic.core.task import Task
from histonic.data.maps.remote.opening import fetch_maps, open_store
from histonic.runs.documents import CohortPatient
from histonic.runs.run import External, Run, read_externals, read_run
from histonic.stages.audit.audit import audit_cohort
from histonic.stages.audit.copies import OtherCohort, patients_by_slide
from histonic.stages.audit.facts import SlideFacts, read_slide_facts
from histonic.stages.audit.findings import AuditResult, by_level, write_audit
from histonic.stages.audit.sites import model_order, site_finding, within_sites


def audit_run(
    run: str | Path, *, permutations: int = 2000, seed: int = 0, progress: Progress | None = None
) -> AuditResult:
    """Audit the patients of a run, what its predictions are worth within sites, and its external cohorts.

    Scanner, resolution, colour and copies need the store that the run was trained on; where it is gone, the
    audit says what was not looked at. ``audit.json``, ``audit.csv`` and ``confounders.csv`` go into the run.

    Args:
        run: Folder made by ``histonic train``.
        permutations: Permutations of the targets, for the p-values of confounders.
        seed: Of the permutations.
        progress: Listener to the progress.

    Raises:
        RunError: The run is not finished, or a file of it is damaged.
        TableError: A column or cell of a table of predictions cannot be used.
        OutputError: The folder cannot be written to.
    """
    read = read_run(Path(run))
    return audit_read_run(
        read, read_externals(read), permutations=permutations, seed=seed, progress=heard(progress)
    )


def audit_read_run(
    run: Run, externals: Sequence[External], *, permutations: int = 2000, seed: int = 0, progress: Progress
) -> AuditResult:
    """The same of a run and external cohorts that are read already; see :func:`audit_run`."""
    cohort = Cohort(run.tasks, tuple(_patient(each, run.tasks) for each in run.cohort.patients))
    result = audit_cohort(
        cohort,
        _facts_of(run.facts.store, sorted(patients_by_slide(cohort.patients)), progress),
        others=[_other(each, progress) for each in externals],
        part={each.patient_id: _part(each) for each in run.cohort.patients},
        permutations=permutations,
        seed=seed,
        progress=progress,
    )
    pairs = [(task, run.tables[task.name].frame) for task in run.tasks]
    sites = [found for pair in pairs if (found := within_sites(*pair)) is not None]
    models = [order for pair in pairs if (order := model_order(*pair)) is not None]
    findings = [*filter(None, map(site_finding, sites)), *result.findings]
    changes = {"findings": by_level(findings), "within_sites": tuple(sites), "models": tuple(models)}
    result = result.model_copy(update=changes)
    write_audit(run.folder, result, {"permutations": permutations, "seed": seed})
    return result.model_copy(update={"out": run.folder})


def _patient(known: CohortPatient, tasks: Sequence[Task]) -> Patient:
    """A patient of ``cohort.json``, with the targets as numbers."""
    targets: dict[str, float | tuple[float, float]] = {}
    for task in tasks:
        value = known.targets.get(task.name)
        if value is not None:
            targets[task.name] = float(task.classes.index(value)) if isinstance(value, str) else value
    return Patient(known.patient_id, known.slide_ids, known.site, targets)


def _part(patient: CohortPatient) -> str:
    """Where a patient was tested, of several repeats in the first."""
    return f"fold {patient.tested_in[0][1] + 1}" if patient.tested_in else "training"


def _facts_of(place: Path | Url, slides: Sequence[str], progress: Progress) -> dict[str, SlideFacts]:
    """Facts of the slides whose maps are there; none if the store is gone or damaged."""
    if isinstance(place, Path) and not place.is_dir():
        return {}
    try:
        opened = open_store(place)
        known = set(opened.slide_ids)
        held = [name for name in slides if name in known]
        fetch_maps(opened, held, progress)
        return read_slide_facts(opened, held, progress)
    except HistonicError as error:
        progress.say(f"the store {place} cannot be read, so its slides are not audited: {error.reason}")
        return {}


def _other(external: External, progress: Progress) -> OtherCohort:
    """An external cohort: patients from its predictions, slides from its store."""
    facts = external.facts
    patients = {name for table in external.tables.values() for name in table.texts("patient_id")}
    # Only slides of the cohort: a store may hold those of others, even of the audited one.
    patient_of = {slide: each.patient_id for each in facts.patients for slide in each.slide_ids}
    slides = _facts_of(facts.store, sorted(patient_of), progress) if patient_of else {}
    return OtherCohort(facts.name, tuple(sorted(patients)), slides, patient_of)
