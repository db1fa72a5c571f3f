"""Patients, their slides and their targets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from histonic.core.task import Coding, Task

FloatArray = npt.NDArray[np.float64]
MARK = "/"
"""Between a part and a slide; the name of a slide has none."""
JOINED = "patient"
"""Stands in place of a part before the names of joined maps."""


@dataclass(frozen=True)
class Patient:
    """One patient.

    Attributes:
        patient_id: As in the label table.
        slide_ids: Names of the patient's maps in the store, sorted.
        site: Hospital or scanner, empty if the table has none.
        targets: Per task name: class index, value, or (time, event); absent if missing.
        causes: Of survival tasks with competing causes: that of the patient's event; absent if censored.
    """

    patient_id: str
    slide_ids: tuple[str, ...]
    site: str = ""
    targets: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)
    causes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exclusion:
    """One slide or patient that was left out, and why."""

    what: Literal["slide", "patient"]
    name: str
    reason: str


@dataclass(frozen=True)
class Cohort:
    """Patients with at least one map and one target, in the order of their identifiers.

    Attributes:
        tasks: The targets.
        patients: Sorted by patient_id.
        exclusions: What was left out, and why.
        folds: Part number (0-based) per patient_id given by the table; empty if it gives none.
        roles: ``train``, ``val`` or ``test`` per patient_id given by the table; empty if it gives none.
        notes: What the table leaves in doubt, a sentence each.
        codings: How the labels of each target were taken, by its name.
        turns: Roles once a fold, where the table gives several; patients without a part in one are absent.
    """

    tasks: tuple[Task, ...]
    patients: tuple[Patient, ...]
    exclusions: tuple[Exclusion, ...] = ()
    folds: Mapping[str, int] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    codings: Mapping[str, Coding] = field(default_factory=dict)
    turns: tuple[Mapping[str, str], ...] = ()

    def targets(self, task: Task, patients: Sequence[Patient] | None = None) -> FloatArray:
        """Targets of ``task``, NaN where missing.

        Returns:
            ``(P,)``, or ``(P, 2)`` of time and event for survival.
        """
        chosen = self.patients if patients is None else patients
        width = 2 if task.kind == "survival" else 1
        values = np.full((len(chosen), width), np.nan)
        for row, patient in enumerate(chosen):
            if task.name in patient.targets:
                values[row] = patient.targets[task.name]
        return values if width == 2 else values[:, 0]


@dataclass(frozen=True)
class Fold:
    """One turn of the rotation; its patients are in the order of the cohort.

    Attributes:
        number: The part that is tested.
        train: Patients the network learns from.
        validation: Patients that set the learning rate and choose the epoch.
        test: Patients the network never sees in training.
        repeat: Which of the repeated cross-validations this is.
    """

    number: int
    train: tuple[Patient, ...]
    validation: tuple[Patient, ...]
    test: tuple[Patient, ...]
    repeat: int = 0


def part_of(slide_id: str) -> str:
    """The part that a slide belongs to; empty where there is but one.

    Example:
        >>> part_of("ki67/S1"), part_of("S1")
        ('ki67', '')
    """
    return slide_id.partition(MARK)[0] if MARK in slide_id else ""


def folder_name(slide_id: str) -> str:
    """What a folder of results of a slide is called; of several parts the name of the part comes first.

    Example:
        >>> folder_name("ki67/S1"), folder_name("S1")
        ('ki67--S1', 'S1')
    """
    return slide_id.replace(MARK, "--")


def bare_name(slide_id: str) -> str:
    """The name of a slide within its part.

    Example:
        >>> bare_name("ki67/S1"), bare_name("S1")
        ('S1', 'S1')
    """
    return slide_id.rpartition(MARK)[2]


def patients_without(parts: Sequence[str], slides: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Per part the patients who have no slide of it, sorted; parts that all have are left out.

    Args:
        parts: Their names.
        slides: Of each patient.

    Example:
        >>> patients_without(["he", "ki67"], {"P1": ["he/a", "ki67/a"], "P2": ["he/b"]})
        {'ki67': ['P2']}
    """
    found = {
        part: sorted(name for name, own in slides.items() if part not in map(part_of, own)) for part in parts
    }
    return {part: names for part, names in found.items() if names}
