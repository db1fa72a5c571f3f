"""Groups are scored by themselves, and small ones are said to be small."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.evaluate import evaluate_task
from histonic.stages.evaluate.groups import evaluate_groups, site_grouping

MSI = Task("msi", "binary", ("msi",), ("no", "yes"))
OS = Task("os", "survival", ("months", "dead"))


def table(n: int = 100) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = rng.permutation(n) % 2
    p = np.clip(0.4 + 0.2 * truth + 0.15 * rng.normal(size=n), 0.01, 0.99)
    frame = pd.DataFrame({"patient_id": [f"p{i}" for i in range(n)], "fold": np.arange(n) % 4})
    frame["site"] = np.where(np.arange(n) < 80, "east", "west")
    frame["truth"], frame["predicted"] = np.where(truth, "yes", "no"), np.where(p > 0.5, "yes", "no")
    return frame.assign(p_no=1 - p, p_yes=p)


def test_a_group_alone_is_a_cohort_of_its_own() -> None:
    frame = table()
    sites = site_grouping(PredictionTable(MSI, frame))
    found = evaluate_groups(MSI, frame, {"site": sites}, resamples=200, seed=0)
    east, west = found[0].levels
    assert (found[0].name, east.name, east.n, west.n) == ("site", "east", 80, 20)
    expected = evaluate_task(MSI, frame[frame["site"] == "east"], resamples=200).scores[0]
    assert east.score.value == pytest.approx(expected.value)
    assert (east.score.low, east.score.high) == pytest.approx((expected.low, expected.high))
    assert not east.few and west.few
    assert west.cases == min(np.sum(frame["truth"][80:] == "yes"), np.sum(frame["truth"][80:] == "no"))


def test_one_site_is_no_grouping() -> None:
    assert site_grouping(PredictionTable(MSI, table().assign(site="east"))) == {}
    assert site_grouping(PredictionTable(MSI, table().assign(site=""))) == {}


def test_a_group_without_both_outcomes_says_so() -> None:
    frame = table()
    levels = {
        p: "only yes" if t == "yes" else "rest" for p, t in zip(frame.patient_id, frame.truth, strict=True)
    }
    first, _ = evaluate_groups(MSI, frame, {"x": levels}, resamples=100, seed=0)[0].levels
    assert first.score is None and "yes" in first.problem and first.few


def test_repeats_of_a_group_are_averaged() -> None:
    frame = table()
    both = pd.concat([frame.assign(repeat=0), frame.assign(repeat=1, p_yes=frame.p_no, p_no=frame.p_yes)])
    levels = {p: "a" for p in frame.patient_id[:50]}
    level = evaluate_groups(MSI, both, {"x": levels}, resamples=100, seed=0)[0].levels[0]
    assert level.n == 50
    assert level.score.value == pytest.approx(0.5)


def test_groups_that_differ_are_told_from_groups_that_do_not() -> None:
    frame = table(200)
    rng = np.random.default_rng(3)
    noise = rng.random(200)
    upside_down = np.arange(200) >= 140
    p_yes = np.where(upside_down, noise, frame["p_yes"])
    frame = frame.assign(p_yes=p_yes, p_no=1 - p_yes)
    bad = {p: "bad" if k else "good" for p, k in zip(frame.patient_id, upside_down, strict=True)}
    by_chance = {p: str(k) for p, k in zip(frame.patient_id, rng.integers(0, 2, 200), strict=True)}
    alone = dict.fromkeys(frame.patient_id, "all")
    found = evaluate_groups(
        MSI, frame, {"scanner": bad, "chance": by_chance, "none": alone}, resamples=50, seed=0
    )
    scanner, chance, none = (each.p_value for each in found)
    assert scanner == pytest.approx(2 / 1000) and chance > 0.2 and none is None


@pytest.mark.long
def test_groups_that_differ_in_their_patients_only_raise_no_alarm() -> None:
    # Events early in one group and late in the other, the risk right in both by the same noise.
    rng = np.random.default_rng(4)
    rejected = 0
    for seed in range(40):
        truth = np.r_[rng.random(60) < 0.8, rng.random(60) < 0.3]
        p = 1 / (1 + np.exp(-(2 * truth - 1 + rng.normal(size=120))))
        frame = pd.DataFrame({"patient_id": [f"p{i}" for i in range(120)], "site": "", "fold": 0})
        frame["truth"], frame["predicted"] = np.where(truth, "yes", "no"), np.where(p > 0.5, "yes", "no")
        frame["p_no"], frame["p_yes"] = 1 - p, p
        levels = {name: "a" if k < 60 else "b" for k, name in enumerate(frame.patient_id)}
        (found,) = evaluate_groups(MSI, frame, {"x": levels}, resamples=10, seed=seed)
        rejected += found.p_value <= 0.05
    assert rejected <= 6


def test_events_are_the_cases_of_survival() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"patient_id": [f"p{i}" for i in range(60)], "site": "", "fold": np.arange(60) % 4})
    frame["time"], frame["event"] = rng.exponential(size=60), (np.arange(60) < 9).astype(int)
    frame["risk"], frame["high_risk"] = rng.normal(size=60), 1
    level = evaluate_groups(OS, frame, {"x": dict.fromkeys(frame.patient_id, "all")}, resamples=100, seed=0)
    assert (level[0].levels[0].cases, level[0].levels[0].few) == (9, True)


def test_a_group_with_hardly_a_pair_of_one_fold_is_not_scored() -> None:
    """Twelve patients in four folds have 3 pairs a fold; their order is often all right or all wrong."""
    frame = table()
    levels = {patient: "small" if at < 12 else "rest" for at, patient in enumerate(frame["patient_id"])}
    small = {
        each.name: each
        for each in evaluate_groups(MSI, frame, {"x": levels}, resamples=100, seed=0)[0].levels
    }
    assert small["small"].score is None and "Only 12 pairs of its 12 patients" in small["small"].problem
    one = evaluate_groups(MSI, frame.assign(fold=0), {"x": levels}, resamples=100, seed=0)[0].levels
    assert all(each.score is not None for each in one)
