"""What the case list says: a patient with all targets, and what of it the page can show."""

from __future__ import annotations

from typing import Literal

from histonic.core.documents import Part
from histonic.core.task import TaskKind

Verdict = Literal["right", "wrong", "near", "far", "unknown"]
"""Of a class whether it was called right; of a value or a risk whether it lies near the truth, or far from it
compared with the others; ``unknown`` without a truth, or without a patient to be compared with."""


class CaseTarget(Part):
    """One target of a patient.

    Attributes:
        target: Its name.
        verdict: Whether the prediction was right.
        verdict_words: The same in words, with its size.
        truth: In words; empty if unknown.
        predicted: In words.
        value: What the prediction is sorted by: probability of the called class, value, or risk.
        value_words: The same as printed.
        order: The greater, the more wrong; below 0 where the truth is unknown.
        explanation: File in the run, or place on the page (``#...``); empty if there is none.
    """

    target: str
    verdict: Verdict
    verdict_words: str
    truth: str
    predicted: str
    value: float
    value_words: str
    order: float
    explanation: str = ""


class Case(Part):
    """A patient.

    Attributes:
        patient_id: Who.
        site: Empty if the table names none.
        slide_ids: All slides.
        pictured: The slide whose picture is shown; empty if none has one.
        tissue: Least share of tissue of the patient's slides, 0 to 1; None if not known.
        tissue_words: The shares in words.
        targets: In the order of the run, those that were predicted.
    """

    patient_id: str
    site: str
    slide_ids: tuple[str, ...]
    pictured: str
    tissue: float | None
    tissue_words: str
    targets: tuple[CaseTarget, ...]


class ListedTarget(Part):
    """A target by which the list can be sorted.

    Attributes:
        name: Its name.
        kind: Its kind.
        label: Its name in sentences.
        order_words: What comes first.
        counted: How many were called wrong, or lie far from the truth, in a sentence.
        classes: By which it can be filtered; none of values and risks.
    """

    name: str
    kind: TaskKind
    label: str
    order_words: str
    counted: str
    classes: tuple[str, ...] = ()


class CaseList(Part):
    """The list.

    Attributes:
        targets: By which it can be sorted; it is, by the first.
        cases: Patients, most wrong in the first target first.
        explained: How many patients have an explanation.
    """

    targets: tuple[ListedTarget, ...] = ()
    cases: tuple[Case, ...] = ()
    explained: int = 0
