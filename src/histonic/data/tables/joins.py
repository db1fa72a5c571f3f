"""Which maps of a store belong to which patient of a label table, and in which fold a patient is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from histonic.core.cohort import Exclusion
from histonic.core.errors import CohortError
from histonic.data.names import match_by_patient, slide_name
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import natural_key


@dataclass(frozen=True)
class SlideJoin:
    """The maps of each patient, and what found no partner.

    Attributes:
        slides: Maps per patient of the label table, sorted; empty for a patient without one.
        unlabelled: Maps that no row names, with the reason, sorted.
        absent: Slides per patient that the table names and the store does not hold, sorted.
        issues: Slides that several patients could own.
    """

    slides: dict[str, tuple[str, ...]]
    unlabelled: dict[str, str]
    absent: dict[str, tuple[str, ...]]
    issues: tuple[Issue, ...] = ()


def table_patients(table: LabelTable) -> list[str]:
    """The patients of the label table, sorted."""
    return sorted(set(table.patients) - {""})


def patient_sites(table: LabelTable) -> dict[str, str]:
    """Site per patient, empty if unknown; several are joined by + in the order of their names."""
    sites: dict[str, set[str]] = {}
    for patient, site in zip(table.patients, table.sites, strict=True):
        sites.setdefault(patient, set()).update({site} - {""})
    return {patient: "+".join(sorted(names)) for patient, names in sites.items()}


def join_slides(table: LabelTable, slide_ids: Sequence[str]) -> SlideJoin:
    """Give every map its patient.

    By the slide's name if the table names slides (with or without extension); else by the patient's
    identifier, see :func:`histonic.data.names.match_by_patient`.

    Args:
        table: The labels.
        slide_ids: Names of the maps in the store.
    """
    patients = table_patients(table)
    patients_by_name = _patients_by_name(table)
    issues: list[Issue] = []
    slides: dict[str, list[str]] = {patient: [] for patient in patients}
    unlabelled: dict[str, str] = {}
    for slide in sorted(set(slide_ids)):
        if table.links is not None:
            found = [patients_by_name[key] for key in (slide, _key(slide)) if key in patients_by_name][:1]
        else:
            found = match_by_patient(slide, slides)
        if len(found) == 1 and found[0] in slides:
            slides[found[0]].append(slide)
        elif len(found) > 1:
            issues.append(_ambiguous(table, slide, found))
        elif found:
            unlabelled[slide] = f"its patient {found[0]!r} is not in the label table"
        else:
            unlabelled[slide] = "no row of the label table names it"
    absent = _absent(table, slide_ids)
    return SlideJoin({p: tuple(s) for p, s in slides.items()}, unlabelled, absent, tuple(issues))


def _key(slide: str) -> str:
    """A slide's name without the .ome that a reader may leave on it."""
    name = slide_name(slide)
    return name[: -len(".ome")] if name.lower().endswith(".ome") else name


def _patients_by_name(table: LabelTable) -> dict[str, str]:
    patients_by_name: dict[str, str] = {}
    if table.links is not None:
        for patient, slide in zip(table.links["patient_id"], table.links["slide_id"], strict=True):
            patients_by_name[slide] = patient
            patients_by_name.setdefault(_key(slide), patient)
    return patients_by_name


def _ambiguous(table: LabelTable, slide: str, patients: Sequence[str]) -> Issue:
    return Issue(
        "error",
        "Slide that several patients could own",
        f"{table.path.name}, slide {slide!r}",
        f"Its name begins with the identifiers {list_names(patients)}.",
        "Add a column slide_id to the table, or give a slide table (--slide-table).",
    )


def _absent(table: LabelTable, slide_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if table.links is None:
        return {}
    present = {*slide_ids, *(_key(slide) for slide in slide_ids)}
    absent: dict[str, set[str]] = {}
    for patient, slide in zip(table.links["patient_id"], table.links["slide_id"], strict=True):
        if not {slide, _key(slide)} & present:
            absent.setdefault(patient, set()).add(slide)
    return {patient: tuple(sorted(slides)) for patient, slides in sorted(absent.items())}


def slide_exclusions(join: SlideJoin, used: Sequence[str]) -> list[Exclusion]:
    """Maps without labels, and named slides without a map of patients who are used."""
    found = [Exclusion("slide", slide, reason) for slide, reason in join.unlabelled.items()]
    for patient in used:
        for slide in join.absent.get(patient, ()):
            found.append(Exclusion("slide", slide, f"the store holds no map of it (patient {patient})"))
    return sorted(found, key=lambda exclusion: (exclusion.name, exclusion.reason))


def number_folds(table: LabelTable, used: Sequence[str]) -> dict[str, int]:
    """Part number of each used patient, from the table's own split; empty if it has none.

    Parts are numbered in the natural order of their names, over the whole table.

    Raises:
        CohortError: A used patient has no fold while others have.
    """
    if table.folds is None:
        return {}
    number = {name: index for index, name in enumerate(sorted(set(table.folds) - {""}, key=natural_key))}
    named = _of_patients(table, table.folds, used, "fold")
    return {patient: number[fold] for patient, fold in named.items()}


def given_roles(table: LabelTable, used: Sequence[str]) -> dict[str, str]:
    """``train``, ``val`` or ``test`` of each used patient, from the table's own split; empty if it has none.

    Raises:
        CohortError: A used patient has no part while others have.
    """
    return {} if table.roles is None else _of_patients(table, table.roles, used, "split")


def _of_patients(table: LabelTable, cells: pd.Series, used: Sequence[str], name: str) -> dict[str, str]:
    """The cell of each used patient; refuses a patient without one."""
    given = cells[cells != ""]
    of_patient = {table.patients[row]: cell for row, cell in given.items()}
    without = [patient for patient in used if patient not in of_patient]
    if without:
        raise CohortError(
            f"Take the split from {table.where(table.columns.get(name, f'{name}_*'))}.",
            f"These patients have no {name}: {list_names(without)}.",
            f"Fill in the column for all patients, or let histonic split: --columns {name}=none.",
        )
    return {patient: of_patient[patient] for patient in used}
