"""Columns of a run's label table by patient, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import SettingsError, TableError
from histonic.runs.documents import RunSettings
from histonic.runs.patient_columns import as_levels, as_numbers, read_patient_columns, sorted_levels


def run(folder: Path, rows: list[str], **settings: object) -> RunSettings:
    table = folder / "labels.csv"
    table.write_text("\n".join(["case,slide_id,age,stage", *rows]), encoding="utf-8")
    values = {"store": folder, "labels": table, "out": folder, "columns": {"patient_id": "case"}, **settings}
    return RunSettings.model_validate(values)


def test_rows_of_a_patient_are_joined(tmp_path: Path) -> None:
    settings = run(tmp_path, ["P1,a,61,II", "P1,b,,II", "P2,c,NA,"])
    found = read_patient_columns(settings, ["age", "stage"])
    assert found == {"age": {"P1": "61", "P2": ""}, "stage": {"P1": "II", "P2": ""}}
    assert read_patient_columns(settings, []) == {}


def test_a_table_that_moved_can_be_named(tmp_path: Path) -> None:
    settings = run(tmp_path, ["P1,a,61,II"])
    (tmp_path / "labels.csv").rename(tmp_path / "other.csv")
    with pytest.raises(SettingsError, match="--labels") as error:
        read_patient_columns(settings, ["age"])
    assert "labels.csv" in error.value.found
    assert read_patient_columns(settings, ["age"], tmp_path / "other.csv") == {"age": {"P1": "61"}}


def test_refusals(tmp_path: Path) -> None:
    settings = run(tmp_path, ["P1,a,61,II", "P1,b,62,II"])
    with pytest.raises(TableError, match="Did you mean 'stage'"):
        read_patient_columns(settings, ["stag"])
    with pytest.raises(TableError) as error:
        read_patient_columns(settings, ["age"])
    assert "P1" in error.value.found and "'61'" in error.value.found


def test_numbers_and_words() -> None:
    assert as_numbers(["", ""]) is None
    assert as_numbers(["inf", "1"]) is None
    assert as_numbers(["1", "x"]) is None


def test_levels() -> None:
    assert as_levels({"a": "II", "b": "", "c": "I"}) == {"a": "II", "c": "I"}
    few = {str(k): str(k % 3) for k in range(9)}
    assert as_levels(few) == few
    many = as_levels({str(k): str(k) for k in range(9)})
    assert sorted_levels(many) == ["≤ 4", "> 4"]
    assert sorted(many.values()).count("≤ 4") == 5
    assert sorted_levels({"a": "T10", "b": "T2"}) == ["T2", "T10"]


def test_a_split_that_the_run_set_aside_is_not_read(tmp_path: Path) -> None:
    """A run trained with --split random has a report with subgroups, whatever the table's split says."""
    settings = run(tmp_path, [], split="random")
    rows = ["case,slide_id,age,split,fold", "P1,a,61,train,1", "P1,b,61,test,2", "P2,c,70,train,1"]
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    assert read_patient_columns(settings, ["age"]) == {"age": {"P1": "61", "P2": "70"}}
