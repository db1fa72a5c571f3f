"""Numbers that may mean 'no value'."""

from __future__ import annotations

import pytest

from histonic.core.errors import TableError
from histonic.core.task import parse_target
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.checks import check_labels
from histonic.data.targets.cohorts import build_cohort
from histonic.data.targets.doubts import far_numbers

AGES = [40.0, 51.0, 63.0, 72.0, 80.0]


@pytest.mark.parametrize(
    ("odd", "far"), [(-999.0, True), (999.0, True), (9999.0, True), (-1.0, True), (99.0, False)]
)
def test_far_from_the_others(odd, far):
    assert far_numbers(dict(enumerate([*AGES, odd]))) == ([5] if far else [])


def test_the_doctor_names_them(tmp_path):
    rows = "".join(f"P{k},{value},{k % 2}\n" for k, value in enumerate([*AGES, 9999.0, 9999.0]))
    (tmp_path / "a.csv").write_text(f"patient_id,days,dead\n{rows}")
    for target in ("days:regression", "os:survival:days,dead"):
        issues = check_labels(tmp_path / "a.csv", targets=[target], slide_ids=[f"P{k}" for k in range(7)])
        found = [issue for issue in issues if issue.what == "Number that may mean 'no value'"]
        assert [issue.found for issue in found] == [
            "2 cells: '9999' (row 7), '9999' (row 8), far from the others."
        ]


def test_numbers_that_mean_nothing_are_left_out(tmp_path):
    rows = "".join(f"P{k},{value:g}\n" for k, value in enumerate([*AGES, -999.0]))
    (tmp_path / "a.csv").write_text(f"patient_id,ki67\n{rows}")
    slides = [f"P{k}" for k in range(6)]
    table = read_labels(tmp_path / "a.csv", classes={"ki67:-999": "NA"})
    cohort = build_cohort(table, [parse_target("k:regression:ki67")], slides)
    assert [patient.targets["k"] for patient in cohort.patients] == AGES and cohort.notes == ()
    table = read_labels(tmp_path / "a.csv", classes={"-999": "NA"})
    with pytest.raises(TableError, match="COLUMN:WRITTEN=MEANING"):
        build_cohort(table, [parse_target("k:regression:ki67")], slides)
