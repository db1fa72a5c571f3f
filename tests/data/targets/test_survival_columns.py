"""Time and event as cBioPortal and GDC keep them."""

from __future__ import annotations

import pytest

from histonic.core.errors import TableError
from histonic.core.task import parse_target
from histonic.data.targets.checks import check_labels
from histonic.data.targets.cohorts import build_cohort, read_labels
from histonic.data.targets.survival_columns import has_columns, time_columns

GDC = (
    "case_id\tcase_submitter_id\t{0}vital_status\t{0}days_to_death\t{1}days_to_last_follow_up\n"
    "9f0e\tTCGA-1\tDead\t120\t'--\n"
    "9f1e\tTCGA-2\tAlive\t'--\t800\n"
    "9f2e\tTCGA-3\tAlive\t'--\t30\n"
    "9f3e\tTCGA-4\tNot Reported\t'--\t40\n"
    "9f4e\tTCGA-5\tDead\t'--\t50\n"
    "9f5e\tTCGA-6\tAlive\t'--\t700\n"
)
JOINED = "os:survival:{0}days_to_death+{1}days_to_last_follow_up,{0}vital_status"
SLIDES = [f"TCGA-{k}-01Z-00-DX1" for k in range(1, 7)]


def cohort(folder, text, target):
    (folder / "clinical.tsv").write_text(text)
    table = read_labels(folder / "clinical.tsv")
    found = build_cohort(table, [parse_target(target)], SLIDES)
    return {patient.patient_id: patient.targets.get("os") for patient in found.patients}, found.tasks[0]


@pytest.mark.parametrize("heads", [("", ""), ("demographic.", "diagnoses.")])
@pytest.mark.parametrize("target", ["os", "os:survival", JOINED])
def test_gdc_joins_death_and_last_visit(tmp_path, heads, target):
    values, task = cohort(tmp_path, GDC.format(*heads), target.format(*heads))
    assert values == {"TCGA-1": (120, 1), "TCGA-2": (800, 0), "TCGA-3": (30, 0), "TCGA-6": (700, 0)}
    table = read_labels(tmp_path / "clinical.tsv")
    assert has_columns(table, task.columns) and not has_columns(table, ["days_to_birth+days_to_death"])
    assert len(time_columns(table, task.columns[0])) == 2


def test_times_of_deaths_alone_are_refused(tmp_path):
    with pytest.raises(TableError, match="No time for those without an event") as caught:
        cohort(tmp_path, GDC.format("", ""), "os:survival:days_to_death,vital_status")
    assert "NAME:survival:days_to_death+days_to_last_follow_up,vital_status" in caught.value.todo


def test_cbioportal(tmp_path):
    text = (
        "#Patient\tStatus\tMonths\tDFS\tDFS Months\n#id\tx\tx\tx\tx\n"
        "#STRING\tSTRING\tNUMBER\tSTRING\tNUMBER\n"
        "#1\t1\t1\t1\t1\nPATIENT_ID\tOS_STATUS\tOS_MONTHS\tDFS_STATUS\tDFS_MONTHS\n"
        "TCGA-1\t1:DECEASED\t12.5\t1:Recurred/Progressed\t3\nTCGA-2\t0:LIVING\t20\t0:DiseaseFree\t20\n"
        "TCGA-3\t\t\t\t\n"
    )
    assert cohort(tmp_path, text, "os")[0] == {"TCGA-1": (12.5, 1), "TCGA-2": (20, 0)}
    assert cohort(tmp_path, text, "os:survival:DFS_MONTHS,DFS_STATUS")[0] == {
        "TCGA-1": (3, 1),
        "TCGA-2": (20, 0),
    }


def test_a_column_of_the_name_comes_first(tmp_path):
    text = GDC.format("", "").replace("case_id\t", "death\t").replace("9f", "a")
    (tmp_path / "clinical.tsv").write_text(text)
    with pytest.raises(TableError, match="6 classes"):
        build_cohort(read_labels(tmp_path / "clinical.tsv"), [parse_target("death:binary")], SLIDES)


ENTRY = "patient_id,{0},exit,dead\n" + "".join(f"P{k},{k % 3},{k + 3},{k % 2}\n" for k in range(12))


@pytest.mark.parametrize(
    "column", ["entry", "Entry_Time", "tstart", "left_truncation", "start", "entry_months"]
)
def test_a_time_of_entry_is_refused_and_can_be_set_aside(tmp_path, column):
    path = tmp_path / "a.csv"
    path.write_text(ENTRY.format(column))
    request, slides = [parse_target("os:survival:exit,dead")], [f"P{k}" for k in range(12)]
    with pytest.raises(TableError, match=rf"column '{column}'.*(?s:.*)left truncation") as refused:
        build_cohort(read_labels(path), request, slides)
    assert "--columns entry=none" in refused.value.todo
    (issue,) = check_labels(path, targets=["os:survival:exit,dead"])
    assert (issue.severity, issue.what) == ("error", "Unusable target")
    aside = build_cohort(read_labels(path, columns={"entry": "none"}), request, slides)
    assert [patient.targets["os"][0] for patient in aside.patients] == sorted(
        (float(k + 3) for k in range(12)), key=lambda time: f"P{time - 3:g}"
    )
    with pytest.raises(TableError, match="at which observation began"):
        build_cohort(read_labels(path), [parse_target(f"os:survival:{column},dead")], slides)


def test_other_columns_are_no_entry(tmp_path):
    path, slides = tmp_path / "a.csv", [f"P{k}" for k in range(12)]
    request = [parse_target("os:survival:exit,dead")]
    for column, text in {
        "entry": ENTRY.replace(",1,", ",0,").replace(",2,", ",0,"),  # everybody from the start
        "start": ENTRY.replace(",1,", ",2011,").replace(",2,", ",2012,").replace(",0,", ",2013,"),
        "age_at_entry": ENTRY,
        "first_visit": ENTRY,
    }.items():
        path.write_text(text.format(column))
        assert len(build_cohort(read_labels(path), request, slides).patients) == 12
    # Named so by the user, it is one, whatever it holds.
    with pytest.raises(TableError, match="left truncation"):
        build_cohort(read_labels(path, columns={"entry": "first_visit"}), request, slides)


def test_ages_at_entry_and_exit(tmp_path):
    path = tmp_path / "a.csv"
    rows = "".join(f"P{k},{50 + k},{55 + k},{k % 2}\n" for k in range(12))
    path.write_text(f"patient_id,age_at_entry,exit_age,dead\n{rows}")
    with pytest.raises(TableError, match="left truncation"):
        build_cohort(
            read_labels(path), [parse_target("os:survival:exit_age,dead")], [f"P{k}" for k in range(12)]
        )
