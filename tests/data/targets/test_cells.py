"""Cells of a number column: one line a kind of fault, and readings that are refused or said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import TableError
from histonic.core.places.frames import FrameTable
from histonic.core.task import parse_target
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.cells import given_cells, read_numbers
from histonic.data.targets.checks import check_labels
from histonic.data.targets.cohorts import build_cohort

OS = "os:survival:days,dead"


def write(folder, times, separator=";"):
    rows = "".join(f"P{k}{separator}{time}{separator}{k % 2}\n" for k, time in enumerate(times))
    (folder / "a.csv").write_text(separator.join(["patient_id", "days", "dead"]) + f"\n{rows}")
    return folder / "a.csv", [f"P{k}" for k in range(len(times))]


@pytest.mark.parametrize("mark", [".", ","])
def test_days_with_separators_of_thousands_are_never_read_as_decimals(tmp_path, mark):
    times = [f"{k * 230 + 100:,}".replace(",", mark) for k in range(12)]
    file, slides = write(tmp_path, times)
    with pytest.raises(TableError, match="Numbers that can be read in two ways") as caught:
        build_cohort(read_labels(file), [parse_target(OS)], slides)
    assert f"'1{mark}020' (row 6)" in caught.value.found
    assert check_labels(file, targets=[OS], slide_ids=slides)[0].severity == "error"
    decimal = "comma" if mark == "." else "point"
    cohort = build_cohort(read_labels(file, decimal=decimal), [parse_target(OS)], slides)
    times_read = {patient.patient_id: patient.targets["os"][0] for patient in cohort.patients}
    assert times_read == {f"P{k}": k * 230 + 100 for k in range(12)}


@pytest.mark.parametrize("target", ["days", "days:regression", "os:survival:days,dead"])
@pytest.mark.parametrize("form", ["frame", "file"])
@pytest.mark.parametrize(("kinds", "hours"), [(2, 2), (4, 2), (30, 0), (30, 2)])
def test_lengths_of_time_are_told_what_to_give(tmp_path, target, form, kinds, hours):
    table = pd.DataFrame({"patient_id": [f"P{k}" for k in range(30)], "dead": [k % 2 for k in range(30)]})
    table["days"] = pd.to_timedelta([(k % kinds * 10 + 5) * 24 + hours for k in range(30)], "h")
    table.to_csv(tmp_path / "a.csv", index=False)
    labels = read_labels(tmp_path / "a.csv" if form == "file" else FrameTable(table))
    with pytest.raises(TableError, match="give numbers of one unit, such as days") as caught:
        build_cohort(labels, [parse_target(target)], list(table["patient_id"]))
    word = "days:binary" if kinds == 2 else "days:ordinal"
    assert target != "days" or caught.value.todo.endswith(f"If these are classes, say {word}.")
    table["days"] = table["days"] // pd.Timedelta(days=1)
    cohort = build_cohort(read_labels(FrameTable(table)), [parse_target(OS)], list(table["patient_id"]))
    assert cohort.patients[1].targets["os"] == (15, 1)


@pytest.mark.parametrize(
    ("given", "kind"), [(["7 days", "14 days"], "binary"), (["30 days", "60 days", "90 days"], "multiclass")]
)
def test_few_lengths_of_time_are_classes(tmp_path, given, kind):
    rows = "".join(f"P{k},{given[k % len(given)]}\n" for k in range(12))
    (tmp_path / "a.csv").write_text(f"patient_id,arm\n{rows}")
    cohort = build_cohort(
        read_labels(tmp_path / "a.csv"), [parse_target("arm")], [f"P{k}" for k in range(12)]
    )
    assert (cohort.tasks[0].kind, cohort.tasks[0].classes) == (kind, tuple(given))


def test_masked_numbers_are_missing():
    table = pd.DataFrame({"patient_id": [f"P{k}" for k in range(12)]})
    table["age"] = np.ma.array(np.arange(12) + 0.5, mask=np.arange(12) == 3)
    cohort = build_cohort(
        read_labels(FrameTable(table)), [parse_target("age:regression")], list(table["patient_id"])
    )
    ages = {patient.patient_id: patient.targets.get("age") for patient in cohort.patients}
    assert ages.get("P3") is None and ages["P4"] == 4.5


def test_habit_is_said(tmp_path):
    file, slides = write(tmp_path, ["1,234", "2,630", "3,111", "4,500"])
    cohort = build_cohort(read_labels(file), [parse_target(OS)], slides)
    assert cohort.patients[1].targets["os"] == (2.63, 1.0)
    assert "'1,234' (row 2) is read as 1.234; 3 like it" in cohort.notes[0]


def test_one_line_a_kind_of_fault(tmp_path):
    file, slides = write(tmp_path, ["1", "ten", "x", "?5", "y", "-3", "#REF!", "12%", "7", "8"])
    issues = [i for i in check_labels(file, targets=[OS], slide_ids=slides) if i.severity == "error"]
    assert [issue.what for issue in issues] == [
        "Spreadsheet's error in a cell",
        "Time that is not a number",
        "Negative time",
    ]
    assert issues[1].found == (
        "5 of them: row 3: The cell is 'ten'; row 4: The cell is 'x'; row 5: The cell is '?5'; and 2 more."
    )
    table = read_labels(file)
    numbers, _ = read_numbers(table, "days", given_cells(table, "days"), not_negative=True)
    assert numbers == {2: 1.0, 10: 7.0, 11: 8.0}
