"""Survival tables: real ones are read rightly, and events that are no events are caught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import HistonicError, TableError
from histonic.core.task import parse_target
from histonic.data.targets.checks import check_labels, examine_labels
from histonic.data.targets.cohorts import build_cohort, read_labels
from histonic.data.targets.survival_checks import censored_time, coding_power, doubt_coding
from histonic.metrics.survival.curves import kaplan_meier
from histonic.metrics.survival.outcome import check_survival

OS = "os:survival:survival_months,censorship"
DSS = "dss:survival:survival_months_dss,censorship_dss"
PFI = "pfi:survival:survival_months_pfi,censorship_pfi"
# Counted by hand from the tables: rows, patients, sites, events per target, median months per target.
COUNTED = {
    "tcga_brca": (931, 871, 37, {OS: 102, DSS: 60, PFI: 108}, {OS: 28.67, DSS: 28.67, PFI: 26.17}),
    "tcga_blca": (423, 359, 33, {OS: 156, DSS: 113, PFI: 158}, {OS: 17.97, DSS: 17.97, PFI: 14.5}),
}


@pytest.fixture
def table_of(data_dir: Path) -> object:
    def find(name: str) -> Path:
        path = data_dir / "survival" / f"{name}.csv"
        if not path.is_file():
            pytest.skip(f"real survival tables absent: {path.name}")
        return path

    return find


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("target", [OS, DSS, PFI])
def test_real_tables_give_the_counted_events(table_of, name, target):
    path = table_of(name)
    rows, patients, sites, events, medians = COUNTED[name]
    frame = pd.read_csv(path)
    assert len(frame) == rows
    slides = [file.removesuffix(".svs") for file in frame["slide_id"]]
    table = read_labels(path)
    assert (table.columns["patient_id"], table.columns["slide_id"]) == ("case_id", "slide_id")
    cohort = build_cohort(table, [parse_target(target)], slides, event_coding="censored")
    assert (len(cohort.patients), len(cohort.exclusions)) == (patients, 0)
    assert sum(len(patient.slide_ids) for patient in cohort.patients) == rows
    assert len({patient.site for patient in cohort.patients}) == sites
    values = cohort.targets(cohort.tasks[0])
    assert int(values[:, 1].sum()) == events[target]
    assert float(np.median(values[:, 0])) == pytest.approx(medians[target], abs=0.01)
    # Once more, apart from histonic: one row a patient, event = not censored.
    months, censored = target.rpartition(":")[2].split(",")
    each = frame.drop_duplicates("case_id").set_index("case_id").sort_index()
    assert np.allclose(values[:, 0], each[months]) and np.array_equal(values[:, 1], 1 - each[censored])


@pytest.mark.parametrize("name", COUNTED)
def test_median_survival_is_that_of_lifelines(table_of, name):
    from lifelines import KaplanMeierFitter

    path = table_of(name)
    frame = pd.read_csv(path).drop_duplicates("case_id")
    fitted = KaplanMeierFitter().fit(frame["survival_months"], frame["censorship"] == 0)
    slides = [file.removesuffix(".svs") for file in pd.read_csv(path)["slide_id"]]
    cohort = build_cohort(read_labels(path), [parse_target(OS)], slides, event_coding="censored")
    values = cohort.targets(cohort.tasks[0])
    median = kaplan_meier(check_survival(values[:, 0], values[:, 1])).median
    assert median == pytest.approx(fitted.median_survival_time_)
    assert median == pytest.approx({"tcga_brca": 215.2, "tcga_blca": 34.53}[name], abs=0.05)


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("target", [OS, DSS, PFI])
def test_inverted_column_is_refused_by_name(table_of, name, target):
    column = target.rpartition(",")[2]
    with pytest.raises(TableError, match=f"column '{column}'") as caught:
        build_cohort(read_labels(table_of(name)), [parse_target(target)], [])
    assert "--event-coding censored" in caught.value.todo
    (issue,) = [each for each in check_labels(table_of(name), targets=[target]) if each.severity == "error"]
    assert column in issue.found and "--event-coding censored" in issue.todo


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("target", [OS, DSS, PFI])
def test_inverted_column_under_another_name_is_doubted(table_of, tmp_path, name, target):
    column = target.rpartition(",")[2]
    renamed = tmp_path / "labels.csv"
    pd.read_csv(table_of(name)).rename(columns={column: "status"}).to_csv(renamed, index=False)
    asked = target.replace(column, "status")
    found = examine_labels(renamed, targets=[asked])
    doubted = "Events that look censored" in [each.what for each in found.issues]
    # With 7 to 12 % of events the times of TCGA-BRCA show it too seldom, and the doctor says how seldom.
    assert doubted == (name == "tcga_blca")
    assert doubted or "of 100 cohorts" in next(iter(found.remarks.values()))
    # Told what it means, nothing is left to doubt.
    assert check_labels(renamed, targets=[asked], event_coding="censored") == []


@pytest.mark.parametrize("name", COUNTED)
def test_right_coding_twice_inverted_is_doubted(table_of, tmp_path, name):
    frame = pd.read_csv(table_of(name))
    frame["dead"] = 1 - frame["censorship"]
    frame.to_csv(tmp_path / "labels.csv", index=False)
    asked = ["os:survival:survival_months,dead"]
    plain, inverted = (
        [each.what for each in check_labels(tmp_path / "labels.csv", targets=asked, event_coding=coding)]
        for coding in ("event", "censored")
    )
    assert "Events that look censored" not in plain
    assert ("Events that look censored" in inverted) == (name == "tcga_blca")


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("ending", ["", "_dss", "_pfi"])
def test_follow_up_time_as_a_number_is_questioned(table_of, name, ending):
    column = f"survival_months{ending}"
    (issue,) = check_labels(table_of(name), targets=[column])
    assert issue.what == "Follow-up time as a number"
    assert f"{column},censorship{ending} --event-coding censored" in issue.todo
    assert check_labels(table_of(name), targets=["age:regression"]) == []


def write(folder: Path, rows: list[str], header: str = "case_id,slide_id,os_months,os_event") -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_rows_of_a_patient_may_repeat_a_time_but_not_change_it(tmp_path):
    same = write(tmp_path, ["A,a1,12.5,1", "A,a2.svs,12.50,1", "B,b,3,0"])
    cohort = build_cohort(read_labels(same), [parse_target("os")], ["a1", "a2", "b"])
    assert cohort.patients[0].targets == {"os": (12.5, 1.0)}
    for other in ("A,a2,12.6,1", "A,a2,12.5,0"):
        with pytest.raises(TableError, match="disagree") as caught:
            build_cohort(
                read_labels(write(tmp_path, ["A,a1,12.5,1", other, "B,b,3,0"])),
                [parse_target("os")],
                ["a1", "a2", "b"],
            )
        assert "rows 2, 3" in caught.value.asked and "patient 'A'" in caught.value.asked


def test_negative_times_are_refused_and_zero_ones_named(tmp_path):
    path = write(tmp_path, ["A,a,-1,1", "B,b,3,0"])
    with pytest.raises(HistonicError, match="Negative time"):
        build_cohort(read_labels(path), [parse_target("os")], ["a", "b"])
    rows = ["A,a,0,1", *(f"P{k},p{k},{k + 1},{k % 2}" for k in range(8))]
    found = [each.what for each in check_labels(write(tmp_path, rows), targets=["os"])]
    assert found == ["Time of zero"]


def test_coding_is_not_doubted_without_reason():
    rng = np.random.default_rng(0)
    death, end = rng.exponential(30, 200), rng.uniform(10, 60, 200)
    assert doubt_coding(np.minimum(death, end), death <= end) == ""
    assert doubt_coding(death, np.ones(200)) == "", "all followed to the event"
    assert doubt_coding(death[:20], rng.random(20) < 0.9) == "", "too few to tell"
    assert "longest" in doubt_coding(np.minimum(death, end), death > end)
    assert "as likely" in doubt_coding(np.minimum(death, end), death > end)
    assert doubt_coding(np.zeros(40), np.arange(40) % 2) == "", "no time at all"


def test_doctor_says_where_an_inverted_coding_could_not_be_seen(tmp_path):
    rng = np.random.default_rng(3)
    death = rng.exponential(40, 80)
    for loss, words in ((rng.exponential(40, 80), "of 100 cohorts only"), (rng.uniform(24, 60, 80), "")):
        time, event = np.minimum(death, loss) + 0.01, (death <= loss).astype(int)
        rows = [f"P{k},p{k},{time[k]:.3f},{event[k]}" for k in range(80)]
        remark = examine_labels(write(tmp_path, rows), targets=["os"]).remarks.get("os", "")
        assert words in remark and bool(words) == bool(remark)
    assert coding_power(np.arange(20.0), np.arange(20) % 2) is None


def test_time_and_its_partner(tmp_path):
    path = write(tmp_path, ["A,a,1,1"])
    assert censored_time(read_labels(path), "os_months") == "os_event"
    plain = write(tmp_path, ["A,a,1,1"], header="case_id,slide_id,treatment_months,grade")
    assert censored_time(read_labels(plain), "treatment_months") == ""
    alone = write(tmp_path, ["A,a,1,1"], header="case_id,slide_id,survival_months,grade")
    assert censored_time(read_labels(alone), "survival_months") == ""
