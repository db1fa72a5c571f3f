"""Names of slides and patients that differ only in how they are written."""

from __future__ import annotations

import unicodedata

import pytest

from histonic.data.tables.joins import fitting_column, join_slides
from histonic.data.tables.label_table import read_labels


def table(folder, text, slides=None):
    (folder / "a.csv").write_text(text, encoding="utf-8")
    if slides is not None:
        (folder / "slides.csv").write_text(slides, encoding="utf-8")
    return read_labels(folder / "a.csv", slide_table=None if slides is None else folder / "slides.csv")


NFC, NFD = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("named", "held"),
    [
        (NFC, NFD),
        (NFD, NFC),
        ("case 1", "Case_1"),
        ("CASE-1.svs", "case1"),
        ("101.0", "101"),
        ("\u200bcase1\u00a0", "case1"),
        ("a.ome.tif", "a.ome"),
    ],
)
def test_slides_are_found_however_they_are_written(tmp_path, named, held):
    join = join_slides(table(tmp_path, f"patient_id,slide_id,y\nA,{named},1\nB,other,2\n"), [held, "other"])
    assert (join.slides, join.absent, join.unlabelled) == ({"A": (held,), "B": ("other",)}, {}, {})


def test_the_same_name_comes_before_one_like_it(tmp_path):
    join = join_slides(table(tmp_path, "patient_id,slide_id\nA,s-1\nB,s1\n"), ["s-1", "s1"])
    assert join.slides == {"A": ("s-1",), "B": ("s1",)}
    unclear = join_slides(table(tmp_path, "patient_id,slide_id\nA,s-1\nB,s1\n"), ["S_1"])
    assert [issue.what for issue in unclear.issues] == ["Slide that several patients could own"]


@pytest.mark.parametrize(
    ("patient", "slide"), [("P 1", "p-1_HE"), ("Case_12", "case12-a"), (NFC, f"{NFD}_1")]
)
def test_patients_are_found_however_they_are_written(tmp_path, patient, slide):
    join = join_slides(table(tmp_path, f"patient_id,y\n{patient},1\nP11,2\n"), [slide])
    assert join.slides == {unicodedata.normalize("NFC", patient): (slide,), "P11": ()}


def test_patients_of_two_tables_are_the_same(tmp_path):
    labels = table(tmp_path, "patient_id,y\n101,1\nP-2,2\n", "patient_id,slide_id\n101.0,a\np 2,b\nP3,c\n")
    assert join_slides(labels, ["a", "b", "c"]).slides == {"101": ("a",), "P-2": ("b",)}


def test_the_column_that_fits_is_named(tmp_path):
    labels = table(tmp_path, "patient_id,Scan file,y\nA,x1.svs,1\nB,x2.svs,2\n")
    assert fitting_column(labels, ["x1", "x2"]) == "--columns slide_id='Scan file'"
    labels = table(tmp_path, "patient_id,Nr,y\nA,17,1\nB,18,2\n")
    assert fitting_column(labels, ["17-a", "18-b"]) == "--columns patient_id=Nr --columns slide_id=none"
    assert fitting_column(labels, ["q"]) == ""
