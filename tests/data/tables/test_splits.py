"""The split that a table gives itself: no patient in two parts, and folds that are folds."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import CohortError, TableError
from histonic.data.tables.label_table import LabelTable, read_labels


def write(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_patient_in_two_folds_is_refused_by_name(tmp_path):
    with pytest.raises(CohortError, match="patient 'B'") as caught:
        read_labels(write(tmp_path, "patient_id,slide_id,fold\nA,a,0\nB,b,0\nB,c,1\n"))
    assert "'0' (row 3), '1' (row 4)" in caught.value.found


def test_fold_column_with_train_and_test_is_refused(tmp_path):
    file = write(tmp_path, "patient_id,slide_id,fold\nA,a,train\nB,b,test\n")
    with pytest.raises(TableError, match="test, train"):
        read_labels(file)
    for word in ("", "none"):
        assert read_labels(file, columns={"fold": word}).folds is None


def test_pathobench_folds_become_a_split_if_they_are_one(tmp_path):
    rows = ["A,a,test,train", "B,b,train,test", "C,c,train,test"]
    file = write(tmp_path, "case_id,slide_id,fold_0,fold_1\n" + "\n".join(rows) + "\n")
    table = read_labels(file, style="pathobench")
    assert list(table.folds) == ["fold_0", "fold_1", "fold_1"]
    overlapping = write(tmp_path, "case_id,slide_id,fold_0,fold_1\nA,a,test,test\nB,b,train,test\n")
    table = read_labels(overlapping)
    assert table.folds is None
    assert "own split" in table.notes[0]


def table(folder: Path, cells: list[str], separator: str = ";") -> LabelTable:
    lines = [f"P{number}{separator}{cell}" for number, cell in enumerate(cells)]
    (folder / "labels.csv").write_text("\n".join([f"patient_id{separator}age", *lines]) + "\n")
    return read_labels(folder / "labels.csv")
