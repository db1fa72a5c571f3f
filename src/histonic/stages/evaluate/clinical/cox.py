"""A Cox model of risk and clinical columns together, stratified by fold; are hazards proportional?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from histonic.core.documents import Part
from histonic.core.errors import CohortError
from histonic.metrics.inference.comparisons import BOTH_WAYS, holm
from histonic.metrics.ranks import FloatArray, rows_of_groups
from histonic.metrics.survival.hazard import STEEPEST, fit_cox
from histonic.metrics.survival.outcome import Survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical.fits import Design
from histonic.stages.evaluate.clinical.models import clinical_design
from histonic.stages.evaluate.evaluated import fold_or_none

RISK = "predicted risk"
EVENTS_A_PARAMETER = 10
"""With fewer, coefficients and their errors are unreliable (Peduzzi et al., Journal of Clinical Epidemiology
48:1503, 1995)."""


class CoxTerm(Part):
    """One covariate of the model.

    Attributes:
        name: Of the column, with its level and what it is compared to.
        per: ``SD`` for numbers, whose standard deviation is one unit; ``level`` for words.
        value: Hazard ratio with all other covariates held; None where it is not finite.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Wald's, of clinical columns; None for the risk of a cross-validated model.
        alone: Hazard ratio with no other column; a level of words is fitted with the other levels of its
            column, so that it stands against the same reference. None where it is not finite.
        p_proportional: Of scaled Schoenfeld residuals that follow time by chance alone, corrected by Holm's
            method for all covariates; None where it cannot be tested.
    """

    name: str
    per: str
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    alone: float | None
    p_proportional: float | None


class CoxModel(Part):
    """The model of risk and clinical columns.

    Attributes:
        n: Patients.
        events: Events.
        crossed: Patients are compared within their fold, the risk in standard deviations within its fold;
            its variance counts twice.
        terms: The risk first.
        events_a_parameter: Events by the number of coefficients.
        filled: Empty cells that took the column's median or usual word.
        problem: Empty.
    """

    n: int
    events: int
    crossed: bool
    terms: tuple[CoxTerm, ...]
    events_a_parameter: float
    filled: int
    problem: str = ""


def cox_model(table: PredictionTable, columns: Mapping[str, Mapping[str, str]]) -> CoxModel:
    """Fit hazard ratios of the predicted risk and clinical columns together.

    Args:
        table: Predictions of a survival target; one repeat, or the mean of several.
        columns: Cell per column and patient.

    Raises:
        CohortError: Too few patients, a column that cannot be used, or the model does not converge.
    """
    table = table.rows(table.has_truth())
    design = clinical_design(table, columns)
    folds = fold_or_none(table.numbers("fold"))
    risk = within_folds(table.numbers("risk"), folds)
    frame, names, per, source, filled = _covariates(design, risk)
    outcome: Survival = design.outcome
    fitted = fit_cox(outcome, frame, penalty=0.0, strata=folds)
    if fitted is None:
        raise CohortError(
            f"Fit a Cox model of the predicted risk and {', '.join(columns)} for {table.task.name!r}.",
            "It does not converge: a level without events, or columns that say the same.",
            "Leave a column out, or join its levels.",
        )
    proportional = dict(zip(frame.columns, schoenfeld_p(outcome, frame, folds, fitted), strict=True))
    reach = stats.norm.ppf(0.975)
    alone = _alone(outcome, frame, source, folds)
    terms = []
    for column in frame.columns:
        mine = column == "x0"
        log, error = float(fitted.params_[column]), float(fitted.standard_errors_[column])
        error *= float(np.sqrt(BOTH_WAYS)) if mine and folds is not None else 1.0
        finite = np.isfinite([log, error]).all() and 0 < error < STEEPEST
        ends = np.exp(log + reach * error * np.array([0.0, -1.0, 1.0])) if finite else [None] * 3
        hidden = (mine and folds is not None) or not finite
        terms.append(
            CoxTerm(
                name=names[column],
                per=per[column],
                value=_float(ends[0]),
                low=_float(ends[1]),
                high=_float(ends[2]),
                p=None if hidden else float(2 * stats.norm.sf(abs(log) / error)),
                alone=alone[column],
                p_proportional=proportional[column],
            )
        )
    events = int(outcome.event.sum())
    return CoxModel(
        n=design.n,
        events=events,
        crossed=folds is not None,
        terms=tuple(terms),
        events_a_parameter=events / len(terms),
        filled=filled,
    )


def _alone(
    outcome: Survival,
    frame: pd.DataFrame,
    source: Mapping[str, str],
    folds: npt.NDArray[np.float64] | None,
) -> dict[str, float | None]:
    """Per covariate its hazard ratio in a model of its column alone, with all levels of the column."""
    found: dict[str, float | None] = dict.fromkeys(frame.columns)
    for name in dict.fromkeys(source.values()):
        mine = [key for key in frame.columns if source[key] == name]
        fitted = fit_cox(outcome, frame[mine], penalty=0.0, strata=folds)
        if fitted is not None:
            found |= {key: float(np.exp(fitted.params_[key])) for key in mine}
    return found


def _float(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]


def within_folds(risk: FloatArray, folds: npt.NDArray[np.float64] | None) -> FloatArray:
    """The risk in standard deviations about its mean within each fold.

    Example:
        >>> within_folds(np.array([1.0, 3.0, 10.0, 30.0]), np.array([0.0, 0.0, 1.0, 1.0])).tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    found = np.zeros(len(risk))
    for rows in rows_of_groups(folds, len(risk)):
        spread = risk[rows].std()
        found[rows] = (risk[rows] - risk[rows].mean()) / (spread if spread > 0 else 1.0)
    return found


def _covariates(
    design: Design, risk: FloatArray
) -> tuple[pd.DataFrame, dict[str, str], dict[str, str], dict[str, str], int]:
    """Columns ``x0``, ``x1``, ... with names, units, clinical columns, and how many cells were filled in."""
    frame, names, per = {"x0": risk}, {"x0": RISK}, {"x0": "SD"}
    source = {"x0": ""}  # the risk is of no clinical column
    filled = 0
    for name, column in design.numbers.items():
        values = column.to_numpy(np.float64)
        filled += int(np.isnan(values).sum())
        values = np.where(np.isnan(values), np.nanmedian(values), values)
        key = f"x{len(frame)}"
        frame[key] = (values - values.mean()) / (values.std() or 1.0)
        names[key], per[key], source[key] = str(name), "SD", str(name)
    for name, column in design.words.items():
        filled += int(column.isna().sum())
        usual = column.mode().iloc[0]
        cells = column.fillna(usual).astype(str)
        # The most frequent word is what the others are compared with: its hazard is known best.
        for level in sorted(set(cells) - {str(usual)}):
            key = f"x{len(frame)}"
            frame[key] = (cells == level).to_numpy(np.float64)
            names[key], per[key] = f"{name}: {level} against {usual}", "level"
            source[key] = str(name)
    return pd.DataFrame(frame), names, per, source, filled


def schoenfeld_p(  # type: ignore[no-untyped-def]
    outcome: Survival, frame: pd.DataFrame, folds: npt.NDArray[np.float64] | None, fitted
) -> list[float | None]:
    """Of each covariate, p of :func:`schoenfeld_chi2`, corrected by Holm's method for all of them.

    Of cross-validated risks the statistic is halved, as for other tests of them.

    Args:
        outcome: Follow-up.
        frame: ``(n, k)`` covariates, as the model was fitted to; the first is the risk.
        folds: ``(n,)`` strata of the model.
        fitted: From :func:`histonic.metrics.survival.hazard.fit_cox`.
    """
    chi2 = schoenfeld_chi2(outcome, frame, folds, fitted)
    if chi2 is None:
        return [None] * frame.shape[1]
    if folds is not None:
        chi2[0] /= BOTH_WAYS
    p = stats.chi2.sf(chi2, 1)
    known = np.isfinite(p)
    found: list[float | None] = [None] * len(p)
    for place, value in zip(np.flatnonzero(known), holm(p[known]), strict=True):
        found[int(place)] = float(value)
    return found


def schoenfeld_chi2(  # type: ignore[no-untyped-def]
    outcome: Survival, frame: pd.DataFrame, folds: npt.NDArray[np.float64] | None, fitted
) -> FloatArray | None:
    """Whether scaled Schoenfeld residuals follow the rank of time, chi-squared of one degree a covariate.

    Grambsch and Therneau, Biometrika 81:515 (1994).

    Args:
        outcome: Follow-up.
        frame: ``(n, k)`` covariates, as the model was fitted to.
        folds: ``(n,)`` strata of the model.
        fitted: From :func:`histonic.metrics.survival.hazard.fit_cox`.

    Returns:
        ``(k,)``; None where residuals cannot be computed.
    """
    whole = frame.assign(_time=outcome.time, _event=outcome.event)
    if folds is not None:
        number = np.unique(folds, return_inverse=True)[1]
        whole = whole.assign(_stratum=number)[np.isin(number, number[outcome.event])]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Its own test would rank the times stratum by stratum.
            left = fitted.compute_residuals(whole, kind="schoenfeld")
    except (ValueError, ZeroDivisionError, np.linalg.LinAlgError):
        return None
    rank = stats.rankdata(whole.loc[left.index, "_time"].to_numpy(np.float64))
    moved, events = rank - rank.mean(), len(rank)
    variance = fitted.variance_matrix_.loc[frame.columns, frame.columns].to_numpy(np.float64)
    scaled = events * left[list(frame.columns)].to_numpy(np.float64) @ variance
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((moved @ scaled) ** 2 / (events * variance.diagonal() * (moved @ moved)))
