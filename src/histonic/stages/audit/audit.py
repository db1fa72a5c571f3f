"""What but the tissue could explain the labels: equal slides, doubled patients, confounders, sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import SettingsError, TableError
from histonic.core.files import require_writable_folder
from histonic.core.places.urls import Url
from histonic.core.progress import Progress, heard
from histonic.core.settings import plain_settings, resolve
from histonic.core.task import parse_target
from histonic.data.maps.remote.opening import fetch_maps, open_store
from histonic.data.maps.required import require_maps
from histonic.data.maps.store import Store
from histonic.data.tables.copies import store_copies, with_copies
from histonic.data.tables.issues import list_names, suggest
from histonic.data.tables.joins import table_patients
from histonic.data.tables.label_table import column_cells
from histonic.data.tables.styles import NO_SPLIT
from histonic.data.targets.cohorts import LabelTable, build_cohort, read_labels
from histonic.data.targets.survival_checks import doubt_coding
from histonic.runs.run import read_cohort, read_facts
from histonic.stages.audit.confounders import confounder_findings, score_all
from histonic.stages.audit.copies import (
    OtherCohort,
    copy_findings,
    list_copies,
    name_findings,
    other_findings,
    patients_by_slide,
)
from histonic.stages.audit.facts import SlideFacts, list_confounders, read_slide_facts
from histonic.stages.audit.findings import AuditResult, Finding, by_level, write_audit
from histonic.stages.audit.settings import AuditKeywords, AuditSettings


def audit(
    settings: AuditSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[AuditKeywords],
) -> AuditResult:
    """Look for what but the tissue could explain the labels, before any network is trained.

    Equal slides (also turned, mirrored, recompressed or stained a little differently), patients under two
    identifiers, patients and slides that another cohort has too, event columns that seem to mark the
    censored, and confounders: whether site, scanner, file format, resolution, mean colour, area and share of
    tissue or number of slides alone predict a target. The chance of any alarm about confounders is below 5 %
    in a cohort that has none.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``store="store"``, ``labels="labels.csv"``, ``target=["grade"]``.

    Returns:
        Findings, and what each confounder tells; also written to ``out`` if that is given.

    Raises:
        SettingsError: A setting is wrong.
        TableError: The label table is wrong.
        CohortError: The patients cannot be joined with the maps.
        StoreError: The store is empty, mixed or damaged.
        OutputError: The folder cannot be written to.
    """
    resolved = resolve(AuditSettings, settings, values)
    resolved = with_copies(resolved, resolved.out)
    listener = heard(progress)
    store = open_store(resolved.store)
    require_maps(store, f"Audit the store {resolved.store}.")
    table = read_labels(resolved.labels, **resolved.reading())
    requests = [parse_target(text) for text in resolved.target]
    cohort = build_cohort(table, requests, store.slide_ids, **resolved.meaning())
    if resolved.out is not None:
        require_writable_folder(resolved.out)
    columns = {name: _column(table, name) for name in resolved.confounder}
    others = [_other(name, Path(path), resolved, listener) for name, path in sorted(resolved.other.items())]
    fetch_maps(store, sorted(patients_by_slide(cohort.patients)), listener)
    result = audit_cohort(
        cohort,
        read_slide_facts(store, sorted(patients_by_slide(cohort.patients)), listener),
        columns=columns,
        others=others,
        part=cohort.folds or cohort.roles or _parts_of_turns(cohort),
        permutations=resolved.permutations,
        seed=resolved.seed,
        progress=listener,
    )
    if resolved.out is not None:
        store_copies(resolved)
        write_audit(resolved.out, result, plain_settings(resolved, private=resolved.private))
    return result.model_copy(update={"out": resolved.out})


def _parts_of_turns(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """What each patient is in the folds of the table; empty if it gives none."""
    if not cohort.turns:
        return {}
    return {
        each.patient_id: tuple(turn.get(each.patient_id, "") for turn in cohort.turns)
        for each in cohort.patients
    }


def audit_cohort(
    cohort: Cohort,
    facts: Mapping[str, SlideFacts],
    *,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    others: Sequence[OtherCohort] = (),
    part: Mapping[str, object] | None = None,
    permutations: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditResult:
    """The audit of patients whose slides' facts are known.

    Args:
        cohort: Patients and targets.
        facts: Per slide; slides without any are said to be unchecked.
        columns: Further columns to test as confounders, value per patient.
        others: Cohorts that must have nothing in common with this one.
        part: Part of the split per patient, if there is one.
        permutations: Permutations of the targets, for the p-values.
        seed: Of the permutations.
        progress: Listener to the progress.
    """
    listener = heard(progress)
    split = part or {}
    copies = list_copies(facts, patients_by_slide(cohort.patients))
    findings = [
        *copy_findings(copies, split),
        *name_findings(cohort.patients, split),
        *_coding_findings(cohort),
    ]
    for other in others:
        findings += other_findings(cohort.patients, facts, other)[0]
    results = score_all(
        cohort,
        list_confounders(cohort.patients, facts, columns),
        permutations=permutations,
        seed=seed,
        progress=listener,
    )
    findings += [*confounder_findings(results), *_unchecked(cohort.patients, facts)]
    comparable = sum(each.appearance is not None and each.appearance.comparable for each in facts.values())
    return AuditResult(
        findings=by_level(findings),
        confounders=results,
        copies=copies,
        slides=len(facts),
        compared=comparable,
        permutations=permutations,
    )


def _coding_findings(cohort: Cohort) -> list[Finding]:
    findings = []
    for task in cohort.tasks:
        if task.kind != "survival":
            continue
        values = cohort.targets(task)
        known = values[~np.isnan(values).any(axis=1)]
        doubt = doubt_coding(known[:, 0], known[:, 1])
        if doubt:
            where = f"target {task.name}, column {task.columns[-1]!r}"
            todo = "Check what 1 means in that column. If it marks the censored, use --event-coding censored."
            findings.append(
                Finding("warning", "coding", "The events may be the censored patients", where, doubt, todo)
            )
    return findings


def _unchecked(patients: Sequence[Patient], facts: Mapping[str, SlideFacts]) -> list[Finding]:
    """What could not be looked at."""
    slides = sorted(patients_by_slide(patients))
    absent = [name for name in slides if name not in facts]
    empty = [name for name in slides if name in facts and not _comparable(facts[name])]
    findings = []
    if absent:
        findings.append(
            Finding(
                "note",
                "unchecked",
                f"{len(absent)} of {len(slides)} slides could not be looked at",
                list_names(absent),
                "The store that holds their maps is not there, or not whole.",
                "Put it where the run expects it, and write the report again.",
            )
        )
    if empty:
        findings.append(
            Finding(
                "note",
                "unchecked",
                f"{len(empty)} of {len(slides)} slides were compared by their files only",
                list_names(empty),
                "They hold too little tissue to be told from others, or have no picture.",
                "",
            )
        )
    return findings


def _comparable(facts: SlideFacts) -> bool:
    return facts.appearance is not None and facts.appearance.comparable


def _column(table: LabelTable, name: str) -> dict[str, str]:
    """A column of the label table, value per patient; several different ones are joined by +."""
    if name not in table.text.columns:
        raise TableError(
            f"Test the column {name!r} of {table.path.name} as a confounder.",
            "The table has no such column.",
            suggest(name, table.text.columns),
        )
    values: dict[str, set[str]] = {}
    for row, cell in column_cells(table, name).items():
        if table.patients[row] and cell:
            values.setdefault(table.patients[row], set()).add(cell)
    return {patient: "+".join(sorted(cells)) for patient, cells in values.items()}


def _other(name: str, path: Path, settings: AuditSettings, progress: Progress) -> OtherCohort:
    """Another cohort from a store, a label table, or a finished run."""
    if (path / "cohort.json").is_file():
        return _other_run(name, path, progress)
    if path.is_dir():
        store = Store.open(path)
        facts = read_slide_facts(store, store.slide_ids, progress, stage=f"facts of {name}")
        return OtherCohort(name, tuple(store.slide_ids), facts)
    if not path.exists():
        raise SettingsError(
            f"Compare with the cohort {name!r}.",
            f"There is no {path}.",
            "Give NAME=PATH, the path of a store, a run or a label table.",
        )
    table = read_labels(path, style=settings.table_style, columns=NO_SPLIT)
    patient_of = {}
    if table.links is not None:
        names = table.links["slide_id"]
        # A name that files of several patients share, in different folders, tells nothing.
        of_one = table.links.groupby("slide_id")["patient_id"].transform("nunique") == 1
        patient_of = dict(zip(names[of_one], table.links["patient_id"][of_one], strict=True))
    return OtherCohort(name, tuple(table_patients(table)), {}, patient_of)


def _other_run(name: str, run: Path, progress: Progress) -> OtherCohort:
    patients = read_cohort(run).patients
    patient_of = {slide: patient.patient_id for patient in patients for slide in patient.slide_ids}
    facts: dict[str, SlideFacts] = {}
    if (run / "run.json").is_file():
        store = read_facts(run).store
        if isinstance(store, Url) or store.is_dir():
            opened = open_store(store)
            held = sorted(set(patient_of) & set(opened.slide_ids))
            fetch_maps(opened, held, progress)
            facts = read_slide_facts(opened, held, progress, stage=f"facts of {name}")
    return OtherCohort(name, tuple(patient.patient_id for patient in patients), facts, patient_of)
