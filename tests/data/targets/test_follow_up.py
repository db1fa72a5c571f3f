"""Times that are none: dates, impossible ones, two units, numbers for 'nobody knows'."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from histonic.core.errors import TableError
from histonic.core.task import parse_target
from histonic.data.tables.issues import Issue
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.checks import check_labels
from histonic.data.targets.cohorts import build_cohort

N = 80
RNG = np.random.default_rng(0)
DEATH, END = RNG.exponential(30, N), RNG.exponential(40, N)
TIMES = np.minimum(DEATH, END).round(1) + 0.1
DEAD = (DEATH <= END).astype(int)
FIRST = np.arange(N) < 3


def issues_of(
    folder: Path, times: object, *, column: str = "t", dead: object = DEAD, site: object = ""
) -> list[Issue]:
    names = np.broadcast_to(np.asarray(site), N)
    rows = zip(range(N), np.asarray(times).tolist(), np.asarray(dead).tolist(), names, strict=True)
    lines = [f"P{k:02d},{time:.10g},{event},{name}" for k, time, event, name in rows]
    (folder / "a.csv").write_text("\n".join([f"patient_id,{column},dead,site", *lines]) + "\n")
    target = f"os:survival:{column},dead"
    issues = check_labels(folder / "a.csv", targets=[target])
    errors = [issue.what for issue in issues if issue.severity == "error"]

    def train() -> None:
        table = read_labels(folder / "a.csv")
        notes = build_cohort(table, [parse_target(target)], [f"P{k:02d}" for k in range(N)]).notes
        assert len(notes) == len(issues), "the training says what the doctor says"

    if errors:
        with pytest.raises(TableError, match=errors[0]):
            train()
    else:
        train()
    return issues


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (43831 + RNG.integers(0, 900, N), "43831 is 1 January 2020"),
        (17897 + RNG.integers(0, 1500, N), "as a spreadsheet counts them"),
        (43831.5 + RNG.integers(0, 2000, N), "as a spreadsheet counts them"),
        (2008 + RNG.integers(0, 12, N), "calendar years"),
        (20120115 + 10_000 * RNG.integers(0, 9, N), "year, month and day"),
        (1_500_000_000 + RNG.integers(0, 9e7, N), "seconds since 1970"),
        (np.where(FIRST, 43900, TIMES), "all others are at most"),
    ],
)
def test_dates_are_no_times(tmp_path: Path, times: object, words: str) -> None:
    issue = issues_of(tmp_path, times)[0]  # random dates may look censored, too
    assert (issue.severity, issue.what) == ("error", "Dates in place of times") and words in issue.found
    assert "difference of two dates" in issue.todo


@pytest.mark.parametrize(
    ("column", "times"),
    [
        ("os_months", np.where(FIRST, 1300, TIMES)),
        ("os_years", np.where(FIRST, 101, TIMES / 12)),
        ("days_to_death", np.where(FIRST, 99999, 30 * TIMES)),
        ("followup_weeks", np.where(FIRST, 6000, 4 * TIMES)),
    ],
)
def test_times_beyond_any_life_are_refused(tmp_path: Path, column: str, times: object) -> None:
    issue = issues_of(tmp_path, times, column=column)[0]
    assert (issue.severity, issue.what) == ("error", "Time beyond any life") and "rename" in issue.todo


@pytest.mark.parametrize(
    ("odd", "rows", "scale", "severity"),
    [
        (9999, 8, 1, "error"),
        (999, 2, 1, "error"),
        (9999, 1, 1, "warning"),
        (9999, 5, 30, "warning"),
        (999, 1, 1, "warning"),
        (99, 3, 0.6, "warning"),
    ],
)
def test_numbers_for_nobody_knows(tmp_path: Path, odd: int, rows: int, scale: float, severity: str) -> None:
    (issue,) = issues_of(tmp_path, np.where(np.arange(N) < rows, odd, (scale * TIMES).round(1)))
    assert (issue.severity, issue.what) == (severity, "Number that may mean 'no value'")
    assert f"--classes 't:{odd}=NA'" in issue.todo
    table = read_labels(tmp_path / "a.csv", classes={f"t:{odd}": "NA"})
    cohort = build_cohort(table, [parse_target("os:survival:t,dead")], [f"P{k:02d}" for k in range(N)])
    assert len(cohort.patients) == N - rows and cohort.notes == ()


def test_a_class_that_is_left_out_leaves_times_alone(tmp_path: Path) -> None:
    """9=NA speaks of a grade, not of nine months."""
    rows = [f"P{k},{k},{k % 2},{(1, 2, 9)[k % 3]}" for k in range(1, 19)]
    (tmp_path / "a.csv").write_text("\n".join(["patient_id,t,dead,grade", *rows]) + "\n")
    table = read_labels(tmp_path / "a.csv", classes={"9": "NA"})
    requests = [parse_target("os:survival:t,dead"), parse_target("grade:ordinal")]
    cohort = build_cohort(table, requests, [f"P{k}" for k in range(1, 19)])
    assert sorted(cohort.targets(cohort.tasks[0])[:, 0]) == list(range(1, 19))
    assert cohort.tasks[1].classes == ("1", "2")


@pytest.mark.parametrize(
    ("factor", "units"), [(30.44, "days and months"), (12, "months and years"), (365.25, "days and years")]
)
@pytest.mark.parametrize("sites", ["AB", "ABCD"])
def test_two_units_by_site_are_named(tmp_path: Path, factor: float, units: str, sites: str) -> None:
    names = np.array(list(sites))[np.arange(N) % len(sites)]
    (issue,) = issues_of(tmp_path, np.where(names == "B", TIMES, TIMES / factor).round(4), site=names)
    assert (issue.severity, issue.what) == ("warning", "Times in two units")
    assert f"as if they were {units}" in issue.found and "At B they are" in issue.found
    assert f"divide those at B by {factor:.4g}" in issue.todo


def test_good_times_are_not_doubted(tmp_path: Path) -> None:
    sites = np.array(list("ABCD"))[np.arange(N) % 4]
    assert issues_of(tmp_path, TIMES, site=sites) == []
    assert issues_of(tmp_path, (30.44 * TIMES).round(), column="os_days", site=sites) == []
    assert issues_of(tmp_path, (TIMES / 12).round(2), column="os_years", site=sites) == []
    # A site that began a little later has a shorter follow-up, and all to the end of the study are equal.
    assert issues_of(tmp_path, np.where(sites == "B", TIMES / 4, TIMES).round(1), site=sites) == []
    assert issues_of(tmp_path, np.minimum(TIMES, 36)) == []


def test_nobody_censored_is_asked_about(tmp_path: Path) -> None:
    (issue,) = issues_of(tmp_path, TIMES, dead=np.ones(N, int))
    assert (issue.severity, issue.what) == ("warning", "Nobody censored") and "All 80 patients" in issue.found


def test_joined_columns_have_one_unit(tmp_path: Path) -> None:
    rows = [f"P{k},{k + 1},{30 * k + 30},{k % 2}" for k in range(12)]
    (tmp_path / "a.csv").write_text("\n".join(["patient_id,death_months,last_visit_days,dead", *rows]) + "\n")
    issues = check_labels(tmp_path / "a.csv", targets=["os:survival:death_months+last_visit_days,dead"])
    errors = [issue for issue in issues if issue.severity == "error"]
    assert [issue.what for issue in errors] == ["Times in two units"]
    assert "'death_months' is in months and 'last_visit_days' is in days" in errors[0].found


def test_dates_of_a_spreadsheet_are_no_times(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["patient_id", "seen", "dead"])
    for k in range(20):
        book.active.append([f"P{k:02d}", datetime.datetime(2019, 3, 1) + datetime.timedelta(days=k), k % 2])
    book.save(tmp_path / "a.xlsx")
    found = check_labels(tmp_path / "a.xlsx", targets=["os:survival:seen,dead"])[0]
    assert found.what == "Dates in place of times" and "difference of two dates" in found.todo
