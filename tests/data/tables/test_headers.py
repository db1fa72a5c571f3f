"""The header below titles and comments, and what must not be taken for them."""

from __future__ import annotations

import pytest

from histonic.data.tables.files import read_table


def read(folder, text, name="a.csv"):
    (folder / name).write_text(text)
    return read_table(folder / name)


@pytest.mark.parametrize(
    ("above", "row"),
    [
        ("Cohort of Utrecht\n", 3),
        ("Cohort of Utrecht,,\n\n", 4),
        ("\n\n", 4),
        ("Registry\nExport of May\n", 4),
        ("Export,2024-05-01,\n", 3),
        ("# made by R\n# on Monday, at noon\n", 4),
    ],
)
def test_what_stands_above_is_passed_over(tmp_path, above, row):
    table = read(tmp_path, f"{above}patient_id,grade,ki67\nP1,low,3\nP2,high,4\n")
    assert table.columns == ["patient_id", "grade", "ki67"]
    assert list(table.frame.index) == [row, row + 1]


def test_title_above_names_of_ones_own(tmp_path):
    table = read(tmp_path, "Kohorte\nFall,Grad\nP1,low\nP2,high\n")
    assert table.columns == ["Fall", "Grad"]
    assert "Row 2 is taken for the header" in table.notes[0]


def test_cbioportal(tmp_path):
    text = (
        "#Patient Identifier\tOverall Survival Status\n#Identifier\tStatus\n#STRING\tSTRING\n#1\t1\n"
        "PATIENT_ID\tOS_STATUS\nTCGA-1\t0:LIVING\n"
    )
    table = read(tmp_path, text, "data_clinical_patient.txt")
    assert table.frame.to_dict("index") == {6: {"PATIENT_ID": "TCGA-1", "OS_STATUS": "0:LIVING"}}


def test_header_that_begins_with_a_hash(tmp_path):
    assert read(tmp_path, "#patient_id\tgrade\nP1\tlow\n", "a.tsv").columns == ["patient_id", "grade"]
    assert read(tmp_path, "#,patient_id,grade\n1,P1,low\n").columns == ["patient_id", "grade"]


def test_identifiers_may_begin_with_a_hash(tmp_path):
    assert list(read(tmp_path, "patient_id,grade\n#1,low\n#2,high\n").frame["patient_id"]) == ["#1", "#2"]


def test_comment_among_the_rows(tmp_path):
    table = read(tmp_path, "patient_id,grade\nP1,low\n# excluded from here\nP2,high\n")
    assert list(table.frame["patient_id"]) == ["P1", "P2"]
    assert "1 row(s) that begin with #" in table.notes[0]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("id,\nA,note\nB,other\n", ["id"]),
        (",id,group\n0,A,case\n1,B,control\n", ["id", "group"]),
        ("id,,group\nA,x,case\nB,y,control\n", ["id", "group"]),
        ("name\nA\nB\n", ["name"]),
        (",id\n0,A\n1,B\n", ["id"]),
        ("patient_id,,\nP1,x,y\n", ["patient_id"]),
        ("a,b,c\n1,2,3\n", ["a", "b", "c"]),
        ("id,,group\nA,n/a,case\nB,12,control\nC,13,case\n", ["id", "group"]),
        ("id,group,\nA,case,old\nB,control,12\nC,case,13\n", ["id", "group"]),
    ],
)
def test_first_rows_that_are_the_header(tmp_path, text, columns):
    assert read(tmp_path, text).columns == columns


def test_shorter_rows_are_said(tmp_path):
    table = read(tmp_path, "patient_id,grade\nP1,low\nP2,high\nP3\n")
    assert table.notes == (
        "1 row(s) have fewer cells than the header has names, such as row 4: what they lack is missing.",
    )
