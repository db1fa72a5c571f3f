"""The same slide or the same patient twice: within a cohort, and in two cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from histonic.core.cohort import Patient
from histonic.data.tables.issues import list_names
from histonic.data.text import writing_apart
from histonic.slides.likeness import find_copies
from histonic.stages.audit.facts import SlideFacts
from histonic.stages.audit.findings import Copy, Finding, turned_words
from histonic.stages.audit.names import is_worldwide, same_patients, zeros_apart

SHOWN_COPIES = 5
"""Slides that two cohorts share are named one by one up to so many."""


@dataclass(frozen=True)
class OtherCohort:
    """Patients and slides that must have nothing in common with the audited ones.

    Attributes:
        name: Of the cohort.
        patients: Identifiers.
        facts: Of its slides; empty if only a table is known.
        patient_of: Patient per slide, as far as known.
    """

    name: str
    patients: tuple[str, ...]
    facts: Mapping[str, SlideFacts] = field(default_factory=dict)
    patient_of: Mapping[str, str] = field(default_factory=dict)


def patients_by_slide(patients: Sequence[Patient]) -> dict[str, str]:
    """Patient of each slide."""
    return {slide: patient.patient_id for patient in patients for slide in patient.slide_ids}


def list_copies(facts: Mapping[str, SlideFacts], patient_of: Mapping[str, str]) -> list[Copy]:
    """Pairs of slides of one cohort that are the same."""
    slides = [facts[name] for name in sorted(facts)]
    return _copies(slides, None, patient_of, patient_of)


def _copies(
    slides: Sequence[SlideFacts],
    others: Sequence[SlideFacts] | None,
    patient_of: Mapping[str, str],
    other_patient_of: Mapping[str, str],
) -> list[Copy]:
    second = slides if others is None else others
    found: dict[tuple[int, int], Copy] = {}

    def note(one: int, other: int, same_file: bool, likeness: float | None, orientation: int) -> None:
        a, b = slides[one].slide_id, second[other].slide_id
        patients = patient_of.get(a, ""), other_patient_of.get(b, "")
        found[one, other] = Copy(a, b, *patients, same_file, likeness, orientation)

    at: dict[str, list[int]] = {}
    for other, each in enumerate(second):
        if each.fingerprint:
            at.setdefault(each.fingerprint, []).append(other)
    for one, each in enumerate(slides):
        for other in at.get(each.fingerprint, ()) if each.fingerprint else ():
            if others is not None or one < other:
                note(one, other, True, None, 0)
    appearances = [each.appearance for each in slides]
    for one, other, likeness in find_copies(
        appearances, None if others is None else [e.appearance for e in others]
    ):
        if (one, other) not in found:
            note(one, other, False, round(likeness.texture, 3), likeness.orientation)
    return [found[key] for key in sorted(found)]


def copy_findings(copies: Sequence[Copy], part: Mapping[str, object]) -> list[Finding]:
    """What copies within a cohort mean: a leak if two patients have the slide, else a slide counted twice.

    Args:
        copies: From :func:`list_copies`.
        part: Part of the split per patient, as far as known.
    """
    findings = []
    for copy in copies:
        how = "They are the same file." if copy.same_file else _alike(copy)
        where = f"slides {copy.slide} and {copy.other}"
        if copy.patient == copy.other_patient:
            todo = "Keep one of them: as it is, this patient's tissue counts twice."
            findings.append(
                Finding(
                    "warning", "duplicate", f"One slide twice for patient {copy.patient}", where, how, todo
                )
            )
            continue
        parts = part.get(copy.patient), part.get(copy.other_patient)
        apart = f" They were in different parts ({parts[0]} and {parts[1]})." if parts[0] != parts[1] else ""
        findings.append(
            Finding(
                "error",
                "duplicate",
                f"One slide under two patients, {copy.patient} and {copy.other_patient}",
                where,
                how + apart,
                "Look at both. If they are one slide, find out whose it is, correct the label table and "
                "train again: a network that saw it once has seen it.",
            )
        )
    return findings


def _alike(copy: Copy) -> str:
    return (
        f"Their tissue is the same{turned_words(copy.orientation)} (likeness {copy.likeness:.2f}; by chance, "
        "not one cohort in a hundred of this size would have such a pair)."
    )


def name_findings(patients: Sequence[Patient], part: Mapping[str, object]) -> list[Finding]:
    """Identifiers of one cohort that differ in writing only."""
    names = [patient.patient_id for patient in patients]

    def apart_words(group: Sequence[str]) -> str:
        parts = sorted({str(part[name]) for name in group if name in part})
        return f" They were in the parts {list_names(parts)}." if len(parts) > 1 else ""

    findings = [
        Finding(
            "warning",
            "patient",
            f"Perhaps one patient under several identifiers: {list_names(group)}",
            "label table",
            f"They differ only in {writing_apart(group)}.{apart_words(group)}",
            "If they are one patient, give all rows the same identifier, so that no split parts them.",
        )
        for group in zeros_apart(names)
    ]
    for group in same_patients(names):
        apart = apart_words(group)
        findings.append(
            Finding(
                "error",
                "patient",
                f"One patient under several identifiers: {list_names(group)}",
                "label table",
                f"They differ only in case, blanks, hyphens or what follows a TCGA barcode.{apart}",
                "If they are one patient, give all rows the same identifier, so that no split parts them.",
            )
        )
    return findings


def other_findings(
    patients: Sequence[Patient], facts: Mapping[str, SlideFacts], other: OtherCohort
) -> tuple[list[Finding], list[Copy]]:
    """What the audited cohort has in common with another one: patients by name, slides by content."""
    findings = []
    own = patients_by_slide(patients)
    copies = _copies(
        [facts[name] for name in sorted(facts)],
        [other.facts[name] for name in sorted(other.facts)],
        own,
        other.patient_of,
    )
    for copy in copies if len(copies) <= SHOWN_COPIES else ():
        how = "They are the same file." if copy.same_file else _alike(copy)
        findings.append(
            Finding(
                "error",
                "cohort",
                f"One slide in this cohort and in {other.name}",
                f"slide {copy.slide} here (patient {copy.patient}), slide {copy.other} there "
                f"(patient {copy.other_patient or 'not known'})",
                how,
                f"Take the patient out of one of them; until then {other.name} is no test on new patients.",
                other.name,
            )
        )
    if len(copies) > SHOWN_COPIES:
        findings.append(_many_copies(copies, other))
    common = same_patients([patient.patient_id for patient in patients], other.patients)
    proven = {(copy.patient, copy.other_patient) for copy in copies}
    certain = [pair for pair in common if is_worldwide(pair[0]) or pair in proven]
    for level, pairs in (("error", certain), ("warning", [pair for pair in common if pair not in certain])):
        if pairs:
            findings.append(_common(level == "error", pairs, other))
    return findings, copies


def _many_copies(copies: Sequence[Copy], other: OtherCohort) -> Finding:
    same = sum(copy.same_file for copy in copies)
    return Finding(
        "error",
        "cohort",
        f"{len(copies)} slides both in this cohort and in {other.name}",
        "slides " + list_names([copy.slide for copy in copies]),
        f"{same} of them are the same file, the others show the same tissue.",
        f"Take their patients out of one of the two; until then {other.name} is no test on new patients.",
        other.name,
    )


def _common(certain: bool, pairs: Sequence[tuple[str, ...]], other: OtherCohort) -> Finding:
    names = list_names([here if here == there else f"{here} ({there})" for here, there in pairs])
    if certain:
        return Finding(
            "error",
            "cohort",
            f"{len(pairs)} patient(s) both in this cohort and in {other.name}",
            names,
            "Their identifiers name the same patients.",
            f"Take them out of one of the two; until then {other.name} is no test on new patients.",
            other.name,
        )
    return Finding(
        "warning",
        "cohort",
        f"{len(pairs)} identifier(s) occur both in this cohort and in {other.name}",
        names,
        "They may name the same patients, or the two hospitals may count alike.",
        "Find out. If they are the same patients, take them out of one of the two.",
        other.name,
    )
