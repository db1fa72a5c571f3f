"""Data of the figures of each kind of target, as they stand in report.json."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from histonic.core.documents import Part, SparsePart

Numbers = tuple[float | None, ...]
"""Along a curve; None where JSON has no word for the number."""


class OfClass(Part):
    """What is drawn for one class."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(alias="class")


class ClassLine(OfClass):
    """A curve of one class against all others."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Bins(Part):
    """Groups of equally many patients by their prediction, and what was seen of them."""

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[int, ...]


class ClassBins(OfClass, Bins):
    """Of the probability of one class."""


class ValueBins(Bins):
    """Of a value, with the fitted line, if there is one."""

    slope: float | None
    intercept: float | None


class SurvivalBins(Bins):
    """Of the chance of an event, with the ends of the observed share's 95 % interval."""

    low: Numbers
    high: Numbers


class Confusion(Part):
    """Patients by true class (rows) and called class."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Scatter(Part):
    """Truth, prediction and fold of each patient."""

    truth: Numbers
    predicted: Numbers
    fold: tuple[int, ...]


class BandedCurve(SparsePart):
    """A curve whose 95 % band comes with the resamples."""

    value: Numbers
    low: Numbers = ()
    high: Numbers = ()


class DecisionCurve(BandedCurve):
    """Net benefit of the model, and of treating all."""

    threshold: Numbers
    all: Numbers


class AucCurve(BandedCurve):
    """AUC at each time."""

    time: Numbers


class BrierCurve(BandedCurve):
    """Brier score at each time; ``blind`` is that of the Kaplan-Meier curve."""

    time: Numbers
    blind: Numbers


class RiskGroup(Part):
    """Kaplan-Meier curve of one group of patients; the median is None if it was not reached."""

    name: str
    n: int
    events: int
    median: float | None
    time: Numbers
    survival: Numbers
    low: Numbers
    high: Numbers
    censored: Numbers
    at_risk: tuple[int, ...]


class IncidenceGroup(Part):
    """Cumulative incidence of the event in one group of patients, where other causes may come first."""

    name: str
    n: int
    events: int
    competing: int
    time: Numbers
    incidence: Numbers
    low: Numbers
    high: Numbers
    at_risk: tuple[int, ...]


class IncidenceGroups(Part):
    """Risk groups by Aalen and Johansen, the times of ``at_risk``, and the log-rank test of their hazards."""

    groups: tuple[IncidenceGroup, ...]
    causes: tuple[str, ...]
    at: tuple[float, ...]
    p: float | None
    chi2: float | None


class FollowUp(Part):
    """Patients, events, and the median follow-up by reverse Kaplan-Meier with its 95 % interval.

    ``competing``: patients with another cause. Of the median, None where it is not reached; ``high`` is None
    where the interval is open.
    """

    n: int
    events: int
    competing: int
    median: float | None
    low: float | None
    high: float | None


class RestrictedMeanRow(Part):
    """Restricted mean survival time up to ``until`` of the low- and the high-risk group.

    ``difference`` is low less high risk; the ends of its 95 % interval are None with too few events.
    """

    until: float
    low_risk: float
    high_risk: float
    difference: float
    low: float | None
    high: float | None


class RiskGroups(Part):
    """Risk groups, the times of ``at_risk``, and the log-rank test (None with a single group)."""

    groups: tuple[RiskGroup, ...]
    at: tuple[float, ...]
    p: float | None
    chi2: float | None


class HazardRatioRow(Part):
    """With its 95 % interval and Wald's p; None where no finite ratio exists."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    p: float | None


class FoldScore(Part):
    """The leading metric on one fold's patients alone; None where it is undefined."""

    repeat: int
    fold: int
    n: int
    value: float | None


class Curves(SparsePart):
    """Of any target: the folds and the number of repeats.

    With several repeats, figures show each patient's mean prediction.
    """

    folds: tuple[FoldScore, ...] = ()
    repeats: int = 1


class ClassCurves(Curves):
    """Of classes: one item for the positive class, or one per class; ``scatter`` if they are ordered.

    ``smooth`` is the calibration curve of a binary target with enough patients of both classes.
    """

    roc: tuple[ClassLine, ...]
    pr: tuple[ClassLine, ...]
    calibration: tuple[ClassBins, ...]
    confusion: Confusion
    decision: DecisionCurve | None = None
    scatter: Scatter | None = None
    smooth: ClassLine | None = None


class ValueCurves(Curves):
    """Of values."""

    scatter: Scatter
    calibration: ValueBins


class SurvivalCurves(Curves):
    """Of survival; what needs a span of follow-up is None without one.

    With competing causes ``incidence`` stands in place of ``km``, and there is neither a restricted mean nor
    predicted survival.
    ``calibration`` and ``decision`` are those at the ``horizon``; ``survival_from`` says to whose patients
    the step from risk to predicted survival was fitted.
    """

    follow_up: FollowUp | None = None
    km: RiskGroups | None = None
    restricted_mean: RestrictedMeanRow | None = None
    incidence: IncidenceGroups | None = None
    horizon: float
    hazard_ratios: tuple[HazardRatioRow, ...]
    survival_from: Literal["parts", "run"] | None = None
    auc_t: AucCurve | None = None
    brier_t: BrierCurve | None = None
    calibration: SurvivalBins | None = None
    decision: DecisionCurve | None = None


AnyCurves = ClassCurves | ValueCurves | SurvivalCurves | Curves
"""Of a target of any kind; the last of a target that could not be evaluated."""
