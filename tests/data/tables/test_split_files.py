"""CLAM's split files: who trains, validates and is tested as they list it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import CohortError, TableError
from histonic.data.tables.label_table import read_labels
from histonic.data.tables.split_files import split_by_files

LABELS = "case_id,slide_id,label\nA,a-1,x\nA,a-2,x\nB,b.svs,y\nC,c,x\nD,d,y\n"


def given(folder: Path, **files: str) -> tuple[Path, Path]:
    (folder / "labels.csv").write_text(LABELS)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder / "labels.csv", folder


def test_slides_or_patients_are_listed_and_the_rest_has_no_part(tmp_path):
    labels, folder = given(
        tmp_path,
        splits_0=",train,val,test\n0,a-1,b,c\n1,a-2,,\n",
        splits_1="train,val,test\nB,C,A\nelsewhere,,\n",
        splits_0_bool=",train,val,test\na-1,True,False,False\n",
        splits_0_descriptor=",train,val,test\nx,1,0,1\n",
    )
    table = split_by_files(read_labels(labels), folder)
    assert list(table.turns.columns) == ["splits_0.csv", "splits_1.csv"]
    assert list(table.turns["splits_0.csv"]) == ["train", "train", "val", "test", ""]
    assert list(table.turns["splits_1.csv"]) == ["test", "test", "train", "val", ""]
    assert "splits_1.csv names 1 slides or patients that labels.csv lacks: elsewhere" in table.notes[-1]
    assert list(split_by_files(read_labels(labels), folder / "splits_1.csv").turns.columns) == [
        "splits_1.csv"
    ]


def test_equal_file_names_are_told_apart_by_their_folders(tmp_path):
    (tmp_path / "labels.csv").write_text("case_id,slide_id,label\nA,v/s.svs,x\nB,w/s.svs,y\n")
    table = read_labels(tmp_path / "labels.csv")
    (tmp_path / "splits_0.csv").write_text("train,test\nw/s.svs,v__s\n")
    assert list(split_by_files(table, tmp_path / "splits_0.csv").turns["splits_0.csv"]) == ["test", "train"]
    (tmp_path / "splits_0.csv").write_text("train,test\ns,v__s\n")
    with pytest.raises(TableError, match="could be a slide of the patients A, B"):
        split_by_files(table, tmp_path / "splits_0.csv")


def test_split_files_that_do_not_fit_are_refused(tmp_path):
    labels, folder = given(
        tmp_path,
        twice="train,val,test\na-1,b,a-2\n",
        both="train,test\nc,c\n",
        ticks=",train,val,test\na-1,True,False,False\n",
        foreign="train,test\nq1,q2\n",
        other="slide,fold\na-1,2\n",
    )
    table = read_labels(labels)
    for name, error, words in (
        ("twice", CohortError, "Slides of the patient A"),
        ("both", CohortError, "lists 'c'"),
        ("ticks", TableError, "splits_0_bool.csv"),
        ("foreign", TableError, "no slide and no patient of these names"),
        ("other", TableError, "slide, fold"),
    ):
        with pytest.raises(error, match=words):
            split_by_files(table, folder / f"{name}.csv")
    with pytest.raises(TableError, match=r"no splits_0\.csv"):
        split_by_files(table, folder)
    with pytest.raises(TableError, match="as --splits"):
        read_labels(folder / "both.csv")
