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
    named = write(tmp_path, "patient_id,slide_id,Set A\nA,a,train\nB,b,test\n", "named.csv")
    with pytest.raises(TableError, match="--columns fold=none --columns split='Set A'"):
        read_labels(named, columns={"fold": "Set A"})


def test_pathobench_folds_become_a_split_if_they_are_one(tmp_path):
    rows = ["A,a,test,train", "B,b,train,test", "C,c,train,test"]
    file = write(tmp_path, "case_id,slide_id,fold_0,fold_1\n" + "\n".join(rows) + "\n")
    table = read_labels(file, style="pathobench")
    assert list(table.folds) == ["fold_0", "fold_1", "fold_1"]
    assert table.turns is None


def test_one_official_fold_is_read_whatever_its_column_is_called(tmp_path):
    rows = "A,a,train\nB,b,val\nC,c,test\nD,d,\n"
    for name in ("fold_0", "Fold 1", "split0", "partition", "Official"):
        table = read_labels(write(tmp_path, f"case_id,slide_id,{name}\n{rows}"))
        assert table.folds is None and table.roles is None, name
        assert [list(cells) for _, cells in table.turns.items()] == [["train", "val", "test", ""]], name
        for hidden in ({"split": "none"}, {"fold": "none", "split": "none"}):
            assert read_labels(table.path, columns=hidden).turns is None


def test_ticks_in_columns_train_val_and_test_are_a_split(tmp_path):
    rows = "A,True,False,False\nB,False,True,False\nC,False,False,True\nD,False,False,False\n"
    table = read_labels(write(tmp_path, f"case_id,train,val,test\n{rows}"))
    assert list(table.turns.iloc[:, 0]) == ["train", "val", "test", ""]
    table = read_labels(write(tmp_path, "case_id,train,val,test\nA,0.2,0.3,0.1\nB,1,1,0\n"))
    assert table.turns is None, "no ticks"


def test_folds_that_name_validation_or_leave_patients_out_are_kept_as_they_are(tmp_path):
    rows = ["A,a,test,train", "B,b,val,test", "C,c,train,val", "D,d,train,train", "E,e,,train"]
    table = read_labels(write(tmp_path, "case_id,slide_id,fold_0,fold_1\n" + "\n".join(rows) + "\n"))
    assert table.folds is None
    assert list(table.turns["fold_0"]) == ["test", "val", "train", "train", ""]
    cells = ["A,a,test,train", "B,b,val,test", "C,c,train,val"]
    file = write(tmp_path, "case_id,slide_id,fold_0,fold_1\n" + "\n".join(cells) + "\n")
    chosen = read_labels(file, columns={"split": "fold_1"})
    assert chosen.turns is None and list(chosen.roles) == ["train", "test", "val"]
    assert read_labels(file, columns={"fold": "none"}).turns is None


def test_folds_that_cannot_be_read_or_stand_twice_are_refused(tmp_path):
    def read(header: str, *rows: str) -> LabelTable:
        return read_labels(write(tmp_path, "\n".join([f"case_id,slide_id,{header}", *rows]) + "\n"))

    with pytest.raises(TableError, match="'dev'"):
        read("fold_0,fold_1", "A,a,train,dev", "B,b,test,train")
    with pytest.raises(TableError, match="does not name both train and test"):
        read("fold_0", "A,a,train", "B,b,val")
    with pytest.raises(TableError, match="Two splits"):
        read("split,fold_0", "A,a,train,test", "B,b,test,train")
    with pytest.raises(TableError, match="'official', 'set'"):
        read("set,official", "A,a,train,test", "B,b,test,train")
    with pytest.raises(CohortError, match="patient 'A'"):
        read("fold_0", "A,a,train", "A,b,test", "C,c,test")
    assert read("fold_1", "A,a,0.3", "B,b,1.7").notes[0].startswith("The columns fold_1 are not used")


def table(folder: Path, cells: list[str], separator: str = ";") -> LabelTable:
    lines = [f"P{number}{separator}{cell}" for number, cell in enumerate(cells)]
    (folder / "labels.csv").write_text("\n".join([f"patient_id{separator}age", *lines]) + "\n")
    return read_labels(folder / "labels.csv")
