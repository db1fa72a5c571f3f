"""Calibration and missed cases of groups, by counting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from histonic.core.calls import call_column
from histonic.core.task import Task
from histonic.metrics.inference.shares import wilson
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_table
from histonic.stages.evaluate.calibration.subgroups import subgroup_calibration

BINARY = Task("msi", "binary", ("msi",), ("no", "yes"))
SURVIVAL = Task("os", "survival", ("months", "event"))
N = 160
NAMES = [f"P{k:03d}" for k in range(N)]
SEX = {name: "f" if k % 2 else "m" for k, name in enumerate(NAMES)}


def binary() -> PredictionTable:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.1, 0.9, N)
    # Men have the event twice as often as was promised.
    women = np.arange(N) % 2 == 1
    positive = rng.random(N) < np.where(women, chance, np.minimum(1, 2 * chance))
    frame = pd.DataFrame({"patient_id": NAMES, "site": "", "fold": np.arange(N) % 4})
    frame = frame.assign(truth=np.where(positive, "yes", "no"), p_no=1 - chance, p_yes=chance)
    called = np.where(chance > 0.5, "yes", "no")
    frame = frame.assign(predicted=called, decided_by="most probable")
    return PredictionTable(BINARY, frame)


def test_ratios_and_missed_cases_are_counts() -> None:
    table = binary()
    found = subgroup_calibration(table, {"sex": SEX}, 0)
    assert found is not None and found.called_by == "most probable" and found.horizon is None
    women, men = found.groupings[0].levels
    for level in (women, men):
        rows = table.frame[[SEX[name] == level.name for name in table.frame["patient_id"]]]
        yes = rows["truth"] == "yes"
        assert (level.n, level.cases) == (80, yes.sum())
        assert level.ratio == pytest.approx(yes.mean() / rows["p_yes"].mean())
        missed = (yes & (rows["predicted"] == "no")).sum()
        assert level.missed == pytest.approx(missed / yes.sum())
        assert (level.missed_low, level.missed_high) == pytest.approx(tuple(wilson(missed, yes.sum())))
    assert men.low is not None and men.low > 1 and women.low < 1 < women.high


def test_the_operating_point_calls_where_there_is_one() -> None:
    table = binary()
    frame = table.frame.assign(**{call_column("sensitivity=0.95"): "yes"})
    found = subgroup_calibration(PredictionTable(BINARY, frame), {"sex": SEX}, 0)
    assert found is not None and found.called_by == "sensitivity=0.95"
    assert [level.missed for level in found.groupings[0].levels] == [0.0, 0.0]


def test_of_few_others_missed_cases_are_not_told_either() -> None:
    frame = binary().frame
    cases = frame.loc[frame["truth"] == "yes", "patient_id"]
    groups = {name: "cases" if name in set(cases[:20]) else "rest" for name in NAMES}
    found = subgroup_calibration(PredictionTable(BINARY, frame), {"g": groups}, 0)
    assert found is not None
    few = next(each for each in found.groupings[0].levels if each.name == "cases")
    assert few.cases == 20 and few.few and few.missed is None


def test_missed_cases_are_counted_in_all_repeats() -> None:
    first = binary()
    point = call_column("sensitivity=0.95")
    tables = [PredictionTable(BINARY, first.frame.assign(**{point: call})) for call in ("yes", "no", "no")]
    found = subgroup_calibration(mean_table(tables), {"sex": SEX}, 0, tables)
    assert found is not None
    for level in found.groupings[0].levels:
        assert level.missed == pytest.approx(2 / 3)
        ends = wilson(2 / 3 * level.cases, level.cases)
        assert (level.missed_low, level.missed_high) == pytest.approx(tuple(ends))


def test_survival_counts_events_by_the_horizon() -> None:
    rng = np.random.default_rng(1)
    risk = rng.normal(size=N)
    death, end = rng.exponential(20 * np.exp(-risk)), rng.uniform(5, 60, N)
    frame = pd.DataFrame({"patient_id": NAMES, "site": "", "fold": np.arange(N) % 4})
    frame = frame.assign(time=np.minimum(death, end), event=(death <= end) * 1, risk=risk, high_risk=0)
    found = subgroup_calibration(PredictionTable(SURVIVAL, frame), {"sex": SEX}, 0)
    assert found is not None and found.horizon is not None
    for level in found.groupings[0].levels:
        rows = frame[[SEX[name] == level.name for name in NAMES]]
        assert level.cases == ((rows["time"] <= found.horizon) & (rows["event"] == 1)).sum()
        assert level.low < level.ratio < level.high and level.missed is None


def test_of_few_nothing_is_said() -> None:
    groups = {name: "few" if k < 12 else "many" for k, name in enumerate(NAMES)}
    found = subgroup_calibration(binary(), {"g": groups}, 0)
    assert found is not None
    few, many = found.groupings[0].levels
    assert few.few and few.ratio is None and not many.few
    assert few.missed is None and many.missed is not None
    assert subgroup_calibration(binary(), {}, 0) is None
