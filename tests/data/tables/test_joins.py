"""Names of slides and patients that differ only in how they are written."""

from __future__ import annotations

import unicodedata

import pytest

from histonic.core.errors import TableError
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


PATHS = "patient_id,slide_id,y\nA,/set/viable/1.jpg,1\nB,/set/necrotic/1.jpg,2\nC,/set/2.jpg,2\n"


def test_maps_named_by_paths_are_found_by_the_folders_in_the_table(tmp_path):
    labels = table(tmp_path, PATHS)
    for begin in ("", "set__"):
        held = [f"{begin}{name}" for name in ("2", "necrotic__1", "viable__1")]
        join = join_slides(labels, held)
        assert join.slides == {"A": (held[2],), "B": (held[1],), "C": (held[0],)}
        assert (join.absent, join.unlabelled, join.issues) == ({}, {}, ())
    named = table(tmp_path, "patient_id,slide_id,y\nA,viable__1,1\nB,necrotic__1,2\n")
    assert join_slides(named, ["necrotic__1", "viable__1"]).slides == {
        "A": ("viable__1",),
        "B": ("necrotic__1",),
    }


def test_a_file_of_another_folder_is_not_taken_for_the_one_that_is_there(tmp_path):
    text = "patient_id,slide_id,y\nA,viable/1.jpg,1\nB,necrotic/2.jpg,2\n"
    # The map of necrotic/2 failed; 2.jpg beside the folders is nobody's.
    join = join_slides(table(tmp_path, text), ["viable__1", "2"])
    assert join.slides == {"A": ("viable__1",), "B": ()}
    assert list(join.unlabelled) == ["2"] and join.absent == {"B": ("necrotic__2",)}


def test_equal_file_names_of_two_patients_are_asked_about(tmp_path):
    join = join_slides(table(tmp_path, PATHS), ["1", "2"])
    (issue,) = join.issues
    assert "A, B have a file of this name" in issue.found and "--names path" in issue.todo
    assert join.slides == {"A": (), "B": (), "C": ("2",)}
    # Two rows of one file are still refused, and so is a name that may be of either.
    for other in ("/set/viable/1.jpg", "1.jpg"):
        with pytest.raises(TableError, match="One slide of two patients"):
            table(tmp_path, f"patient_id,slide_id,y\nA,/set/viable/1.jpg,1\nB,{other},2\n")


def test_folders_of_the_table_do_not_count_where_maps_are_named_by_files(tmp_path):
    labels = table(tmp_path, "patient_id,slide_id,y\nA,ward/a__x.svs,1\nB,b.svs,2\n")
    assert join_slides(labels, ["a__x", "b"]).slides == {"A": ("a__x",), "B": ("b",)}
