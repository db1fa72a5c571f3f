"""Evaluation of values and of survival: measures and the data of scatter and Kaplan-Meier figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.metrics import labels, regression, survival
from histonic.metrics.ranks import FloatArray
from histonic.metrics.scores import Measure
from histonic.stages.evaluated import Evaluated, bins_of, listed, require_patients
from histonic.stages.prediction_table import PredictionTable

RISK_GROUPS = ("low risk", "high risk")


def evaluate_regression(table: PredictionTable) -> Evaluated:
    """Measures and curves of a regression target."""
    table = table.rows(np.isfinite(table.numbers("truth", missing=True)))
    truth = table.numbers("truth")
    varies = len(np.unique(truth)) > 1
    require_patients(table.task, n=len(truth), varies=varies, constant="All patients have the same value.")
    predicted, fold = table.numbers("predicted"), table.numbers("fold")
    blind = float(np.mean(np.abs(truth - regression.mean_of_other_folds(truth, fold))))
    measures = [
        Measure("Spearman correlation", partial(regression.spearman, truth, predicted), 0.0),
        Measure(
            "Mean absolute error",
            partial(regression.mean_absolute_error, truth, predicted),
            blind,
            higher_is_better=False,
            note="Chance: the mean of the other folds' patients as prediction.",
        ),
        Measure("R²", partial(regression.explained_variance, truth, predicted), 0.0),
    ]
    line = regression.calibration_line(truth, predicted)
    curves = {
        "scatter": {
            "truth": listed(truth), "predicted": listed(predicted), "fold": fold.astype(int).tolist()
        },
        "calibration": {
            **bins_of(labels.calibration_bins(truth, predicted)),
            "slope": None if line is None else line.slope,
            "intercept": None if line is None else line.intercept,
        },
    }  # fmt: skip
    return Evaluated(measures, curves, fold)


def evaluate_survival(table: PredictionTable) -> Evaluated:
    """Measures and curves of a survival target."""
    time, event = (table.numbers(name, missing=True) for name in ("time", "event"))
    known = np.isfinite(time) & np.isfinite(event)
    table = table.rows(known)
    patients = table.texts("patient_id")
    outcome = survival.check_survival(time[known], event[known], target=table.task.name, patients=patients)
    require_patients(
        table.task,
        n=len(outcome.time),
        varies=survival.has_comparable_pair(outcome),
        constant="No patient is known to have outlived another: no event, or all at the last time.",
    )
    risk, fold = table.numbers("risk"), table.numbers("fold")
    high = table.numbers("high_risk") > 0.5
    events = int(outcome.event.sum())
    measures = [
        Measure("C-index", partial(survival.concordance, outcome, risk), 0.5, units=events),
        Measure(
            "C-index within folds",
            partial(survival.concordance, outcome, risk, within=fold),
            0.5,
            note="Only pairs of patients that the same networks predicted.",
            units=events,
        ),
    ]
    return Evaluated(measures, {"km": kaplan_meier_groups(outcome, high)}, fold)


def kaplan_meier_groups(outcome: survival.Survival, high: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Survival of the low- and the high-risk group, and whether they differ.

    Args:
        outcome: Follow-up of all patients.
        high: ``(n,)``, above the cut-off that the training patients of the fold gave.

    Returns:
        ``groups`` (a list with name, n, events, median or None, and lists time, survival, low, high,
        censored and at_risk), ``at`` (the times of ``at_risk``), ``p`` and ``chi2`` of the log-rank
        test (None with a single group).
    """
    at = _round_times(float(outcome.time.max()))
    groups = []
    for name, chosen in zip(RISK_GROUPS, (~high, high), strict=True):
        if chosen.any():
            groups.append(
                {"name": name, **_group(survival.Survival(outcome.time[chosen], outcome.event[chosen]), at)}
            )
    test = survival.log_rank(outcome, high)
    p, chi2 = (None, None) if test is None else (test.p, test.chi2)
    return {"groups": groups, "at": listed(at), "p": p, "chi2": chi2}


def _group(outcome: survival.Survival, at: FloatArray) -> dict[str, Any]:
    curve = survival.kaplan_meier(outcome)
    return {
        "n": curve.n,
        "events": curve.events,
        "median": curve.median,
        "time": listed(curve.time),
        "survival": listed(curve.survival),
        "low": listed(curve.low),
        "high": listed(curve.high),
        "censored": listed(np.unique(outcome.time[~outcome.event])),
        "at_risk": survival.numbers_at_risk(outcome.time, at).astype(int).tolist(),
    }


def _round_times(last: float) -> FloatArray:
    """0 and four to eight round times up to ``last``."""
    if last <= 0:
        return np.zeros(1)
    exponent = int(np.floor(np.log10(last / 4)))
    step = max(m for m in (1, 2, 2.5, 5) if m * 4 * 10.0**exponent <= last) * 10.0**exponent
    # 7 * 0.1 lies above 0.7, and a patient followed to 0.7 would not count as at risk then.
    times = np.round(step * np.arange(int(last / step + 1e-9) + 1), max(0, 1 - exponent))
    return np.asarray(times[times <= last], dtype=np.float64)
