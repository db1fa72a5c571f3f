"""All that the report says: report.json and the page are made from this one model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainSerializer

from histonic.core.cohort import Exclusion
from histonic.core.documents import Document, Part, SparsePart
from histonic.core.task import Task
from histonic.data.maps.shares import Kind
from histonic.data.maps.store import Failure
from histonic.metrics.inference.scores import Score
from histonic.runs.documents import CohortCounts, ExternalDocument, RunDocument
from histonic.stages.audit.findings import AuditResult
from histonic.stages.evaluate.chance import AgainstChance
from histonic.stages.evaluate.clinical_models import Clinical
from histonic.stages.evaluate.curves import AnyCurves
from histonic.stages.evaluate.groups import Grouping
from histonic.stages.evaluate.operating_points import PointEvaluation


class NoClinical(Part):
    """Why clinical columns and slides could not be compared."""

    problem: str


class PointRow(PointEvaluation):
    """One operating point on the page.

    Attributes:
        label: What it is.
        thresholds: That it had, by repeat and fold; of an external cohort one, of all networks together.
    """

    label: str
    thresholds: tuple[float, ...]


class OperatingPoints(Part):
    """The operating points of a binary target, and in sentences where the thresholds came from."""

    rows: tuple[PointRow, ...]
    notes: tuple[str, ...]


class Target(SparsePart):
    """One target in one cohort.

    Attributes:
        task: The target.
        label: Its name in sentences.
        n: Patients with a truth.
        problem: Why it could not be evaluated; else empty.
        crossed: The predictions are cross-validated.
        scores: Metrics, the leading one first; none with a problem, nor curves.
        against_chance: How the leading metric stands to chance, all targets of the cohort counted together.
        p_chance: The p-value behind it, corrected for these; None without an interval.
        curves: Data of the figures.
        summary: For the head of the page.
        meaning: Of the leading metric, in sentences.
        groups: Sites and subgroups.
        clinical: Clinical columns beside the slides, if any were named.
        coding: How the labels were taken: order, positive class, event, unit of time.
        doubt: What of this nothing says; empty if there is nothing.
        decided_by: The rule by which classes were called; empty where none are, or the table does not say.
        operating_points: What other calls are worth; None where the table has none.
    """

    task: Annotated[Task, PlainSerializer(Task.to_dict)]
    label: str
    n: int
    problem: str
    crossed: bool
    scores: tuple[Score, ...]
    against_chance: AgainstChance = "unknown"
    p_chance: float | None = None
    curves: AnyCurves
    summary: str
    meaning: tuple[str, ...] = ()
    groups: tuple[Grouping, ...]
    clinical: Clinical | NoClinical | None
    coding: str = ""
    doubt: str = ""
    decided_by: str = ""
    operating_points: OperatingPoints | None = None


class ExternalCohort(Part):
    """A cohort from elsewhere; ``overlap``: what the audit found of the run's own patients in it."""

    name: str
    about: ExternalDocument
    targets: tuple[Target, ...]
    overlap: tuple[str, ...]


class ForestRow(Part):
    """One line of the audit's figure."""

    label: str
    kind: Literal["model", "alarm", "quiet"]
    value: float
    low: float
    high: float


class Forest(Part):
    """The model and what could be tested beside the tissue, for one target."""

    target: str
    measure: str
    rows: tuple[ForestRow, ...]


class AuditSection(AuditResult):
    """The audit with the sentences of the page, and how many comparisons could be made."""

    tested: int
    summary: str
    headline: str
    figures: tuple[Forest, ...]


class ClassCount(Part):
    """Patients of a class."""

    name: str
    n: int


class Spread(SparsePart):
    """What is known of one target's truth in one fold or site: by its kind classes, events or values."""

    n: int
    classes: tuple[ClassCount, ...] = ()
    events: int | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None


class PatientGroup(Part):
    """A fold or a site."""

    name: int | str
    patients: int
    slides: int
    targets: dict[str, Spread]


class SlideTissue(Part):
    """How much of a slide is tissue: of its area (None if not known), of its cells, and in words."""

    slide_id: str
    patient_id: str
    of_area: float | None
    of_cells: float
    cells: int
    words: str


class OutlyingSlide(Part):
    """A slide whose share of tissue stands out, of what kind and why; ``pictured``: on the page."""

    slide_id: str
    patient_id: str
    kind: Kind
    words: str
    pictured: bool


class TissueSection(Part):
    """The shares of tissue of the slides, least first, in a sentence, and why they are not known, if so."""

    summary: str
    problem: str
    slides: tuple[SlideTissue, ...]
    outliers: tuple[OutlyingSlide, ...]


class ShownSlide(Part):
    """A slide whose picture is on the page."""

    slide_id: str
    patient_id: str


class Slides(Part):
    """The slides that were used: their number, those on the page, and names of those without a picture."""

    used: int
    shown: tuple[ShownSlide, ...]
    without_picture: tuple[str, ...]


class NetworkHistory(Part):
    """Losses of one network by epoch."""

    repeat: int
    fold: int
    initialisation: int
    epoch: tuple[int, ...]
    learning_rate: tuple[float | None, ...]
    train_loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]


class ChosenSettings(Part):
    """What one fold chose among the settings that were ``tried``; whether the folds ``differ``."""

    repeat: int
    fold: int
    chosen: str
    tried: int
    differ: bool


class ExplainedSlide(Part):
    """A slide whose map is on the page.

    Attributes:
        slides: Of the patient.
        role: Why it was chosen.
        prediction: Of this slide, in words.
        of_patient: Of the patient, in words.
        joined: The networks saw all slides of the patient together.
        truth: In words.
        output: What cells speak for.
        better: The cells are ranked better than by any random order that was tried.
        above_baseline: Validation kept a share of the networks' predictions.
        note: Why pictures are coarse; else empty.
        folder: Of the explanation, in the run.
        gain: This and the following as in ``summary.csv``.
    """

    patient_id: str
    slide_id: str
    slides: int
    role: str
    prediction: str
    of_patient: str
    joined: bool
    truth: str
    output: str
    better: bool
    above_baseline: bool
    note: str
    folder: str
    gain: float | None
    deletion: float | None
    insertion: float | None
    random: float | None
    randomised: float | None
    lesion_cells: int | None
    auc: float | None
    auc_randomised: float | None


class ExplanationsSection(Part):
    """Where the model looks: slides by target, and why there are none or few."""

    problem: str
    method: str
    targets: dict[str, tuple[ExplainedSlide, ...]]


class Making(Part):
    """How the report was made."""

    histonic: str
    resamples: int
    seed: int


class Report(Document):
    """``report.json``; run, settings, counts, exclusions and failures are as the run tells them."""

    FORMAT = "histonic-report-1"

    report: Making
    summary: str
    run: RunDocument
    settings: dict[str, Any]
    counts: CohortCounts
    exclusions: tuple[Exclusion, ...]
    targets: tuple[Target, ...]
    audit: AuditSection
    external: tuple[ExternalCohort, ...]
    tested: int
    without_part: int = 0
    search: tuple[ChosenSettings, ...]
    folds: tuple[PatientGroup, ...]
    sites: tuple[PatientGroup, ...]
    slides: Slides
    tissue: TissueSection
    failures: tuple[Failure, ...]
    history: tuple[NetworkHistory, ...]
    explanations: ExplanationsSection
    commands: tuple[str, ...]
