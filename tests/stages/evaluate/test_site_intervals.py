"""Intervals by resampling sites: refused where they are few, and wide where sites differ."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.evaluate import evaluate_task
from histonic.stages.evaluate.site_intervals import FEWEST_SITES, SiteIntervals, site_intervals

VALUE = Task("ki67", "regression", ("ki67",))
MSI = Task("msi", "binary", ("msi",), ("no", "yes"))


def values(sites: list[str], seed: int = 0, spread: float = 0.0) -> pd.DataFrame:
    """Predictions of a value whose error a site shares to a degree."""
    rng = np.random.default_rng(seed)
    names, n = sorted(set(sites)), len(sites)
    shared = dict(zip(names, rng.normal(scale=spread, size=len(names)), strict=True))
    truth = rng.normal(size=n)
    predicted = truth + rng.normal(size=n) + [shared[site] for site in sites]
    ids = [f"P{number:03d}" for number in range(n)]
    return pd.DataFrame({"patient_id": ids, "site": sites, "fold": 0, "truth": truth, "predicted": predicted})


def made(frame: pd.DataFrame, task: Task = VALUE) -> SiteIntervals:
    return site_intervals(PredictionTable(task, frame), resamples=300, seed=0)


def test_few_sites_are_refused_and_counted() -> None:
    sites = [f"S{number % (FEWEST_SITES - 1)}" for number in range(40)]
    found = made(values(sites))
    assert (found.sites, found.problem, found.intervals) == (FEWEST_SITES - 1, "few sites", ())
    enough = made(values([f"S{number % FEWEST_SITES}" for number in range(40)]))
    assert (enough.sites, enough.problem, enough.patients) == (FEWEST_SITES, "", (8, 8))
    assert made(values([""] * 40)).problem == "no sites"
    assert made(values(sites).drop(columns="site")).problem == "no sites"


def test_sites_without_a_truth_do_not_count() -> None:
    frame = values([f"S{number % 6}" for number in range(36)])
    frame.loc[frame["site"].isin(["S4", "S5"]), "truth"] = np.nan
    found = made(frame)
    assert (found.sites, found.problem) == (4, "few sites")


def test_sites_of_one_patient_give_the_interval_by_patients() -> None:
    frame = values([f"S{number:02d}" for number in range(40)])
    plain = evaluate_task(VALUE, frame, resamples=300, seed=0).scores
    found = made(frame)
    assert found.patients == (1, 1)
    for mine, by_patient in zip(found.intervals, plain, strict=True):
        assert mine.name == by_patient.name
        assert (mine.low, mine.high) == (by_patient.low, by_patient.high)


def test_patients_without_a_site_stand_for_themselves() -> None:
    sites = [f"S{number % 8}" if number < 32 else "" for number in range(40)]
    frame = values(sites)
    alone = frame.copy()
    alone.loc[alone["site"] == "", "site"] = [f"\0{name}" for name in frame["patient_id"][32:]]
    found = made(frame)
    assert (found.sites, found.unnamed) == (8, 8)
    assert found.intervals == made(alone).intervals


def test_where_sites_differ_the_interval_is_wider_than_by_patients() -> None:
    frame = values([f"S{number % 10}" for number in range(200)], spread=2.0)
    plain = {each.name: each for each in evaluate_task(VALUE, frame, resamples=300, seed=0).scores}
    mine = {each.name: each for each in made(frame).intervals}
    name = "Mean absolute error"
    low, high = mine[name].low, mine[name].high
    assert low is not None and high is not None and plain[name].high is not None
    assert high - low > 1.5 * (plain[name].high - plain[name].low)  # type: ignore[operator]


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_class_that_one_site_holds_has_no_interval(repeats: int) -> None:
    rng = np.random.default_rng(0)
    parts = []
    for repeat in range(repeats):
        score = rng.random(60)
        part = pd.DataFrame(
            {"patient_id": [f"P{k:02d}" for k in range(60)], "site": [f"S{k // 10}" for k in range(60)]}
        )
        part = part.assign(repeat=repeat, fold=0, truth=["yes" if k < 10 else "no" for k in range(60)])
        part = part.assign(predicted=np.where(score > 0.5, "yes", "no"), p_no=1 - score, p_yes=score)
        parts.append(part)
    found = made(pd.concat(parts), MSI)
    assert found.intervals[0].low is None
    assert found.intervals[0].note.startswith("No interval: undefined without one of the groups")
