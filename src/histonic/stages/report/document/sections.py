"""What the report says beside the targets: audit, folds and sites, slides, training, explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from histonic.core.documents import Part, SparsePart
from histonic.data.maps.shares import Kind
from histonic.stages.audit.findings import AuditResult


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

    def share_of(self) -> dict[str, float]:
        """Share of tissue by slide_id, of the area where it is known, else of the cells."""
        return {
            each.slide_id: each.of_cells if each.of_area is None else each.of_area for each in self.slides
        }


class Range(Part):
    """Median and quartiles."""

    median: float
    low: float
    high: float


class SiteSlides(Part):
    """The slides of one site or cohort.

    Attributes:
        name: Of the site; empty where the table names none.
        external: Name of the external cohort; empty for the run's own.
        slides: Whose map is in the store.
        tissue: Their share of tissue, of the area where that is known, else of the cells.
        folds: Share of folds and dark spots; None if not known.
        blurred: Share of cells that are less sharp; None if not known.
        colour: Mean colour of their tissue, red, green and blue, 0 to 255; None if not known.
        colour_spread: Standard deviation of the same over the slides; None with one.
    """

    name: str
    external: str
    slides: int
    tissue: Range | None
    folds: Range | None
    blurred: Range | None
    colour: tuple[int, int, int] | None
    colour_spread: tuple[float, float, float] | None


class LeftOutSlide(Part):
    """A slide that was left out, why, and whether the page has its picture."""

    slide_id: str
    reason: str
    pictured: bool


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
        greatest: Size of value at which this slide's colours alone would end; None if not known.
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
    greatest: float | None = None
    gain: float | None
    deletion: float | None
    insertion: float | None
    random: float | None
    randomised: float | None
    lesion_cells: int | None
    auc: float | None
    auc_randomised: float | None


class ExplanationsSection(Part):
    """Where the model looks: slides by target, and why there are none or few.

    Attributes:
        scales: By target where colours end, the same for all its patients.
    """

    problem: str
    method: str
    targets: dict[str, tuple[ExplainedSlide, ...]]
    scales: Mapping[str, float] = {}
