"""A target with competing causes: cause-specific order, cumulative incidence, nothing that ignores them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from histonic.core.task import Task
from histonic.metrics.survival.concordance import concordance
from histonic.metrics.survival.outcome import Survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.curves import SurvivalCurves
from histonic.stages.evaluate.evaluate import TaskEvaluation, evaluate_task

OS = Task("css", "survival", ("months", "status"))


def drawn(seed: int = 0, n: int = 160, fold: int | None = None) -> pd.DataFrame:
    """The risk tells of cause 1 and not of cause 2, which comes more often."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    times = np.stack([60 * np.exp(-risk), np.full(n, 30.0), np.full(n, 50.0)], axis=1)
    times = rng.exponential(times)
    cause = np.array(["1", "2", ""])[times.argmin(axis=1)]
    return pd.DataFrame(
        {
            "patient_id": [f"p{k:03d}" for k in range(n)], "site": "",
            "fold": np.arange(n) % 4 if fold is None else fold,
            "time": times.min(axis=1).round(1), "event": (cause == "1").astype(int), "cause": cause,
            "risk": risk, "high_risk": (risk > 0).astype(int),
        }
    )  # fmt: skip


def evaluate(
    frame: pd.DataFrame, reference: pd.DataFrame | None = None
) -> tuple[TaskEvaluation, SurvivalCurves]:
    found = evaluate_task(OS, frame, resamples=100, reference=reference)
    assert isinstance(found.curves, SurvivalCurves)
    return found, found.curves


def test_order_is_that_of_the_event_and_the_groups_have_incidences() -> None:
    sksurv = pytest.importorskip("sksurv.nonparametric")
    frame = drawn()
    found, curves = evaluate(frame)
    assert all(score.name.startswith("C-index") for score in found.scores) and len(found.scores) == 2
    assert all("competing cause count as censored" in score.note for score in found.scores)
    outcome = Survival(frame["time"].to_numpy(), frame["event"].to_numpy() == 1)
    expected = float(concordance(outcome, frame["risk"].to_numpy()))
    assert pytest.approx(expected) in [score.value for score in found.scores]
    assert curves.km is None and curves.brier_t is None and curves.calibration is None
    assert curves.decision is None and curves.auc_t is None
    groups = curves.incidence
    assert groups is not None and groups.causes == ("2",)
    for group, high in zip(groups.groups, (0, 1), strict=True):
        mine = frame[frame["high_risk"] == high]
        at, shares, ends = sksurv.cumulative_incidence_competing_risks(
            mine["cause"].replace("", "0").astype(int).to_numpy(),
            mine["time"].to_numpy(),
            conf_type="log-log",
        )
        np.testing.assert_allclose(np.interp(at, group.time, group.incidence), shares[1], atol=1e-9)
        inside = shares[1] > 0
        np.testing.assert_allclose(
            np.interp(at, group.time, group.low)[inside], ends[1, 0][inside], atol=1e-6
        )
        assert (group.n, group.events) == (len(mine), int(mine["event"].sum()))
        assert group.competing == int((mine["cause"] == "2").sum())
    low, high = (group.incidence[-1] for group in groups.groups)
    assert low is not None and high is not None and high > low + 0.2


def test_without_other_causes_nothing_is_left_out() -> None:
    frame = drawn()
    one = frame.assign(cause=np.where(frame["event"] == 1, "1", ""))
    found, curves = evaluate(one)
    plain, _ = evaluate(one.drop(columns="cause"))
    assert curves.km is not None and curves.incidence is None
    assert found.to_dict() == plain.to_dict()


def test_a_run_with_other_causes_predicts_no_survival_elsewhere() -> None:
    """Its Cox model, with the other causes censored, would promise too many events."""
    own, outside = drawn(), drawn(seed=1, fold=-1)
    outside.loc[outside["cause"] == "2", "cause"] = ""
    found, curves = evaluate(outside, own)
    assert [score.name for score in found.scores] == ["C-index"] and curves.brier_t is None
    assert curves.incidence is not None and curves.incidence.causes == ("2",)


def test_causes_are_those_of_the_table() -> None:
    frame = drawn()
    assert PredictionTable(OS, frame).competing().tolist() == (frame["cause"] == "2").tolist()
    assert not PredictionTable(OS, frame.drop(columns="cause")).competing().any()
    numbers = frame.assign(cause=[float(text) if text else None for text in frame["cause"]])
    assert PredictionTable(OS, numbers).competing().sum() == (frame["cause"] == "2").sum()
