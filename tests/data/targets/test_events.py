"""Cells of event columns: what is read, and what would be read the wrong way round."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from histonic.core.errors import TableError
from histonic.core.task import EventCodes, parse_target
from histonic.data.tables.issues import Issue
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.checks import check_labels
from histonic.data.targets.cohorts import build_cohort

DEAD = [1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1]
"""What all of the columns say, each in its own way."""
TIMES = [5, 9, 3, 8, 12, 7, 2, 14, 11, 6, 4, 10]


def write(folder: Path, column: str, cells: list[str]) -> Path:
    rows = [f"P{k:02d},{time},{cell}" for k, (time, cell) in enumerate(zip(TIMES, cells, strict=True))]
    path = folder / "labels.csv"
    path.write_text("\n".join([f"patient_id,t,{column}", *rows]) + "\n", encoding="utf-8")
    return path


def read(path: Path, column: str, codes: EventCodes = "event", **classes: str) -> list[float]:
    table = read_labels(path, classes={f"{column}:{word}": meaning for word, meaning in classes.items()})
    slides = [f"P{k:02d}" for k in range(12)]
    cohort = build_cohort(table, [parse_target(f"os:survival:t,{column}")], slides, event_coding=codes)
    values = cohort.targets(cohort.tasks[0])
    assert values[:, 0].tolist() == TIMES
    return values[:, 1].tolist()


def check(path: Path, column: str, codes: EventCodes = "event") -> list[Issue]:
    return check_labels(path, targets=[f"os:survival:t,{column}"], event_coding=codes)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("alive", "no yes"),
        ("survived", "0 1"),
        ("lebt", "false true"),
        ("disease_free", "0.0 1.0"),
        ("censored", "n y"),
        ("lost_to_follow_up", "no yes"),
        ("vital_status", "no yes"),
        ("survival", "FALSE TRUE"),
    ],
)
def test_names_of_the_living_are_refused_with_the_words_that_mend_it(
    tmp_path: Path, column: str, words: str
) -> None:
    dead, alive = words.split()
    path = write(tmp_path, column, [dead if event else alive for event in DEAD])
    with pytest.raises(TableError) as refused:
        read(path, column)
    (issue,) = check(path, column)
    assert issue.severity == "error" and "--event-coding censored" in issue.todo
    assert read(path, column, "censored") == DEAD
    # The other reading: the words in quotes, as they can be pasted.
    pasted = [part for part in shlex.split(refused.value.todo.rstrip(").")) if part.startswith(f"{column}:")]
    meanings = dict(part.removeprefix(f"{column}:").split("=") for part in pasted)
    assert read(path, column, **meanings) == [1 - event for event in DEAD]


@pytest.mark.parametrize("column", ["alive", "censored", "vital_status", "dead", "status"])
def test_words_that_name_the_state_need_no_coding(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, column, ["Dead" if event else "Alive" for event in DEAD])
    assert read(path, column) == read(path, column, "censored") == DEAD
    assert check(path, column) == []


@pytest.mark.parametrize(
    ("column", "codes", "what"),
    [
        ("vital_status", "event", "Event coding that nothing names"),
        ("overall_survival", "event", "Event coding that nothing names"),
        ("dead", "censored", "Event coding against the name"),
    ],
)
def test_names_that_leave_it_open_are_asked_about(
    tmp_path: Path, column: str, codes: EventCodes, what: str
) -> None:
    path = write(tmp_path, column, [str(event) for event in DEAD])
    assert [(issue.severity, issue.what) for issue in check(path, column, codes)] == [("warning", what)]
    assert read(path, column, codes) == (DEAD if codes == "event" else [1 - event for event in DEAD])


@pytest.mark.parametrize("column", ["dead", "os_event", "status", "DFS", "relapse"])
def test_plain_columns_are_read_without_a_word(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, column, [str(event) for event in DEAD])
    assert check(path, column) == [] and read(path, column) == DEAD


def test_codes_of_r_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "status", [str(event + 1) for event in DEAD])
    with pytest.raises(TableError, match="1 is censored and 2 dead") as refused:
        read(path, "status")
    assert "--event-coding 1/2" in refused.value.todo and "1 (7 rows), 2 (5 rows)" in refused.value.found
    assert read(path, "status", "1/2") == DEAD
    assert [issue.severity for issue in check(path, "status")].count("error") == 1
    # Codes of 0 and 1 are none of R's.
    with pytest.raises(TableError, match="Event codes beyond 0 and 1"):
        read(write(tmp_path, "status", [str(event) for event in DEAD]), "status", "1/2")


def test_other_codes_and_words_can_be_given_a_meaning(tmp_path: Path) -> None:
    path = write(tmp_path, "status", ["9" if event else "0" for event in DEAD])
    with pytest.raises(TableError, match="--classes 'status:9=NA'"):
        read(path, "status")
    assert read(path, "status", **{"9": "dead"}) == DEAD
    path = write(tmp_path, "status", ["muerto" if event else "0" for event in DEAD])
    with pytest.raises(TableError, match="status:WORD=dead"):
        read(path, "status")
    assert read(path, "status", muerto="dead") == DEAD
    with pytest.raises(TableError, match="No cell of the targets says 'status:tot'"):
        read(path, "status", muerto="dead", tot="dead")


def test_dates_are_neither_events_nor_times(tmp_path: Path) -> None:
    path = write(tmp_path, "died_on", ["2019-03-01" if event else "" for event in DEAD])
    first = check(path, "died_on")[0]
    assert first.what == "Date in place of an event" and "Write 1 where there is a date" in first.todo
    text = path.read_text().replace("\nP00,5,", "\nP00,5.3.2019,")
    path.write_text(text)
    found = next(each for each in check(path, "died_on") if each.what == "Dates in place of times")
    assert "'5.3.2019'" in found.found and "difference of two dates" in found.todo


def test_times_in_place_of_events_are_seen(tmp_path: Path) -> None:
    path = write(tmp_path, "dead", [str(event) for event in DEAD])
    issues = check_labels(path, targets=["os:survival:dead,t"])
    assert issues[0].what == "No column of events" and "TIME_COLUMN,EVENT_COLUMN" in issues[0].todo


@pytest.mark.parametrize(("event", "blank"), [("1", ""), ("dead", "NA"), ("yes", ""), ("1", "nan")])
def test_blank_for_the_living_is_refused(tmp_path: Path, event: str, blank: str) -> None:
    path = write(tmp_path, "death", [event if dead else blank for dead in DEAD])
    with pytest.raises(TableError, match="Event that is blank for the others") as refused:
        read(path, "death")
    assert (
        "7 rows with a time are blank" in refused.value.found and "write 0 (or alive)" in refused.value.todo
    )
    errors = [issue.what for issue in check(path, "death") if issue.severity == "error"]
    assert errors == ["Event that is blank for the others"]
    told = write(tmp_path, "death", [event if dead else "alive" for dead in DEAD])
    assert read(told, "death") == DEAD


def test_events_missing_here_and_there_are_left_out(tmp_path: Path) -> None:
    cells = [str(event) for event in DEAD]
    cells[3] = cells[4] = cells[5] = ""
    issues = check(write(tmp_path, "death", cells), "death")
    assert [issue.what for issue in issues] == ["Missing target"]
    unknown = write(tmp_path, "death", ["1" if dead else "unknown" for dead in DEAD])
    assert "error" not in [issue.severity for issue in check(unknown, "death")]


def test_mostly_blank_is_asked_about(tmp_path: Path) -> None:
    cells = ["1" if dead else "" for dead in DEAD]
    cells[1] = "0"
    issues = check(write(tmp_path, "death", cells), "death")
    found = next(issue for issue in issues if issue.what == "Event that is blank for the others")
    assert found.severity == "warning" and found.found.startswith("Most of the 6 filled cells say an event")
