"""Survival at some times, against lifelines, and whether follow-up ends alike."""

from __future__ import annotations

from typing import Any

import lifelines
import numpy as np
import pandas as pd
import pytest
from lifelines.statistics import logrank_test
from statsmodels.duration.survfunc import survdiff

from histonic.core.task import Task
from histonic.metrics.survival.outcome import Survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.outcome.times import censoring_by_group, outcome_times

TASK = Task("os", "survival", ("months", "event"))


def table(n: int = 120, seed: int = 0, **more: Any) -> PredictionTable:
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    death, end = rng.exponential(20 * np.exp(-risk)), rng.uniform(5, 60, n)
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{k}" for k in range(n)],
            "site": np.where(np.arange(n) % 2, "a", "b"),
            "fold": np.arange(n) % 4,
            "time": np.minimum(death, end).round(1) + 0.1,
            "event": (death <= end).astype(int),
            "risk": risk,
            "high_risk": (risk > 0).astype(int),
        }
    )
    return PredictionTable(TASK, frame.assign(**more))


def test_shares_and_intervals_are_those_of_lifelines() -> None:
    given = table()
    found = outcome_times(given)
    assert found is not None and not found.competing
    assert [group.name for group in found.groups] == [
        "all patients",
        "low risk",
        "high risk",
        "site a",
        "site b",
    ]
    high = given.frame["high_risk"] == 1
    for group, rows in (("all patients", high | ~high), ("high risk", high)):
        mine = next(each for each in found.groups if each.name == group)
        kept = given.frame[rows]
        fitted = lifelines.KaplanMeierFitter().fit(kept["time"], kept["event"])
        assert (mine.n, mine.events) == (len(kept), kept["event"].sum())
        for time, share in zip(found.times, mine.at, strict=True):
            ends = fitted.confidence_interval_.loc[:time].iloc[-1]
            assert share.share == pytest.approx(float(fitted.predict(time)), abs=1e-9)
            assert (share.low, share.high) == pytest.approx(tuple(ends), abs=1e-6)
            assert share.at_risk == (kept["time"] >= time).sum()


def test_beyond_its_follow_up_a_group_has_no_share() -> None:
    given = table()
    short = given.frame["site"] == "a"
    frame = given.frame.assign(
        time=np.where(short, np.minimum(given.frame["time"], 2.0), given.frame["time"]),
        event=np.where(short & (given.frame["time"] > 2), 0, given.frame["event"]),
    )
    found = outcome_times(PredictionTable(TASK, frame))
    assert found is not None
    site = next(each for each in found.groups if each.name == "site a")
    assert [share.share for share in site.at if share.at_risk == 0] == [None] * len(
        [share for share in site.at if share.at_risk == 0]
    )
    assert any(share.share is None for share in site.at)


def test_with_other_causes_the_shares_are_of_the_event() -> None:
    given = table()
    cause = np.where((given.frame["event"] == 0) & (np.arange(120) % 3 == 0), "other", "")
    found = outcome_times(PredictionTable(TASK, given.frame.assign(cause=cause)))
    assert found is not None and found.competing
    shares = [share.share for share in found.groups[0].at]
    assert shares == sorted(shares, key=lambda each: each or 0)


def test_follow_up_that_ends_with_risk_is_seen() -> None:
    rng = np.random.default_rng(3)
    n = 200
    high = np.arange(n) % 2 == 0
    end = rng.exponential(np.where(high, 5, 20))
    death = rng.exponential(20, n)
    outcome = Survival(np.minimum(death, end), death <= end)
    none = np.zeros(n, bool)
    found = censoring_by_group(outcome, none, high, np.zeros(n), 10.0)
    assert found is not None and not found.crossed
    assert found.p is not None and found.p < 1e-6 and found.high_risk < found.low_risk
    lost = (outcome.time[high], outcome.time[~high], ~outcome.event[high], ~outcome.event[~high])
    assert found.p == pytest.approx(logrank_test(*lost).p_value, abs=1e-6)
    # Out of folds patients are compared within theirs; nothing else changes.
    fold = np.arange(n) // 2 % 4
    crossed = censoring_by_group(outcome, none, high, fold, 10.0)
    assert crossed is not None and crossed.crossed and crossed.p != found.p
    assert crossed.p == pytest.approx(
        survdiff(outcome.time, (~outcome.event).astype(int), high, strata=fold)[1], rel=1e-6
    )
    assert censoring_by_group(outcome, none, np.ones(n, bool), np.zeros(n), 10.0) is None


def test_without_events_there_is_nothing() -> None:
    assert outcome_times(table(event=0)) is None
