"""Order and positive class as given, refused or in doubt, and the line that says how labels were taken."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from histonic.core.cohort import Cohort
from histonic.core.errors import TableError
from histonic.core.task import EventCodes, EventCoding, parse_target
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.checks import check_labels, examine_labels
from histonic.data.targets.cohorts import build_cohort


def table(folder: Path, column: str, cells: list[str], header: str = "patient_id") -> Path:
    rows = [f"{header},{column}", *(f'P{k},"{cell}"' for k, cell in enumerate(cells))]
    path = folder / "labels.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def cohort(path: Path, target: str, **options: object) -> Cohort:
    slides = [f"P{k}" for k in range(12)]
    return build_cohort(read_labels(path), [parse_target(target)], slides, **options)


OS = "os:survival:os_months,status"
COLOURS = ["red", "green", "blue"] * 4


@pytest.mark.parametrize(
    ("cells", "target", "classes"),
    [
        (COLOURS, "y:ordinal:y:green<red<blue", ("green", "red", "blue")),
        (COLOURS, "y:ordinal::Green < RED < blue", ("green", "red", "blue")),
        (COLOURS, "y::y:green<red<blue", ("green", "red", "blue")),
        (COLOURS, "y:ordinal:y:green<white<red<blue", ("green", "red", "blue")),
        (["<1%", "1-49%", ">=50%"] * 4, "y:ordinal:y:>=50% < 1-49% < <1%", (">=50%", "1-49%", "<1%")),
        (["<1%", "1-49%", ">=50%"] * 4, "y:ordinal:y:<1%<1-49%<>=50%", ("<1%", "1-49%", ">=50%")),
        (["1", "2", "3"] * 4, "y:ordinal:y:3<2<1", ("3", "2", "1")),
        (["CR", "PR", "SD", "PD"] * 3, "y:ordinal", ("PD", "SD", "PR", "CR")),
        (["yes", "no"] * 6, "y:binary:y:positive=no", ("yes", "no")),
        (["A", "B"] * 6, "y:binary::positive=a", ("B", "A")),
        (["A", "B"] * 6, "y:::positive=A", ("B", "A")),
        (["1.0", "0"] * 6, "y:binary:y:positive=0", ("1", "0")),
        (["dMMR", "pMMR"] * 6, "y", ("pMMR", "dMMR")),
    ],
)
def test_classes_are_taken_as_given_or_as_they_say(
    tmp_path: Path, cells: list[str], target: str, classes: tuple[str, ...]
) -> None:
    found = cohort(table(tmp_path, "y", cells), target)
    assert found.tasks[0].classes == classes
    first = classes.index(cells[0] if cells[0] != "1.0" else "1")
    assert found.patients[0].targets == {"y": float(first)}


def test_an_order_that_is_not_certain_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    path = table(tmp_path, "hue", COLOURS)
    with pytest.raises(TableError, match="Nothing says for certain") as refused:
        cohort(path, "y:ordinal:hue")
    line = next(part for part in shlex.split(str(refused.value)) if part.startswith("y:ordinal:hue:"))
    assert cohort(path, line).tasks[0].classes == ("blue", "green", "red")
    assert [issue.severity for issue in check_labels(path, targets=["y:ordinal:hue"])] == ["error"]
    # Another cohort is read in the order of the run, whatever its words say.
    assert len(cohort(path, "y:ordinal:hue", varied=False).patients) == 12


def test_a_word_for_no_value_among_the_classes_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "y", ["low", "high", "UNK"] * 4)
    with pytest.raises(TableError, match="--classes 'UNK=NA'"):
        cohort(path, "y:ordinal")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("y:ordinal:y:green<red", "'y:ordinal:y:green<red<blue'"),
        ("y:ordinal:y:green<rde<blue", "classes red are not in that order"),
        ("z:binary:z:positive=maybe", "z:binary:z:positive=yes"),
        ("y:ordinal:green<red<blue", "y:ordinal:COLUMN:LOW<MID<HIGH"),
    ],
)
def test_an_order_that_lacks_a_class_is_refused(tmp_path: Path, target: str, words: str) -> None:
    cells = ["yes", "no"] * 6 if target[0] == "z" else COLOURS
    with pytest.raises(TableError) as refused:
        cohort(table(tmp_path, target[0], cells), target)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("cells", "target", "text"),
    [
        (["CR", "PD"] * 6, "y:ordinal", "order, lowest first: PD < CR (best response highest)"),
        (["G1", "G2"] * 6, "y:ordinal", "order, lowest first: G1 < G2 (by their numbers)"),
        (COLOURS, "y:ordinal::red<green<blue", "order, lowest first: red < green < blue (as given)"),
        (COLOURS, "y", "classes without an order: blue, green, red"),
        (["ER+", "ER-"] * 6, "y", "positive class: ER+; the other: ER-"),
        (["1.5", "2.5"] * 6, "y:regression", "a number, in the unit of the column 'y'"),
    ],
)
def test_the_line_that_says_how_labels_were_taken(
    tmp_path: Path, cells: list[str], target: str, text: str
) -> None:
    path = table(tmp_path, "y", cells)
    assert cohort(path, target).codings["y"].text == text
    assert examine_labels(path, targets=[target]).codings["y"].text == text


@pytest.mark.parametrize(
    ("coding", "events", "censored"),
    [("event", "1, dead", "0, alive"), ("censored", "0, dead", "1, alive"), ("1/2", "2, dead", "1, alive")],
)
def test_the_line_of_a_survival_target(
    tmp_path: Path, coding: EventCodes, events: str, censored: str
) -> None:
    path = tmp_path / "labels.csv"
    cells = ["alive", "1", "2" if coding == "1/2" else "0", "dead"] * 3
    rows = [f"P{k},{k + 1},{cell}" for k, cell in enumerate(cells)]
    path.write_text("\n".join(["patient_id,os_months,status", *rows]) + "\n")
    found = examine_labels(path, targets=[OS], event_coding=coding).codings["os"].text
    assert found == (
        f"event: {events} in the column 'status'; censored: {censored}; "
        "time in months, by the name of 'os_months'"
    )
    kept = cohort(path, OS, event_coding=coding).codings["os"]
    assert kept.event == EventCoding(coding, "months") and kept.text == found


def test_a_positive_class_that_nothing_names_goes_on_with_a_note(tmp_path: Path) -> None:
    path = table(tmp_path, "sex", ["female", "male"] * 6)
    found = cohort(path, "sex")
    assert found.tasks[0].classes == ("female", "male")
    line = "--target sex:binary:sex:positive=female"
    assert line in found.codings["sex"].doubt and any(line in note for note in found.notes)
    (issue,) = check_labels(path, targets=["sex"])
    assert (issue.severity, issue.what) == ("warning", "Positive class that nothing names")
    assert cohort(path, line.split()[1]).notes == ()
    assert cohort(path, "sex:binary:sex:positive=male").codings["sex"].doubt == ""
