"""How a patient's slides come together: each by itself, or all side by side as one map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from histonic.core.cohort import Cohort, Patient
from histonic.core.compressed import CompressedSlide
from histonic.data.maps.fusion import side_by_side

Fusion = Literal["late", "early"]
JOINED_PREFIX = "patient/"
"""Begins the name of a joined map; the name of a slide has no slash."""


def fuse_patient(patient: Patient, fusion: Fusion) -> Patient:
    """The patient as the network sees him: early fusion makes one map of several slides.

    Example:
        >>> fuse_patient(Patient("P1", ("a", "b")), "early").slide_ids
        ('patient/P1',)
    """
    if fusion == "late" or len(patient.slide_ids) == 1:
        return patient
    return replace(patient, slide_ids=(JOINED_PREFIX + patient.patient_id,))


def fuse_cohort(cohort: Cohort, fusion: Fusion) -> Cohort:
    """The cohort as the network sees it."""
    return replace(cohort, patients=tuple(fuse_patient(each, fusion) for each in cohort.patients))


def maps_of(
    patients: Sequence[Patient], fusion: Fusion, read: Callable[[str], CompressedSlide]
) -> Mapping[str, CompressedSlide]:
    """The maps that the networks see, by name.

    Args:
        patients: With the slides as the store names them.
        fusion: How they come together.
        read: Opens the map of a slide.
    """
    found: dict[str, CompressedSlide] = {}
    for patient in patients:
        names = fuse_patient(patient, fusion).slide_ids
        if names == patient.slide_ids:
            found.update((name, read(name)) for name in names)
        else:
            found[names[0]] = side_by_side(names[0], [read(slide_id) for slide_id in patient.slide_ids])
    return found
