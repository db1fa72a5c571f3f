"""The Cox model of risk and clinical columns against statsmodels, and the test of proportional hazards."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.survival.hazard import fit_cox
from histonic.metrics.survival.outcome import Survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical.cox import RISK, cox_model, schoenfeld_p, within_folds

TASK = Task("os", "survival", ("months", "event"))
N = 240
RNG = np.random.default_rng(0)
NAMES = [f"P{k:03d}" for k in range(N)]
AGE = {name: f"{value:.1f}" for name, value in zip(NAMES, RNG.normal(60, 9, N), strict=True)}
STAGE = dict(zip(NAMES, RNG.choice(["I", "II", "II", "III"], N), strict=True))


def table(folds: int = 4) -> PredictionTable:
    risk = RNG.normal(size=N)
    age = np.array([float(AGE[name]) for name in NAMES])
    late = np.array([STAGE[name] == "III" for name in NAMES])
    death = RNG.exponential(20 * np.exp(-0.6 * risk - 0.05 * (age - 60) - 0.8 * late))
    end = RNG.uniform(5, 60, N)
    frame = pd.DataFrame({"patient_id": NAMES, "site": "", "fold": np.arange(N) % folds})
    frame = frame.assign(time=np.minimum(death, end), event=(death <= end) * 1, risk=risk, high_risk=0)
    return PredictionTable(TASK, frame)


@pytest.mark.parametrize("folds", [1, 4])
def test_ratios_and_intervals_are_those_of_statsmodels(folds: int) -> None:
    given = table(folds)
    found = cox_model(given, {"age": AGE, "stage": STAGE})
    assert [term.name for term in found.terms] == [
        RISK,
        "age",
        "stage: I against II",
        "stage: III against II",
    ]
    fold = given.numbers("fold")
    age = np.array([float(AGE[name]) for name in NAMES])
    stage = np.array([STAGE[name] for name in NAMES])
    risk = within_folds(given.numbers("risk"), fold if folds > 1 else None)
    design = np.column_stack([risk, (age - age.mean()) / age.std(), stage == "I", stage == "III"]) * 1.0
    fit = sm.PHReg(
        given.numbers("time"),
        design,
        status=given.numbers("event"),
        ties="efron",
        strata=fold if folds > 1 else None,
    ).fit(tol=1e-12)
    wide = np.sqrt(2) if folds > 1 else 1
    for k, term in enumerate(found.terms):
        error = fit.bse[k] * (wide if k == 0 else 1)
        wanted = np.exp(fit.params[k] + error * stats.norm.ppf(0.975) * np.array([0, -1, 1]))
        assert (term.value, term.low, term.high) == pytest.approx(tuple(wanted), rel=1e-6)
        if k or folds == 1:
            assert term.p == pytest.approx(fit.pvalues[k], abs=1e-6)
    assert (found.terms[0].p is None) == (folds > 1) == found.crossed
    assert found.events_a_parameter == given.numbers("event").sum() / 4


def test_alone_a_level_stands_against_the_reference_of_its_column() -> None:
    rng = np.random.default_rng(3)
    n = 600
    stage = np.repeat(["I", "II", "III", "IV"], [180, 140, 140, 140])
    log = np.repeat([0.0, 0.7, 1.4, 2.1], [180, 140, 140, 140])
    age = rng.normal(60, 9, n)
    time = rng.exponential(20 * np.exp(-log))
    end = rng.uniform(5, 60, n)
    event = (time <= end) * 1
    frame = pd.DataFrame({"patient_id": [f"Q{k}" for k in range(n)], "site": "", "fold": 0})
    frame = frame.assign(time=np.minimum(time, end), event=event, risk=rng.normal(size=n), high_risk=0)
    names = list(frame["patient_id"])
    cells = {
        "age": dict(zip(names, age.astype(str), strict=True)),
        "stage": dict(zip(names, stage, strict=True)),
    }
    found = {term.name: term.alone for term in cox_model(PredictionTable(TASK, frame), cells).terms}

    def wanted(*columns: np.ndarray) -> np.ndarray:
        design = np.column_stack(columns) * 1.0
        fit = sm.PHReg(np.minimum(time, end), design, status=event, ties="efron").fit(tol=1e-12)
        return np.asarray(np.exp(fit.params))

    levels = ["II", "III", "IV"]
    alone = [found[f"stage: {level} against I"] for level in levels]
    assert alone == pytest.approx(list(wanted(*(stage == level for level in levels))), rel=1e-6)
    assert alone == pytest.approx(list(np.exp([0.7, 1.4, 2.1])), rel=0.35)
    assert found["age"] == pytest.approx(wanted((age - age.mean()) / age.std())[0], rel=1e-6)
    assert found[RISK] == pytest.approx(wanted(within_folds(frame["risk"].to_numpy(), None))[0], rel=1e-6)


@pytest.mark.parametrize("count", [1, 4])
def test_the_test_of_proportionality_is_that_of_grambsch_and_therneau(count: int) -> None:
    """By the definition of scaled Schoenfeld residuals, for one covariate without ties."""
    given = table(count)
    strata = given.numbers("fold")
    outcome = Survival(given.numbers("time"), given.numbers("event") == 1)
    x = given.numbers("risk")
    fitted = fit_cox(outcome, pd.DataFrame({"x0": x}), penalty=0.0, strata=strata if count > 1 else None)
    beta = float(fitted.params_["x0"])
    residuals = []
    for row in [row for row in np.argsort(outcome.time) if outcome.event[row]]:
        at_risk = (outcome.time >= outcome.time[row]) & (strata == strata[row])
        weight = np.exp(beta * x[at_risk])
        residuals.append(x[row] - weight @ x[at_risk] / weight.sum())
    moved = np.arange(len(residuals)) - (len(residuals) - 1) / 2
    events, variance = len(residuals), float(fitted.variance_matrix_.iloc[0, 0])
    chi2 = (moved @ np.array(residuals)) ** 2 * variance * events / (moved @ moved)
    folds = None if count == 1 else strata
    found = schoenfeld_p(outcome, pd.DataFrame({"x0": x}), folds, fitted)[0]
    assert found == pytest.approx(stats.chi2.sf(chi2 / (1 if count == 1 else 2), 1), abs=1e-6)


def test_hazards_that_cross_are_seen() -> None:
    rng = np.random.default_rng(5)
    n = 400
    high = np.arange(n) % 2 == 0
    # Early events in one group, late ones in the other.
    time = np.where(high, rng.weibull(0.5, n), rng.weibull(3, n)) * 10
    frame = pd.DataFrame({"patient_id": [f"Q{k}" for k in range(n)], "site": "", "fold": 0})
    frame = frame.assign(time=time, event=1, risk=high * 1.0, high_risk=high * 1)
    age = {f"Q{k}": str(rng.integers(40, 80)) for k in range(n)}
    found = cox_model(PredictionTable(TASK, frame), {"age": age})
    assert found.terms[0].p_proportional is not None and found.terms[0].p_proportional < 1e-4


def test_empty_cells_are_counted_and_what_cannot_be_fitted_is_told() -> None:
    holes = AGE | {NAMES[0]: "", NAMES[1]: ""}
    assert cox_model(table(), {"age": holes}).filled == 2
    with pytest.raises(CohortError, match="different words"):
        cox_model(table(), {"id": {name: name for name in NAMES}})
