"""The rotation of parts: one to test, the next to validate, the rest to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import CohortError


@dataclass(frozen=True)
class Fold:
    """One turn of the rotation; its patients are in the order of the cohort.

    Attributes:
        number: The part that is tested.
        train: Patients the network learns from.
        validation: Patients that set the learning rate and choose the epoch.
        test: Patients the network never sees in training.
    """

    number: int
    train: tuple[Patient, ...]
    validation: tuple[Patient, ...]
    test: tuple[Patient, ...]


def rotate(cohort: Cohort, split: Mapping[str, int], parts: int) -> list[Fold]:
    """All turns: fold i tests part i, validates on part i + 1 (the last on part 0), trains on the rest.

    Args:
        cohort: The patients.
        split: Part per patient_id, from :func:`histonic.core.cohort.split_parts`.
        parts: Number of parts.

    Raises:
        CohortError: A part that has to validate can judge none of the targets.
    """
    folds = []
    for number in range(parts):
        after = (number + 1) % parts
        members: dict[str, list[Patient]] = {"train": [], "validation": [], "test": []}
        for patient in cohort.patients:
            part = split[patient.patient_id]
            members["test" if part == number else "validation" if part == after else "train"].append(patient)
        fold = Fold(number, *(tuple(members[role]) for role in ("train", "validation", "test")))
        _check_validation(cohort, fold)
        folds.append(fold)
    return folds


def _check_validation(cohort: Cohort, fold: Fold) -> None:
    for task in cohort.tasks:
        targets = cohort.targets(task, fold.validation)
        known = targets[~np.isnan(targets.reshape(len(targets), -1)).any(axis=1)]
        if task.kind != "survival" and len(known):
            return
        if (
            task.kind == "survival"
            and ((known[:, 1] == 1) & (known[:, 0] < known[:, 0].max(initial=0))).any()
        ):
            return
    raise CohortError(
        f"Validate fold {fold.number + 1}.",
        f"Its {len(fold.validation)} validation patients have no known target, or no event before others.",
        "Use fewer folds, or more patients with known targets.",
    )
