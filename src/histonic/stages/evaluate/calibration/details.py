"""Calibration by class, of survival at the horizon, and of an external cohort after recalibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.documents import Part
from histonic.metrics.calibration import probabilities as calibration
from histonic.metrics.calibration.smooth import FEWEST_OF_A_CLASS, SmoothCalibration, smooth_calibration
from histonic.metrics.calibration.survival import FEWEST_EVENTS, smooth_survival_calibration
from histonic.metrics.discrimination import labels
from histonic.metrics.inference.comparisons import BOTH_WAYS
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival import censoring
from histonic.metrics.survival.hazard import hazard_ratio
from histonic.metrics.survival.outcome import Survival, check_survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.competing import other_causes
from histonic.stages.evaluate.evaluated import fold_or_none, listed, number_or_none
from histonic.stages.evaluate.survival_times import (
    RiskModel,
    evaluated_times,
    parts_of,
    predict_survival,
)

POINTS = 60
"""Of a smooth curve."""


class SmoothRow(Part):
    """Distances from a smooth curve, and what noise alone makes of them in a perfect model.

    Attributes:
        ici: Mean distance; ``e50`` the median, ``e90`` the 0.9 quantile.
        noise: Mean of the ICI of perfect models.
        noise_most: 95 of 100 of them show no more.
        x: Predicted chances along the curve.
        y: Observed shares.
    """

    ici: float
    e50: float
    e90: float
    noise: float
    noise_most: float
    x: tuple[float, ...]
    y: tuple[float, ...]


class CalibrationRow(Part):
    """Calibration of one predicted chance.

    Attributes:
        name: The class, or the event by a time.
        n: Patients.
        events: Those of the class, or with the event by the time.
        slope: 1 is right; below 1 the predictions are too extreme. None where it is not finite.
        low: Lower end of its 95 % interval; None where there is none.
        high: Upper end.
        floor: Events, and patients without, from which on there is a smooth curve.
        smooth: None below that, or where no curve fits.
    """

    name: str
    n: int
    events: int
    slope: float | None
    low: float | None
    high: float | None
    floor: int
    smooth: SmoothRow | None


class Recalibrated(Part):
    """Errors of the predictions as they are, and after a recalibration that is cross-fitted in the cohort.

    Attributes:
        error: ``Brier score``, or the same at the horizon of survival.
        rows: Of each way a name and its values.
    """

    error: str
    rows: tuple[RecalibratedRow, ...]


class RecalibratedRow(Part):
    """One way of predicting the external cohort.

    Attributes:
        name: Of the way.
        error: Lower is better.
        observed_to_expected: 1 is right.
        ici: Integrated calibration index; None below the floor of a smooth curve.
    """

    name: str
    error: float | None
    observed_to_expected: float | None
    ici: float | None


class CalibrationDetails(Part):
    """What can be said of calibration beyond the metrics.

    Attributes:
        rows: Of each class of several, or of the event by the horizon; none of a binary target, whose
            measures stand among the metrics.
        recalibrated: Of an external cohort.
        crossed: The variance of the slope of survival counts twice, patients within their fold.
    """

    rows: tuple[CalibrationRow, ...]
    recalibrated: Recalibrated | None
    crossed: bool


def calibration_details(
    table: PredictionTable, reference: PredictionTable | None = None
) -> CalibrationDetails | None:
    """Calibration by class or of survival, and recalibration of an external cohort.

    Args:
        table: Predictions of one repeat; the mean of several.
        reference: For a cohort from elsewhere, those of the run's own patients, one row each.

    Returns:
        None for values, and where there is nothing to say.
    """
    table = table.rows(table.has_truth())
    kind, folds = table.task.kind, fold_or_none(table.numbers("fold"))
    rows: list[CalibrationRow] = []
    again = None
    if kind in ("multiclass", "ordinal"):
        rows = [_class_row(table, k) for k in range(len(table.task.classes))]
        rows = [row for row in rows if row.events]
    elif kind == "binary" and reference is not None:
        again = _recalibrated_classes(table)
    elif kind == "survival" and not other_causes(table, *([] if reference is None else [reference])):
        found = _survival(table, reference, folds)
        if found is None:
            return None
        row, again = found
        rows = [row]
    if not rows and again is None:
        return None
    return CalibrationDetails(rows=tuple(rows), recalibrated=again, crossed=folds is not None)


def _class_row(table: PredictionTable, k: int) -> CalibrationRow:
    positive, chance = table.classes("truth") == k, table.probabilities()[:, k]
    n, events = len(positive), int(positive.sum())
    enough = min(events, n - events)
    slope = calibration.calibration_slope(positive, chance)
    low, high = _slope_ends(positive, chance, float(slope))
    smooth = smooth_calibration(positive, chance) if enough >= FEWEST_OF_A_CLASS else None
    return CalibrationRow(
        name=table.task.classes[k],
        n=n,
        events=events,
        slope=number_or_none(slope),
        low=low,
        high=high,
        floor=FEWEST_OF_A_CLASS,
        smooth=None if smooth is None else smooth_row(chance, smooth),
    )


def _slope_ends(
    positive: npt.NDArray[np.bool_], chance: FloatArray, slope: float
) -> tuple[float | None, float | None]:
    """Wald's interval of the calibration slope, from the information of the logistic regression."""
    if not np.isfinite(slope):
        return None, None
    x = calibration.logits(chance)
    shift = np.log(np.clip(positive.mean(), 1e-9, 1 - 1e-9) / np.clip(1 - positive.mean(), 1e-9, 1))
    for _ in range(60):
        share = 1 / (1 + np.exp(-(shift + slope * x)))
        step = (positive - share).sum() / (share * (1 - share)).sum()
        shift += float(np.clip(step, -3, 3))
        if abs(step) < 1e-10:
            break
    share = 1 / (1 + np.exp(-(shift + slope * x)))
    weight = share * (1 - share)
    spread = float(weight @ (x - (weight @ x) / weight.sum()) ** 2)
    if not spread > 0:
        return None, None
    reach = 1.959963984540054 / np.sqrt(spread)
    return slope - reach, slope + reach


def smooth_row(chance: FloatArray, found: SmoothCalibration) -> SmoothRow:
    """A smooth curve at equally spaced chances, from the least to the greatest predicted one."""
    known, first = np.unique(chance, return_index=True)
    x = np.linspace(known[0], known[-1], POINTS)
    y = np.interp(x, known, found.observed[first])
    return SmoothRow(
        ici=found.errors.ici,
        e50=found.errors.e50,
        e90=found.errors.e90,
        noise=found.by_noise.ici,
        noise_most=found.by_noise_most.ici,
        x=tuple(x.tolist()),
        y=tuple(y.tolist()),
    )


# ---------------------------------------------------------------------------- survival


def _outcome(table: PredictionTable) -> Survival:
    return check_survival(table.numbers("time"), table.numbers("event"), patients=table.texts("patient_id"))


def _survival(
    table: PredictionTable, reference: PredictionTable | None, folds: npt.NDArray[Any] | None
) -> tuple[CalibrationRow, Recalibrated | None] | None:
    outcome, risk = _outcome(table), table.numbers("risk")
    parts = parts_of(table.numbers("fold"))
    if reference is None:
        times = evaluated_times(outcome)
        log = np.zeros(len(risk))
        for name in np.unique(parts):
            here = parts == name
            model = RiskModel.fit(Survival(outcome.time[~here], outcome.event[~here]), risk[~here])
            log[here] = model.slope * risk[here]
    else:
        known = reference.rows(reference.has_truth())
        model = RiskModel.fit(_outcome(known), known.numbers("risk"))
        times = evaluated_times(outcome, evaluated_times(model.outcome).last)
        log = model.slope * risk
    if not len(times.grid):
        return None
    at = np.array([times.horizon])
    found = predict_survival(outcome, risk, parts, at) if reference is None else model.predict(risk, at)
    chance = 1 - found.by_risk[:, 0]
    # The level of a fold is that of the patients who trained for it: slopes are taken within folds.
    slope = hazard_ratio(outcome, log, strata=folds, inflation=BOTH_WAYS if folds is not None else 1.0)
    by_then = int((outcome.event & (outcome.time <= times.horizon)).sum())
    smooth = smooth_survival_calibration(outcome, chance, times.horizon)
    ends: Sequence[float | None] = [None] * 3
    if slope is not None:
        ends = [float(np.log(each)) for each in (slope.value, slope.low, slope.high)]
    row = CalibrationRow(
        name=f"{times.horizon:g}",
        n=len(risk),
        events=by_then,
        slope=ends[0],
        low=ends[1],
        high=ends[2],
        floor=FEWEST_EVENTS,
        smooth=None if smooth is None else smooth_row(chance, smooth),
    )
    again = None
    if reference is not None:
        refitted = predict_survival(outcome, risk, parts, at)
        again = Recalibrated(
            error=f"Brier score at {times.horizon:g}",
            rows=tuple(
                _survival_way(name, outcome, each, times.horizon)
                for name, each in (
                    ("as predicted", chance),
                    ("baseline and slope refitted", 1 - refitted.by_risk[:, 0]),
                )
            ),
        )
    return row, again


def _survival_way(name: str, outcome: Survival, chance: FloatArray, time: float) -> RecalibratedRow:
    smooth = smooth_survival_calibration(outcome, chance, time)
    error = censoring.brier_at(outcome, (1 - chance)[:, None], np.array([time]))
    return RecalibratedRow(
        name=name,
        error=listed(np.ravel(error))[0],
        observed_to_expected=number_or_none(calibration.observed_to_expected(outcome, chance, time)),
        ici=None if smooth is None else smooth.errors.ici,
    )


# ----------------------------------------------------------------------- recalibration


def _recalibrated_classes(table: PredictionTable) -> Recalibrated:
    """Of a binary target: the level alone, and level and slope, each predicted by the other parts' fit."""
    positive, chance = table.classes("truth") == 1, table.probabilities()[:, 1]
    part = parts_of(table.numbers("fold"))
    ways = {
        "as predicted": chance,
        "level refitted": recalibrate(positive, chance, part, slope=False),
        "level and slope refitted": recalibrate(positive, chance, part, slope=True),
    }
    return Recalibrated(
        error="Brier score",
        rows=tuple(_class_way(name, positive, each) for name, each in ways.items()),
    )


def recalibrate(
    positive: npt.NDArray[np.bool_], chance: FloatArray, part: npt.NDArray[Any], *, slope: bool
) -> FloatArray:
    """Chances moved by a logistic regression on their logit that never saw the patient.

    Steyerberg, Clinical Prediction Models, 2nd edition (2019), chapter 20: methods 1 and 2 of updating.

    Args:
        positive: ``(n,)``.
        chance: ``(n,)`` predicted.
        part: ``(n,)`` labels; each is predicted by a fit of the others.
        slope: Whether the slope is refitted too, not the level alone.

    Returns:
        ``(n,)``; as it was where no finite fit is best.
    """
    x, found = calibration.logits(chance), chance.copy()
    for name in np.unique(part):
        here = part == name
        steep = 1.0
        if slope:
            fitted = float(calibration.calibration_slope(positive[~here], chance[~here]))
            if not np.isfinite(fitted):
                continue
            steep = fitted
        moved = 1 / (1 + np.exp(-steep * x))
        shift = float(calibration.calibration_intercept(positive[~here], moved[~here]))
        if np.isfinite(shift):
            found[here] = 1 / (1 + np.exp(-(shift + calibration.logits(moved[here]))))
    return found


def _class_way(name: str, positive: npt.NDArray[np.bool_], chance: FloatArray) -> RecalibratedRow:
    smooth = smooth_calibration(positive, chance)
    both = np.column_stack([1 - chance, chance])
    return RecalibratedRow(
        name=name,
        error=number_or_none(labels.brier(positive.astype(np.int64), both)),
        observed_to_expected=number_or_none(positive.mean() / chance.mean()),
        ici=None if smooth is None else smooth.errors.ici,
    )


Recalibrated.model_rebuild()
