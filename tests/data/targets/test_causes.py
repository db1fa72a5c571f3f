"""Competing causes: which word is the event, which are others, and what is neither."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from histonic.core.cohort import Cohort, Fold
from histonic.core.errors import SettingsError, TableError
from histonic.core.task import EventCodes, EventCoding, parse_target
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.checks import check_labels
from histonic.data.targets.cohorts import build_cohort
from histonic.runs.files import truth_columns

CODES = [0, 1, 2, 0, 1, 3, 2, 0, 1, 0, 2, 1]
SLIDES = [f"P{k:02d}" for k in range(len(CODES))]


def write(folder: Path, words: Sequence[object]) -> Path:
    rows = [f"P{k:02d},{k + 1},{word}" for k, word in enumerate(words)]
    path = folder / "labels.csv"
    path.write_text("\n".join(["patient_id,os_months,status", *rows]) + "\n")
    return path


def cohort(
    path: Path,
    *event: str,
    codes: EventCodes = "event",
    targets: Sequence[str] = ("os:survival:os_months,status",),
    **classes: str,
) -> Cohort:
    table = read_labels(path, classes={f"status:{word}": meaning for word, meaning in classes.items()})
    requests = [parse_target(target) for target in targets]
    return build_cohort(table, requests, SLIDES, event_coding=codes, event_of_interest=event)


def events(found: Cohort) -> list[int]:
    return found.targets(found.tasks[0])[:, 1].astype(int).tolist()


def causes(found: Cohort) -> list[str]:
    return [patient.causes.get("os", "") for patient in found.patients]


def test_codes_beyond_one_are_refused_with_the_line_to_write(tmp_path: Path) -> None:
    path = write(tmp_path, CODES)
    with pytest.raises(TableError, match="Event codes beyond 0 and 1") as refused:
        cohort(path)
    assert "0 (4 rows), 1 (4 rows), 2 (3 rows), 3 (1 rows)" in refused.value.found
    assert "--event-of-interest 1 (the others then compete)" in refused.value.todo
    targets = ["os:survival:os_months,status"]
    errors = [each for each in check_labels(path, targets=targets) if each.severity == "error"]
    assert [each.what for each in errors] == ["Event codes beyond 0 and 1"]
    assert check_labels(path, targets=targets, event_of_interest=["1"]) == []


@pytest.mark.parametrize("event", ["1", "2", "2.0", "os=2"])
def test_one_code_is_the_event_and_others_compete(tmp_path: Path, event: str) -> None:
    found = cohort(write(tmp_path, CODES), event)
    code = int(float(event.removeprefix("os=")))
    assert events(found) == [int(each == code) for each in CODES]
    assert causes(found) == [str(each) if each else "" for each in CODES]
    coding = found.codings["os"]
    others = ", ".join(str(each) for each in (1, 2, 3) if each != code)
    assert coding.text == (
        f"event: {code} in the column 'status'; competing causes: {others}; censored: 0; time in months, by "
        "the name of 'os_months'"
    )
    assert coding.event == EventCoding("event", "months", event.removeprefix("os="))


def test_words_are_causes_too(tmp_path: Path) -> None:
    names = {0: "alive", 1: "Relapse", 2: "death of another cause", 3: "relapse"}
    found = cohort(write(tmp_path, [names[code] for code in CODES]), "relapse")
    assert events(found) == [int(code in (1, 3)) for code in CODES]
    assert set(causes(found)) == {"", "Relapse", "death of another cause"}
    # 1 and dead are causes of their own where another is the event.
    found = cohort(write(tmp_path, ["dead" if code == 1 else code for code in CODES]), "2")
    assert events(found) == [int(code == 2) for code in CODES] and "dead" in causes(found)


def test_codes_of_r_with_causes(tmp_path: Path) -> None:
    found = cohort(write(tmp_path, [code + 1 for code in CODES]), "2", codes="1/2")
    assert events(found) == [int(code == 1) for code in CODES]
    assert causes(found) == [str(code + 1) if code else "" for code in CODES]
    # Without the coding nobody is censored, which is asked about.
    (issue,) = check_labels(
        write(tmp_path, [1 + (code > 0) for code in CODES]),
        targets=["os:survival:os_months,status"],
        event_of_interest=["2"],
    )
    assert issue.what == "Nobody censored" and "--event-coding 1/2" in issue.todo


@pytest.mark.parametrize(
    ("words", "event", "what"),
    [
        (CODES, "0", "it means censored"),
        (CODES, "4", "No cell says '4'; they say 0 \\(4\\), 1 \\(4\\)"),
        ([*CODES[:-1], "9"], "1", "--classes 'status:9=NA'"),
        ([*CODES[:-1], "-1"], "1", "Competing cause that may be none"),
        ([*CODES[:-1], "UNK"], "1", "'UNK' \\(1 rows\\) would be taken for a cause"),
        ([*CODES[:-1], "alvie"], "1", "'alvie' \\(1 rows\\) would be taken for a cause"),
        ([0, *range(20, 31)], "20", "TIME_COLUMN,EVENT_COLUMN"),
    ],
)
def test_what_is_no_cause_is_refused(tmp_path: Path, words: Sequence[object], event: str, what: str) -> None:
    with pytest.raises(TableError, match=what):
        cohort(write(tmp_path, words), event)


def test_a_doubtful_code_can_be_left_out_or_named(tmp_path: Path) -> None:
    path = write(tmp_path, [*CODES[:-1], "9"])
    assert len(cohort(path, "1", **{"9": "NA"}).patients) == len(CODES) - 1
    assert causes(cohort(path, "1", **{"9": "cause 9"}))[-1] == "cause 9"


def test_targets_may_have_events_of_their_own(tmp_path: Path) -> None:
    rows = [f"P{k:02d},{k + 1},{code},{int(code > 0)}" for k, code in enumerate(CODES)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["patient_id,t,status,dead", *rows]) + "\n")
    targets = ("css:survival:t,status", "os:survival:t,dead")
    found = cohort(path, "css=2", targets=targets)
    assert events(found) == [int(code == 2) for code in CODES]
    assert found.targets(found.tasks[1])[:, 1].tolist() == [int(code > 0) for code in CODES]
    assert {name for patient in found.patients for name in patient.causes} == {"css"}
    with pytest.raises(SettingsError, match="The survival targets are css, os"):
        cohort(path, "dss=2", targets=targets)
    with pytest.raises(SettingsError, match=r"The survival targets are \(none\)"):
        cohort(path, "2", targets=["dead"])


def test_rows_of_a_patient_must_agree_on_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("patient_id,slide_id,os_months,status\nA,P01,5,2\nA,P02,5,3\nB,P03,4,1\n")
    with pytest.raises(TableError, match="disagree") as refused:
        cohort(path, "1")
    assert "(time 5, event 0, cause 2), (time 5, event 0, cause 3)" in refused.value.found


def test_the_cause_stands_beside_the_event_in_the_predictions(tmp_path: Path) -> None:
    found = cohort(write(tmp_path, CODES), "1")
    columns = truth_columns(found.tasks[0], found, Fold(0, (), (), found.patients))
    assert columns["event"] == events(found) and columns["cause"] == causes(found)
    plain = cohort(write(tmp_path, [int(code > 0) for code in CODES]))
    assert "cause" not in truth_columns(plain.tasks[0], plain, Fold(0, (), (), plain.patients))
