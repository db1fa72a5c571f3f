"""CAMELYON17's stages: two kinds of rows parted, the rule of stages, and rows that are neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import TableError
from histonic.data.tables.joins import join_slides
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.nodal_stages import read_stage_labels, stage_of_nodes

NODES = ("negative", "itc", "micro", "macro", "negative")


def write(folder: Path, *lines: str) -> Path:
    file = folder / "stage_labels.csv"
    file.write_text("\n".join(["patient,stage", *lines]) + "\n", encoding="utf-8")
    return file


def shipped(folder: Path) -> Path:
    lines = ["patient_019.zip,pN1", "patient_020.zip,pN0"]
    lines += [f"patient_019_node_{n}.tif,{label}" for n, label in enumerate(NODES)]
    lines += [f"patient_020_node_{n}.tif,negative" for n in range(5)]
    return write(folder, *lines)


def test_the_two_kinds_of_rows_are_parted(tmp_path: Path) -> None:
    found = read_stage_labels(shipped(tmp_path))
    assert found.stages == {"patient_019": "pN1", "patient_020": "pN0"} and not found.doubts()
    rows = found.rows()
    assert [row["node"] for row in rows[:5]] == list(NODES) and len(rows) == 10
    assert {(row["patient_id"], row["stage"], row["center"]) for row in rows} == {
        ("patient_019", "pN1", "0"),
        ("patient_020", "pN0", "1"),
    }


def test_the_table_as_it_is_names_the_two_kinds(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"(?s)2 row\(s\) name patients.*10 name slides.*read_stage_labels"):
        read_labels(shipped(tmp_path))


def test_rows_of_one_kind_fit_slides_in_spite_of_their_endings(tmp_path: Path) -> None:
    maps = [f"patient_019_node_{n}" for n in range(5)]
    patients = join_slides(read_labels(write(tmp_path, "patient_019.zip,pN1")), maps)
    assert patients.slides == {"patient_019.zip": tuple(maps)} and not patients.unlabelled
    lines = [f"patient_019_node_{n}.tif,{label}" for n, label in enumerate(NODES)]
    nodes = join_slides(read_labels(write(tmp_path, *lines)), maps)
    assert nodes.slides == {f"{name}.tif": (name,) for name in maps} and not nodes.issues


def test_endings_that_make_two_patients_one_are_left_on(tmp_path: Path) -> None:
    table = read_labels(write(tmp_path, "P1.tif,a", "P1,b"))
    assert join_slides(table, ["P1"]).slides == {"P1": ("P1",), "P1.tif": ()}


@pytest.mark.parametrize(
    ("labels", "stage"),
    [
        (("negative",) * 5, "pN0"),
        (("itc", "itc", "itc", "itc", "itc"), "pN0(i+)"),
        (("micro", "micro", "micro", "micro", "itc"), "pN1mi"),
        (("macro", "itc", "itc", "itc", "itc"), "pN1"),
        (("macro", "micro", "macro", "itc", "negative"), "pN1"),
        (("macro", "micro", "micro", "micro", "negative"), "pN2"),
    ],
)
def test_stages_follow_from_slides(labels: tuple[str, ...], stage: str) -> None:
    assert stage_of_nodes(labels) == stage


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (("patient_000.zip,pN3",), r"Row 2 \(patient_000.zip\) says 'pN3'"),
        (("patient_000.zip,itc",), "says 'itc'"),
        (("patient_000.zip,pN0", "patient_000.zip,pN0"), "Row 3 names patient_000.zip again"),
        (("patient_000.zip,pN0", "patient_001_node_0.tif,itc"), "Slides of patient_001 have no row"),
        (("patient_000,pN0",), "Row 2 names 'patient_000'"),
    ],
)
def test_rows_that_cannot_be_meant(tmp_path: Path, lines: tuple[str, ...], found: str) -> None:
    with pytest.raises(TableError, match=found):
        read_stage_labels(write(tmp_path, *lines))


def test_words_in_capitals_doubts_and_other_tables(tmp_path: Path) -> None:
    lines = ("patient_100.zip,PN1MI", "patient_100_node_0.tif,Macro")
    found = read_stage_labels(write(tmp_path, *lines))
    assert found.doubts() == ["patient_100 is pN1mi, its slides make pN1"]
    assert found.rows()[0]["center"] == ""
    (tmp_path / "other.csv").write_text("slide,label\na,b\n", encoding="utf-8")
    with pytest.raises(TableError, match="Its columns are slide, label"):
        read_stage_labels(tmp_path / "other.csv")
