"""What is noted of an explanation: explanation.json of one slide and target, and summary.json over many."""

from __future__ import annotations

from pathlib import Path

from histonic.core.calls import is_point
from histonic.core.documents import Document, Part, SparsePart, read_document
from histonic.core.errors import TableError
from histonic.core.task import TaskKind
from histonic.stages.explain.attribution.results import DeletionCurves, RandomisedMaps

FOLDER = "explain"
"""In a run; below it a folder a method, target and slide."""
RECORD = "explanation.json"
UNSIGNED = ("grad-cam", "attention")
"""Methods whose values speak against nothing."""
Prediction = dict[str, str | int | float]
"""Columns of a table of predictions."""


class Inputs(Part):
    """What an explanation depends on; by another set of inputs it is computed anew."""

    bundle: str
    slide: str
    tissue: str
    picture: str
    by_path: bool
    output: str | None
    checks: bool
    tiles: int
    seed: int
    lesion: tuple[str, ...]
    mask: str | None


class NetworkName(Part):
    """Which network of the run."""

    repeat: int
    fold: int
    initialisation: int


class LesionCheck(Part):
    """The explanation against a mask of the lesion; AUC is None if all of the tissue is lesion, or none."""

    cells: int
    auc: float | None
    auc_randomised: float | None = None


class Explanation(SparsePart, Document):
    """``explanation.json``.

    Attributes:
        inputs: What it depends on.
        why: The slide was chosen.
        patient_id: Empty if the slide is not of the cohort.
        output: What cells speak for.
        meaning: Of the values.
        prediction: Of the networks that were asked, on this slide.
        patient_prediction: In the run's table; None if there is none.
        joined: The networks saw all slides of the patient together.
        truth: Class, value, or time and event; None if unknown.
        unseen: The networks never saw the patient.
        shrinkage: Mean over the networks' heads.
        cells: Of tissue.
        curves: None without checks.
        prediction_name: What the curves show.
    """

    FORMAT = "histonic-explanation-1"

    inputs: Inputs
    why: str
    slide_id: str
    patient_id: str
    target: str
    kind: TaskKind
    method: str
    output: str
    meaning: str
    prediction: Prediction
    patient_prediction: Prediction | None
    joined: bool
    truth: str | int | float | tuple[int | float, int | float] | None
    networks: tuple[NetworkName, ...]
    unseen: bool
    shrinkage: float
    cells: int
    curves: DeletionCurves | None
    randomisation: RandomisedMaps | None
    lesion: LesionCheck | None
    picture_note: str
    prediction_name: str = ""


def read_explanation(path: Path) -> Explanation:
    """Read ``explanation.json``.

    Raises:
        TableError: It is absent, damaged, or of another version.
    """
    return read_document(Explanation, path, TableError, "Run 'histonic explain' again, which makes it anew.")


def title_of(record: Explanation) -> str:
    """Slide, target, prediction and truth in a line."""
    words, truth = prediction_words(record.prediction, record.kind), record.truth
    if isinstance(truth, tuple):
        truth = f"{'event' if truth[1] else 'no event until'}{' at' if truth[1] else ''} {truth[0]:g}"
    told = "" if truth is None else f", truth {truth if isinstance(truth, str) else f'{truth:.3g}'}"
    by = "networks that never saw the patient" if record.unseen else "all networks; not of the cohort"
    return f"{record.slide_id}   |   {record.target}: predicted {words}{told}   |   {by}"


def prediction_words(prediction: Prediction, kind: TaskKind) -> str:
    """A prediction in a few words.

    Where another class is more probable than the called one, the rule that decided is said.

    Example:
        >>> prediction_words({"risk": 1.234, "high_risk": 1}, "survival")
        'high risk (1.23)'
    """
    if kind == "survival":
        return f"{'high' if prediction['high_risk'] else 'low'} risk ({prediction['risk']:.2f})"
    if kind == "regression":
        return f"{prediction['predicted']:.3g}"
    name = prediction["predicted"]
    share = float(prediction[f"p_{name}"])
    largest = max(float(value) for key, value in prediction.items() if key.startswith("p_"))
    decided_by = str(prediction.get("decided_by", ""))
    rule = f", at {decided_by}" if is_point(decided_by) else ", much for so rare a class"
    rule = ", the median" if decided_by == "median" else rule
    return f"{name} ({100 * share:.0f} %{'' if share == largest else rule})"


class SummaryRow(Part):
    """One line of ``summary.csv``."""

    target: str
    slide_id: str
    patient_id: str
    output: str
    why: str
    networks: int
    unseen: int
    shrinkage: float
    cells: int
    deletion: float | None
    insertion: float | None
    random: float | None
    gain: float | None
    randomised: float | None
    lesion_cells: int | None
    auc: float | None
    auc_randomised: float | None


def summary_row(record: Explanation) -> SummaryRow:
    """The line of one explanation."""
    areas = record.curves.areas if record.curves else None
    lesion = record.lesion
    return SummaryRow(
        **{name: getattr(record, name) for name in ("target", "slide_id", "patient_id", "output", "why")},
        networks=len(record.networks),
        unseen=int(record.unseen),
        shrinkage=record.shrinkage,
        cells=record.cells,
        **{name: getattr(areas, name, None) for name in ("deletion", "insertion", "random", "gain")},
        randomised=record.randomisation.mean if record.randomisation else None,
        lesion_cells=lesion.cells if lesion else None,
        auc=lesion.auc if lesion else None,
        auc_randomised=lesion.auc_randomised if lesion else None,
    )


class TargetMeans(Part):
    """Means over the slides of a target; None where no slide has the number."""

    slides: int
    slides_with_auc: int
    gain: float | None
    randomised: float | None
    auc: float | None
    auc_randomised: float | None


class Explanations(Document):
    """``summary.json``: means per target."""

    FORMAT = "histonic-explanations-1"

    targets: dict[str, TargetMeans]
