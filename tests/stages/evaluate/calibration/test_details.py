"""Calibration by class and of survival, and recalibration, against statsmodels and definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from histonic.core.task import Task
from histonic.metrics.calibration.smooth import smooth_calibration
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.calibration.details import calibration_details, recalibrate

GRADE = Task("grade", "multiclass", ("grade",), ("a", "b", "c"))
BINARY = Task("msi", "binary", ("msi",), ("no", "yes"))
SURVIVAL = Task("os", "survival", ("months", "event"))
RNG = np.random.default_rng(0)


def classes(n: int = 600) -> PredictionTable:
    odds = RNG.normal(size=(n, 3)) + np.array([0.6, 0.0, -1.2])
    chance = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    truth = [str(RNG.choice(["a", "b", "c"], p=row)) for row in chance]
    frame = pd.DataFrame({"patient_id": np.arange(n).astype(str), "site": "", "fold": 0, "truth": truth})
    frame = frame.assign(predicted="a", p_a=chance[:, 0], p_b=chance[:, 1], p_c=chance[:, 2])
    return PredictionTable(GRADE, frame)


def followed(n: int = 300, folds: int = 4, scale: float = 1.0) -> PredictionTable:
    risk = RNG.normal(size=n)
    death, end = RNG.exponential(20 * np.exp(-risk * scale)), RNG.uniform(5, 60, n)
    frame = pd.DataFrame({"patient_id": np.arange(n).astype(str), "site": "", "fold": np.arange(n) % folds})
    frame = frame.assign(time=np.minimum(death, end), event=(death <= end) * 1, risk=risk, high_risk=0)
    return PredictionTable(SURVIVAL, frame)


def test_each_class_has_its_slope_with_walds_interval_and_a_curve_from_the_floor_on() -> None:
    table = classes()
    found = calibration_details(table)
    assert found is not None and [row.name for row in found.rows] == ["a", "b", "c"]
    for k, row in enumerate(found.rows):
        chance, positive = table.probabilities()[:, k], table.classes("truth") == k
        design = sm.add_constant(np.log(chance / (1 - chance)))
        fit = sm.GLM(positive * 1.0, design, sm.families.Binomial()).fit(tol=1e-12)
        assert row.slope == pytest.approx(fit.params[1], abs=1e-6)
        assert (row.low, row.high) == pytest.approx(tuple(fit.conf_int()[1]), abs=1e-5)
        wanted = smooth_calibration(positive, chance)
        if row.events < row.floor:
            assert row.smooth is None and wanted is None
        else:
            assert row.smooth is not None and wanted is not None
            assert row.smooth.ici == wanted.errors.ici and len(row.smooth.x) == len(row.smooth.y)


def test_a_cox_slope_near_one_comes_of_risks_that_hold_elsewhere() -> None:
    own, other = followed(800, 1), followed(600, 1)
    found = calibration_details(other, own)
    assert found is not None and not found.crossed
    row = found.rows[0]
    # The interval is that of the slope here; the model's own has its error as well.
    assert row.slope == pytest.approx(1, abs=0.25) and row.low < row.slope < row.high
    slope = sm.PHReg(
        own.numbers("time"), own.numbers("risk"), status=own.numbers("event"), ties="breslow"
    ).fit().params[0]  # fmt: skip
    fitted = sm.PHReg(
        other.numbers("time"), slope * other.numbers("risk"), status=other.numbers("event"), ties="efron"
    ).fit()
    assert row.slope == pytest.approx(fitted.params[0], abs=1e-5)
    assert found.recalibrated is not None
    assert [each.name for each in found.recalibrated.rows] == ["as predicted", "baseline and slope refitted"]


def test_risks_that_are_too_extreme_elsewhere_have_a_low_slope_and_gain_by_refitting() -> None:
    own, other = followed(800, 1), followed(800, 1, scale=0.2)
    found = calibration_details(other, own)
    assert found is not None and found.rows[0].high is not None and found.rows[0].high < 0.6
    assert found.recalibrated is not None
    before, after = (each.error for each in found.recalibrated.rows)
    assert before is not None and after is not None and after < before


def test_crossed_slopes_count_the_variance_twice() -> None:
    table = followed()
    crossed = calibration_details(table)
    assert crossed is not None and crossed.crossed
    one = calibration_details(PredictionTable(SURVIVAL, table.frame.assign(fold=0)))
    assert one is not None
    widths = [row.high - row.low for row in (crossed.rows[0], one.rows[0])]
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(2), rel=0.15)


def test_recalibration_is_steyerbergs_and_never_sees_the_patient() -> None:
    n = 400
    x = RNG.normal(size=n)
    positive = RNG.random(n) < 1 / (1 + np.exp(-0.5 * x + 1))
    chance = 1 / (1 + np.exp(-x))
    part = np.arange(n) % 5
    both = recalibrate(positive, chance, part, slope=True)
    here = part == 2
    design = sm.add_constant(x)
    fit = sm.GLM(positive[~here] * 1.0, design[~here], sm.families.Binomial()).fit(tol=1e-12)
    assert both[here] == pytest.approx(fit.predict(design[here]), abs=1e-6)
    level = recalibrate(positive, chance, part, slope=False)
    offset = sm.GLM(positive[~here] * 1.0, np.ones((320, 1)), sm.families.Binomial(), offset=x[~here])
    shift = offset.fit(tol=1e-12).params[0]
    assert level[here] == pytest.approx(1 / (1 + np.exp(-(x[here] + shift))), abs=1e-6)
    frame = pd.DataFrame({"patient_id": np.arange(n).astype(str), "site": "", "fold": 0})
    frame = frame.assign(truth=np.where(positive, "yes", "no"), predicted="no", p_no=1 - chance, p_yes=chance)
    table = PredictionTable(BINARY, frame)
    found = calibration_details(table, table)
    assert found is not None and found.recalibrated is not None and found.rows == ()
    errors = [row.error for row in found.recalibrated.rows]
    assert errors[0] > errors[1] and errors[0] > errors[2]
    assert found.recalibrated.rows[1].observed_to_expected == pytest.approx(1, abs=0.02)


def test_values_and_the_runs_own_binary_targets_have_none() -> None:
    frame = pd.DataFrame({"patient_id": list("abcd"), "site": "", "fold": 0, "truth": 1.0, "predicted": 1.0})
    assert calibration_details(PredictionTable(Task("k", "regression", ("k",)), frame)) is None
