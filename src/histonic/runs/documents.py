"""The files of a finished run, one model each: run.json, cohort.json, failures.json and external.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, FiniteFloat, JsonValue

from histonic.core.calls import Calls, PointName, PointNames
from histonic.core.cohort import Exclusion
from histonic.core.compressed import EncoderDescription, MapSettings, PatientPart, SlideDescription
from histonic.core.documents import Document, Part, SealedDocument, SparsePart
from histonic.core.places.urls import GivenPlace
from histonic.core.settings import Precision
from histonic.core.task import Coding, Tasks
from histonic.core.units import Number
from histonic.data.maps.fusion import Fusion
from histonic.data.tables.settings import TableSettings

TODO = (
    "Give a folder that 'histonic train' has finished: the same command goes on with a run that is not. A "
    "damaged one has to be trained again, into another folder."
)
"""What the user can do about a run that is unfinished or damaged."""
FIRST_LOOK = (
    "A first look (--quick): linear models of the mean code of each slide, cross-validated by patient. The "
    "numbers are honest for them, but no slide network was trained."
)
"""Said wherever a quick model or its results are shown."""
ChosenOn = Literal["validation", "inner", "nobody"]
"""Patients on whom a threshold is chosen."""
Made = Literal["random", "site", "given parts", "given folds", "fixed"]
"""How patients were split."""
Target = str | FiniteFloat | tuple[FiniteFloat, FiniteFloat]
"""What is known of a patient: the name of a class, a value, or time and event."""


class ChosenThreshold(Part):
    """The threshold of an operating point in one fold.

    Attributes:
        point: Which.
        repeat: Of the fold.
        fold: Its number.
        threshold: Least probability of the positive class that is called; None where a class that it needs
            was not there.
        chosen_on: ``validation``: the fold's validation patients; ``inner``: its training and validation
            patients, each predicted by heads fitted to the others of them; ``nobody``: it was given.
        positives: Of these patients, by the class that is positive.
        negatives: And the others.
    """

    point: PointName
    repeat: int
    fold: int
    threshold: FiniteFloat | None
    chosen_on: ChosenOn
    positives: int
    negatives: int


class SlidesGiven(Part):
    """What a compression was told of slides beside its settings for all of them, as far as maps show it.

    Attributes:
        default_mpp: Microns per pixel of slides that do not say; several where several were said.
        names: Whether slides that no table names were called by their files or by their paths.
        masked: Whether some have a mask from outside.
    """

    default_mpp: tuple[Number, ...] = ()
    names: tuple[Literal["file", "path"], ...] = ()
    masked: bool = False

    @classmethod
    def of(cls, slides: Iterable[SlideDescription]) -> SlidesGiven:
        """As the maps of slides show it."""
        listed = list(slides)
        return cls(
            default_mpp=tuple(sorted({float(each.default_mpp) for each in listed if each.default_mpp})),
            names=tuple(sorted({each.names for each in listed})),
            masked=any(each.mask for each in listed),
        )


class RunDocument(SealedDocument):
    """``run.json``: what was trained, from what, by which versions; written last.

    Attributes:
        codings: How the labels of each target were taken, by its name; none in files of earlier versions.
        calls: By which rule a class is called; earlier versions knew but one.
        operating_points: At which binary targets are called, too; none in files of earlier versions.
        quick: Whether it is a first look, see :data:`FIRST_LOOK`.
        thresholds: Of these, by target and fold.
        slides_given: What was said of the slides; nothing in files of earlier versions.
        files: SHA-256 of each file that the training wrote, by its name in the run; the bundle has its own.
    """

    FORMAT = "histonic-run-1"

    tasks: Tasks
    fusion: Fusion
    test_crops: int
    encoder: EncoderDescription
    compress_settings: MapSettings
    codings: Mapping[str, Coding] = {}
    calls: Calls = "balanced"
    operating_points: PointNames = ()
    quick: bool = False
    parts: tuple[PatientPart, ...] = ()
    thresholds: Mapping[str, tuple[ChosenThreshold, ...]] = {}
    aggregator: str
    split: Made
    histonic: str
    versions: dict[str, str]
    seed: int
    store: GivenPlace
    code_size: int
    crop_cells: int
    folds: int
    repeats: int
    initialisations: int
    learning_rate: float
    device: str
    precision: Precision
    bundle_fingerprint: str
    slides_given: SlidesGiven = SlidesGiven()
    files: dict[str, str] = Field(default_factory=dict)


class SlidesOfPatient(Part):
    """A patient and the maps that were used."""

    patient_id: str
    site: str
    slide_ids: tuple[str, ...] = Field(min_length=1)


class CohortPatient(SlidesOfPatient, SparsePart):
    """A patient of a run; places are pairs of repeat and fold.

    Attributes:
        unused_in: Where the label table's own folds give the patient no part; in all others he trains.
        causes: Of survival targets with competing causes that of the patient's event; absent without any.
    """

    tested_in: tuple[tuple[int, int], ...]
    validates_in: tuple[tuple[int, int], ...]
    unused_in: tuple[tuple[int, int], ...] = ()
    targets: dict[str, Target]
    causes: Mapping[str, str] = {}

    def part_in(self, repeat: int, fold: int) -> Literal["train", "validation", "test", "unused"]:
        """What the patient is in a fold."""
        place = (repeat, fold)
        if place in self.tested_in:
            return "test"
        if place in self.validates_in:
            return "validation"
        return "unused" if place in self.unused_in else "train"


class Counts(Part):
    """How many slides and patients there were, and how many were used."""

    slides_in_store: int
    slides_used: int
    patients_in_table: int
    patients_used: int


class CohortCounts(Counts):
    """The same of a run's own cohort."""

    slides_failed: int


class CohortDocument(Document):
    """``cohort.json``: who was split how, and who was left out and why."""

    FORMAT = "histonic-cohort-1"

    split: Made
    patients: tuple[CohortPatient, ...]
    exclusions: tuple[Exclusion, ...]
    counts: CohortCounts

    def patient_of(self, slide_id: str) -> CohortPatient | None:
        """The patient of a slide; None if it is not of the cohort."""
        return next((each for each in self.patients if slide_id in each.slide_ids), None)


class ExternalDocument(Document):
    """``external.json``: a cohort from elsewhere that the run's networks have predicted.

    Attributes:
        codings: How the follow-up of its survival targets was taken; none in files of earlier versions.
    """

    FORMAT = "histonic-external-1"

    name: str
    store: GivenPlace
    labels: Path
    settings: dict[str, JsonValue]
    patients: tuple[SlidesOfPatient, ...]
    exclusions: tuple[Exclusion, ...]
    counts: Counts
    codings: Mapping[str, Coding] = {}


class RunSettings(TableSettings):
    """``settings.yaml``: as far as later verbs read it, with all else that is there."""

    model_config = ConfigDict(extra="allow", frozen=True)

    store: GivenPlace
    labels: Path
    out: Path
