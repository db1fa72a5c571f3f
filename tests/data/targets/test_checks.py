"""Doctor's list: every planted defect is named, and a good table gives none."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import SettingsError
from histonic.core.task import parse_target
from histonic.data.tables.issues import Issue
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.checks import check_labels
from histonic.data.targets.cohorts import build_cohort

GOOD = "patient_id,slide_id,site,grade,os_time,os_event,fold\n" + "".join(
    f"P{i:02d},s{i:02d},north,{'low' if i % 2 else 'high'},{i + 1},{i // 2 % 2},{i % 4}\n" for i in range(16)
)
SLIDES = [f"s{i:02d}" for i in range(16)]


def write(folder: Path, text: str) -> Path:
    (folder / "labels.csv").write_text(text)
    return folder / "labels.csv"


def find(issues: list[Issue], what: str) -> Issue:
    found = [issue for issue in issues if issue.what == what]
    assert len(found) == 1, [(issue.what, issue.where) for issue in issues]
    return found[0]


def test_good_table_has_no_issue(tmp_path):
    assert check_labels(write(tmp_path, GOOD), targets=["grade", "os"], slide_ids=SLIDES) == []


def test_twelve_planted_defects_are_all_named(tmp_path):
    rows = [
        "NA,s00,north,low,1,1,0",  # missing patient
        "P01,s01,north,low,1,1,1",
        "P01,s01,north,low,1,1,1",  # doubled slide
        "P02,s02,north,low,ten,1,2",  # time is no number
        "P03,s03,north,low,-4,1,3",  # negative time
        "P04,s04,north,low,5,perhaps,0",  # event is no event
        "P05,s05,north,low,6,1,1",
        "P05,s05b,north,high,6,1,2",  # grades disagree; two folds
        "P06,s06,north,,7,1,2",  # missing target
        "P07,s06,north,low,7,0,3",  # slide of two patients
        "P08,absent,north,low,0,0,0",  # no such slide; time of zero
        "P09,s09,north,low,9,1,1",
    ]
    slides = [f"s{i:02d}" for i in range(10)] + ["s05b", "stray"]  # stray, s07 and s08 have no label
    file = write(tmp_path, GOOD.splitlines()[0] + "\n" + "\n".join(rows) + "\n")
    issues = check_labels(file, targets=["grade", "os", "gradient"], slide_ids=slides, folds=4)
    assert "row 2" in find(issues, "Missing patient identifier").where
    assert "'s01'" in find(issues, "Doubled slide").where
    assert "column 'os_time', row 5" in find(issues, "Time that is not a number").where
    assert "column 'os_time', row 6" in find(issues, "Negative time").where
    assert "column 'os_event', row 7" in find(issues, "Event that is not 0 or 1").where
    assert "patient 'P05'" in find(issues, "Rows of one patient disagree").where
    assert "patient 'P05'" in find(issues, "One patient in two folds").where
    assert "P06, P07" in find(issues, "One slide of two patients").found
    assert "s07, s08, stray" in find(issues, "Slides without a label").found
    assert "P08" in find(issues, "Patients without a slide").found
    assert "row 12" in find(issues, "Time of zero").where
    assert "column 'gradient'" in find(issues, "Unusable target").found
    assert find(issues, "Unusable target").todo == "Did you mean 'grade'?"
    assert "are low" in find(issues, "One class only").found
    missing = [issue for issue in issues if issue.what == "Missing target"]
    assert any("'grade'" in issue.where for issue in missing)
    severities = [issue.severity for issue in issues]
    assert severities == sorted(severities)  # errors first


def test_censorship_is_pointed_at_with_and_without_targets(tmp_path):
    text = "patient_id,slide_id,months,censorship\n" + "".join(f"P{i},s{i},{i},{i % 2}\n" for i in range(9))
    file = write(tmp_path, text)
    warned = find(check_labels(file), "Inverted event coding")
    assert (warned.severity, "column 'censorship'" in warned.where) == ("warning", True)
    target = ["os:survival:months,censorship"]
    assert find(check_labels(file, targets=target), "Unusable target").severity == "error"
    issues = check_labels(file, targets=target, event_coding="censored")
    assert [issue for issue in issues if issue.severity == "error"] == []


def test_too_few_patients_classes_and_events(tmp_path):
    lines = GOOD.splitlines()
    few = write(tmp_path, "\n".join([line.rpartition(",")[0] for line in lines[:4]]))
    assert "3 patient(s), 4 folds" in find(check_labels(few), "Fewer patients than folds").found
    rare = GOOD.replace("low", "high").replace("P03,s03,north,high", "P03,s03,north,low")
    issue = find(check_labels(write(tmp_path, rare), targets=["grade"]), "Fewer patients than folds")
    assert (issue.severity, "'low' has 1 patient" in issue.found) == ("warning", True)
    one = write(tmp_path, GOOD.replace("low", "high"))
    assert find(check_labels(one, targets=["grade"]), "One class only").severity == "error"
    no_events = "patient_id,slide_id,os_time,os_event\n" + "".join(f"P{i},s{i},{i + 1},0\n" for i in range(8))
    assert find(check_labels(write(tmp_path, no_events), targets=["os"]), "No events").severity == "error"


def test_given_split_of_another_size_is_a_warning(tmp_path):
    issue = find(check_labels(write(tmp_path, GOOD), folds=5), "Given split")
    assert "--folds 4" in issue.todo


def test_folds_that_test_a_patient_twice_are_an_error_with_the_line_for_one(tmp_path):
    roles = ["test,test", "test,train", *["train,val"] * 6, "val,test"]
    rows = [f"P{k},s{k},{'ab'[k % 2]},{role}" for k, role in enumerate(roles)]
    path = write(tmp_path, "\n".join(["patient_id,slide_id,grade,fold_0,fold_1", *rows]) + "\n")
    issue = find(check_labels(path, targets=["grade"]), "Monte-Carlo folds")
    assert issue.severity == "error" and "1 of 3 patients several times: P0" in issue.found
    assert "--columns split=fold_0" in issue.todo


def test_labels_that_fit_no_slide_are_an_error(tmp_path):
    issues = check_labels(write(tmp_path, GOOD), slide_ids=["x", "y"])
    assert find(issues, "No label fits a slide").severity == "error"


@pytest.mark.parametrize("text", ["", "patient_id,grade\n", "patient_id,patient_id\nA,A\n", "x,y\n1,2\n"])
def test_table_that_cannot_be_used_is_one_error(tmp_path, text):
    issues = check_labels(write(tmp_path, text))
    assert [(issue.severity, issue.what) for issue in issues] == [("error", "Unusable table")]


def test_targets_that_contradict_each_other(tmp_path):
    text = "patient_id,slide_id,t,dead,censored\n" + "".join(
        f"P{i},s{i},3,{i % 2},{i % 2}\n" for i in range(9)
    )
    issues = check_labels(
        write(tmp_path, text),
        targets=["a:survival:t,dead", "b:survival:t,censored"],
        event_coding="censored",
    )
    assert "upside down" in find(issues, "Targets that do not fit together").found


def test_misspelt_target_text_is_a_settings_error(tmp_path):
    with pytest.raises(SettingsError, match="ordnal"):
        check_labels(write(tmp_path, GOOD), targets=["grade:ordnal"])


def test_two_rows_of_a_patient_in_a_table_without_slides(tmp_path):
    issues = check_labels(write(tmp_path, "patient_id,y\nA,0\nB,1\nA,0\n"), folds=2)
    assert "rows 2, 4" in find(issues, "Doubled patient").found


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("0012", "12", "differ only in leading zeros, which a spreadsheet takes away."),
        ("Q-012", "Q12", "differ only in hyphens, leading zeros."),
        ("Case 7", "case_7", "differ only in case, blanks, underscores."),
    ],
)
def test_patients_that_may_be_one(tmp_path, one, other, words):
    file = write(tmp_path, GOOD.replace("P00", one).replace("P01", other))
    found = find(check_labels(file, targets=["grade"], slide_ids=SLIDES), "Patients that may be one")
    assert found.severity == "warning" and found.found == f"{one!r}, {other!r} {words}"
    cohort = build_cohort(read_labels(file), [parse_target("grade")], SLIDES)
    assert any("Patients that may be one" in note and repr(one) in note for note in cohort.notes)
    # Nobody is asked about patients who are not there.
    slides = SLIDES[1:]
    assert not [i for i in check_labels(file, targets=["grade"], slide_ids=slides) if "may be one" in i.what]
    cohort = build_cohort(read_labels(file), [parse_target("grade")], slides)
    assert not any("Patients that may be one" in note for note in cohort.notes)


@pytest.mark.parametrize(("one", "other"), [("1-01", "11"), ("100", "1"), ("10", "1"), ("Q010", "Q001")])
def test_patients_that_are_two(tmp_path, one, other):
    file = write(tmp_path, GOOD.replace("P00", one).replace("P01,", f"{other},"))
    assert check_labels(file, targets=["grade"], slide_ids=SLIDES) == []
