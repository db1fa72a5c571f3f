"""Evaluation of survival: order of the risks, predicted survival over time, and risk groups."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.errors import CohortError
from histonic.metrics.calibration.decision import net_benefit_by
from histonic.metrics.calibration.probabilities import observed_to_expected
from histonic.metrics.inference.comparisons import BOTH_WAYS
from histonic.metrics.inference.intervals import Statistic
from histonic.metrics.inference.scores import FEWEST_UNITS, Measure
from histonic.metrics.ranks import FloatArray, ratio
from histonic.metrics.survival import censoring
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.curves import kaplan_meier, log_rank, numbers_at_risk
from histonic.metrics.survival.follow_up import median_follow_up
from histonic.metrics.survival.hazard import hazard_ratio
from histonic.metrics.survival.outcome import Survival, check_survival, has_comparable_pair
from histonic.metrics.survival.restricted_mean import restricted_mean, restricted_mean_difference
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.competing import CAUSE_SPECIFIC, incidence_groups, other_causes
from histonic.stages.evaluate.curves import (
    AucCurve,
    BrierCurve,
    DecisionCurve,
    FollowUp,
    HazardRatioRow,
    RestrictedMeanRow,
    RiskGroup,
    RiskGroups,
    SurvivalBins,
    SurvivalCurves,
)
from histonic.stages.evaluate.evaluated import (
    Evaluated,
    decision_thresholds,
    fold_or_none,
    listed,
    require_patients,
    within_folds,
)
from histonic.stages.evaluate.survival_times import (
    RISK_GROUPS,
    Predicted,
    RiskModel,
    Times,
    evaluated_times,
    parts_of,
    predict_survival,
    round_times,
)

CALIBRATION_GROUPS = 4
FITTED_TO = {
    "parts": "Survival is predicted by a Cox model of the risk, fitted to the patients of the other parts.",
    "run": "Survival is predicted by a Cox model of the risk, fitted to the run's own patients and their "
    "out-of-fold risks; nothing was fitted to the patients shown here.",
}
"""Where predicted survival comes from: the cohort itself, cross-fitted, or the run that is tested on it."""


def evaluate_survival(table: PredictionTable, reference: PredictionTable | None = None) -> Evaluated:
    """Measures and curves of a survival target.

    Args:
        table: Predictions with follow-up.
        reference: For a cohort from elsewhere, the out-of-fold predictions of the run's own patients, one row
            a patient. The model that turns risks into survival is fitted to them and kept as it is. Without
            it, the model of each part of ``table`` is fitted to the other parts.
    """
    table = table.rows(table.has_truth())
    outcome = _comparable(table)
    risk, fold = table.numbers("risk"), table.numbers("fold")
    high = table.numbers("high_risk") > 0.5
    model = None if reference is None else _risk_model(reference)
    # Beyond the follow-up of those who were fitted there is no predicted survival.
    times = evaluated_times(outcome, np.inf if model is None else evaluated_times(model.outcome).last)
    causes = other_causes(table, *([] if reference is None else [reference]))
    if causes:
        # What weighs or predicts survival would take the other causes for a loss from follow-up by chance.
        times = times._replace(grid=np.empty(0), quartiles=())
    measures = _order_measures(table, outcome, times)
    by_time: dict[str, Any] = {}
    bands: dict[str, Statistic] = {}
    if len(times.grid):
        found, at_horizon = (
            predict_survival(outcome, risk, parts_of(fold), at) if model is None else model.predict(risk, at)
            for at in (times.grid, np.array([times.horizon]))
        )
        chance = 1 - at_horizon.by_risk[:, 0]
        source = "parts" if model is None else "run"
        measures += _survival_measures(outcome, found, times, chance, FITTED_TO[source])
        by_time = {"survival_from": source, **_survival_curves(outcome, risk, found, times, chance)}
        bands = _bands(outcome, risk, found, times, chance)
    if causes:
        measures = [replace(each, note=f"{CAUSE_SPECIFIC} {each.note}".strip()) for each in measures]
        folds = fold_or_none(fold)
        test = log_rank(outcome, high, strata=folds, inflation=_inflation(folds))
        groups: dict[str, Any] = {
            "incidence": incidence_groups(outcome, table.competing(), high, causes, test)
        }
    else:
        groups = {"km": kaplan_meier_groups(outcome, high, fold_or_none(fold))}
        row = restricted_mean_row(outcome, high, fold_or_none(fold))
        groups |= {} if row is None else {"restricted_mean": row}
    curves = SurvivalCurves(
        **groups,
        follow_up=_follow_up_row(outcome, table.competing()),
        horizon=times.horizon,
        hazard_ratios=hazard_ratios(outcome, risk, high, fold_or_none(fold)),
        **by_time,
    )
    return Evaluated(measures, curves, fold, bands).led_by(table.task)


def _risk_model(reference: PredictionTable) -> RiskModel:
    """Of the run's patients whose follow-up is known; without any event, of no hazard."""
    known = reference.rows(reference.has_truth())
    if not len(known.frame):
        raise CohortError(
            f"Predict survival ({reference.task.name!r}) from the run's own patients.",
            "None of them has a known follow-up.",
            "Test a run that was evaluated on this target.",
        )
    return RiskModel.fit(_follow_up(known), known.numbers("risk"))


def _follow_up(table: PredictionTable) -> Survival:
    """Of patients whose follow-up is known."""
    time, event = (table.numbers(name) for name in ("time", "event"))
    return check_survival(time, event, target=table.task.name, patients=table.texts("patient_id"))


def _comparable(table: PredictionTable) -> Survival:
    """The follow-up of patients of whom two at least can be compared.

    Raises:
        CohortError: There are no two.
    """
    outcome = _follow_up(table)
    require_patients(
        table.task,
        n=len(outcome.time),
        varies=has_comparable_pair(outcome),
        constant="No patient is known to have outlived another: no event, or all at the last time.",
    )
    return outcome


def order_measures(table: PredictionTable) -> list[Measure]:
    """The measures of order alone, which need no curve; see :func:`evaluate_survival`.

    Args:
        table: Predictions of patients with a known follow-up.

    Raises:
        CohortError: No two patients can be compared.
    """
    outcome = _comparable(table)
    return _order_measures(table, outcome, evaluated_times(outcome))


def _order_measures(table: PredictionTable, outcome: Survival, times: Times) -> list[Measure]:
    risk, fold = table.numbers("risk"), table.numbers("fold")
    events = int(outcome.event.sum())
    pooled = partial(survival.concordance, outcome, risk)
    within = partial(survival.concordance, outcome, risk, within=fold_or_none(fold))
    measures = within_folds(Measure("C-index", within, 0.5, units=events), pooled, fold, table)
    if not len(times.grid):
        return measures
    uno = partial(censoring.uno_concordance, outcome, risk, until=times.last)
    measures.append(Measure("Uno's C", uno, 0.5, note=f"Of events before {times.last:.3g}.", units=events))
    mean = partial(censoring.mean_auc, outcome, risk, times.grid)
    measures.append(Measure("Mean AUC over time", mean, 0.5, note=f"Up to {times.last:.3g}.", units=events))
    return measures + [
        Measure(f"AUC at {time:g}", _auc_statistic(outcome, risk, time), 0.5, units=_cases(outcome, time))
        for time in times.quartiles
    ]


def _auc_statistic(outcome: Survival, risk: FloatArray, time: float) -> Statistic:
    return lambda counts: censoring.auc_at(outcome, risk, np.array([time]), counts)[..., 0]


def _cases(outcome: Survival, time: float) -> int:
    return int((outcome.event & (outcome.time <= time)).sum())


def _survival_measures(
    outcome: Survival, found: Predicted, times: Times, chance: FloatArray, source: str
) -> list[Measure]:
    grid = times.grid
    error = partial(censoring.integrated_brier, outcome, found.by_risk, grid)
    blind = partial(censoring.integrated_brier, outcome, found.by_none, grid)
    return [
        Measure(
            "Integrated Brier score",
            error,
            float(blind()),
            higher_is_better=False,
            note=f"Up to {times.last:.3g}. {source} Chance: their Kaplan-Meier curve for everyone.",
        ),
        Measure("Brier skill", lambda counts: 1 - ratio(error(counts), blind(counts)), 0.0),
        Measure(
            f"Observed / expected events by {times.horizon:g}",
            partial(observed_to_expected, outcome, chance, times.horizon),
            None,
            note=source,
        ),
    ]


def _survival_curves(
    outcome: Survival, risk: FloatArray, found: Predicted, times: Times, chance: FloatArray
) -> dict[str, Any]:
    """``auc_t``, ``brier_t``, ``calibration`` and ``decision``; the bands come with the resamples."""
    grid, thresholds = times.grid, decision_thresholds(chance)
    everyone = np.ones_like(chance)
    return {
        "auc_t": AucCurve(time=listed(grid), value=listed(censoring.auc_at(outcome, risk, grid))),
        "brier_t": BrierCurve(
            time=listed(grid),
            value=listed(censoring.brier_at(outcome, found.by_risk, grid)),
            blind=listed(censoring.brier_at(outcome, found.by_none, grid)),
        ),
        "calibration": _calibration_groups(outcome, chance, times.horizon),
        "decision": DecisionCurve(
            threshold=listed(thresholds),
            value=listed(net_benefit_by(outcome, chance, times.horizon, thresholds)),
            all=listed(net_benefit_by(outcome, everyone, times.horizon, thresholds)),
        ),
    }


def _bands(
    outcome: Survival, risk: FloatArray, found: Predicted, times: Times, chance: FloatArray
) -> dict[str, Statistic]:
    return {
        "auc_t": partial(censoring.auc_at, outcome, risk, times.grid),
        "brier_t": partial(censoring.brier_at, outcome, found.by_risk, times.grid),
        "decision": partial(net_benefit_by, outcome, chance, times.horizon, decision_thresholds(chance)),
    }


def _calibration_groups(outcome: Survival, chance: FloatArray, time: float) -> SurvivalBins:
    """Predicted and Kaplan-Meier share of events by ``time``, in groups of equally many patients."""
    cuts = np.quantile(chance, np.arange(1, CALIBRATION_GROUPS) / CALIBRATION_GROUPS)
    group = np.searchsorted(cuts, chance, side="left")
    rows: dict[str, list[Any]] = {key: [] for key in ("predicted", "observed", "low", "high", "count")}
    for name in np.unique(group):
        here = group == name
        curve = kaplan_meier(Survival(outcome.time[here], outcome.event[here]))
        place = int(np.searchsorted(curve.time, time, side="right")) - 1
        rows["predicted"].append(float(chance[here].mean()))
        rows["observed"].append(float(1 - curve.survival[place]))
        rows["low"].append(float(1 - curve.high[place]))
        rows["high"].append(float(1 - curve.low[place]))
        rows["count"].append(int(here.sum()))
    return SurvivalBins(**rows)


def hazard_ratios(
    outcome: Survival,
    risk: FloatArray,
    high: npt.NDArray[np.bool_],
    fold: npt.NDArray[Any] | None = None,
) -> list[HazardRatioRow]:
    """Of the high- against the low-risk group, and per standard deviation of the risk.

    Args:
        outcome: Follow-up of all patients.
        risk: ``(n,)``.
        high: ``(n,)``, above the cut-off of the fold's training patients.
        fold: ``(n,)`` if there are several. Patients are then compared within their fold, and the variance
            counts twice, as patients predict each other.
    """
    spread = float(risk.std())
    asked = [("High against low risk", high.astype(np.float64))]
    if spread > 0:
        asked.append(("Per standard deviation of risk", (risk - risk.mean()) / spread))
    items = []
    for name, covariate in asked:
        found = None
        if np.ptp(covariate) > 0:
            found = hazard_ratio(outcome, covariate, strata=fold, inflation=_inflation(fold))
        values = (None,) * 4 if found is None else tuple(found)
        items.append(
            HazardRatioRow(name=name, **dict(zip(("value", "low", "high", "p"), values, strict=True)))
        )
    return items


def _follow_up_row(outcome: Survival, competing: npt.NDArray[np.bool_]) -> FollowUp:
    """Patients, events and median follow-up, which other causes cut short as the event does."""
    median = median_follow_up(Survival(outcome.time, outcome.event | competing))
    return FollowUp(
        n=len(outcome.time),
        events=int(outcome.event.sum()),
        competing=int(competing.sum()),
        median=median.value,
        low=median.low,
        high=median.high,
    )


def restricted_mean_row(
    outcome: Survival, high: npt.NDArray[np.bool_], fold: npt.NDArray[Any] | None = None
) -> RestrictedMeanRow | None:
    """How much longer the low-risk group lives without the event: the area between the drawn curves.

    It ends at the last round time at which a tenth of each group is still followed. It is of the curves as
    they are drawn, all folds together, since a fold's groups are too small for curves of their own.

    Args:
        outcome: Follow-up of all patients.
        high: ``(n,)``, above the cut-off that the training patients of the fold gave.
        fold: As for :func:`hazard_ratios`, for the variance alone.

    Returns:
        None with a single group, or one that is not followed at all.
    """
    if high.all() or not high.any():
        return None
    low_risk, high_risk = (Survival(outcome.time[rows], outcome.event[rows]) for rows in (~high, high))
    until = float(round_times(min(evaluated_times(each).last for each in (low_risk, high_risk)))[-1])
    if until <= 0:
        return None
    found = restricted_mean_difference(outcome, high, until, inflation=_inflation(fold))
    # Greenwood's variance of a curve with hardly a step is next to none.
    few = min(_cases(each, until) for each in (low_risk, high_risk)) < FEWEST_UNITS
    return RestrictedMeanRow(
        until=until,
        low_risk=restricted_mean(low_risk, until).value,
        high_risk=restricted_mean(high_risk, until).value,
        difference=found.value,
        low=None if few else found.low,
        high=None if few else found.high,
    )


def _inflation(fold: npt.NDArray[Any] | None) -> float:
    return 1.0 if fold is None else BOTH_WAYS


def kaplan_meier_groups(
    outcome: Survival, high: npt.NDArray[np.bool_], fold: npt.NDArray[Any] | None = None
) -> RiskGroups:
    """Survival of the low- and the high-risk group, and whether they differ.

    Args:
        outcome: Follow-up of all patients.
        high: ``(n,)``, above the cut-off that the training patients of the fold gave.
        fold: As for :func:`hazard_ratios`.
    """
    at = round_times(float(outcome.time.max()))
    groups = []
    for name, chosen in zip(RISK_GROUPS, (~high, high), strict=True):
        if chosen.any():
            groups.append(_group(name, Survival(outcome.time[chosen], outcome.event[chosen]), at))
    test = log_rank(outcome, high, strata=fold, inflation=_inflation(fold))
    p, chi2 = (None, None) if test is None else (test.p, test.chi2)
    return RiskGroups(groups=groups, at=listed(at), p=p, chi2=chi2)


def _group(name: str, outcome: Survival, at: FloatArray) -> RiskGroup:
    curve = kaplan_meier(outcome)
    return RiskGroup(
        name=name,
        n=curve.n,
        events=curve.events,
        median=curve.median,
        time=listed(curve.time),
        survival=listed(curve.survival),
        low=listed(curve.low),
        high=listed(curve.high),
        censored=listed(np.unique(outcome.time[~outcome.event])),
        at_risk=numbers_at_risk(outcome.time, at).astype(int).tolist(),
    )
