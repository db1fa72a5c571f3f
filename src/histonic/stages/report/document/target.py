"""What the report says of one target, and of cohorts from elsewhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainSerializer

from histonic.core.documents import Part, SparsePart
from histonic.core.task import Task
from histonic.metrics.inference.scores import Score
from histonic.runs.documents import ExternalDocument
from histonic.stages.evaluate.calibration.details import CalibrationDetails
from histonic.stages.evaluate.calibration.subgroups import Fairness
from histonic.stages.evaluate.chance import AgainstChance
from histonic.stages.evaluate.clinical.cox import CoxModel
from histonic.stages.evaluate.clinical.models import Clinical
from histonic.stages.evaluate.curves import AnyCurves
from histonic.stages.evaluate.groups import Grouping
from histonic.stages.evaluate.networks.spread import TrainingSpread
from histonic.stages.evaluate.operating_points import PointEvaluation
from histonic.stages.evaluate.outcome.missing import MissingLabels
from histonic.stages.evaluate.outcome.times import OutcomeTimes
from histonic.stages.evaluate.site_intervals import SiteIntervals


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
        by_sites: Their intervals by resampling sites, if those were asked for.
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
        times: Survival at some times, and how follow-up ends.
        missing: Whose label is missing.
        training: What the training adds to the uncertainty; None for runs of earlier versions.
        calibration: By class, of survival, and after recalibration.
        cox: Risk and clinical columns in one model.
        fairness: Calibration and missed cases of sites and subgroups.
    """

    task: Annotated[Task, PlainSerializer(Task.to_dict)]
    label: str
    n: int
    problem: str
    crossed: bool
    scores: tuple[Score, ...]
    by_sites: SiteIntervals | None = None
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
    times: OutcomeTimes | None = None
    missing: MissingLabels | None = None
    training: TrainingSpread | None = None
    calibration: CalibrationDetails | None = None
    cox: CoxModel | NoClinical | None = None
    fairness: Fairness | None = None


class ExternalCohort(Part):
    """A cohort from elsewhere; ``overlap``: what the audit found of the run's own patients in it."""

    name: str
    about: ExternalDocument
    targets: tuple[Target, ...]
    overlap: tuple[str, ...]
