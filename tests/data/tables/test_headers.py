"""The header below titles and comments, and what must not be taken for them."""

from __future__ import annotations

import pytest

from histonic.core.errors import TableError
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
        ("Fall,Diagnose,\nF1,CLL,unbekannt\nF2,MCL,63\nF3,FL,71\nF4,DLBCL,71\n", ["Fall", "Diagnose"]),
        ("Fall,Diagnose,\nAnna,CLL,offen\nBerta,MCL,63\nCora,FL,71\n", ["Fall", "Diagnose"]),
        ("Fall,Diagnose,\npilot,CLL,offen\nF2,MCL,63\nF3,FL,71\n", ["Fall", "Diagnose"]),
        (",Fall,Ki67\npilot,F1,neg\n2,F2,63\n3,F3,71\n", ["Fall", "Ki67"]),
        (",Fall,Ki67\npilot,Anna,neg\n2,Berta,63\n3,Cora,71\n", ["Fall", "Ki67"]),
        ("Fall,,\nF1,links,alt\nF2,63,5\nF3,71,6\n", ["Fall"]),
        ("Fall,,\nAnna,unklar,alt\nBerta,63,5\nCora,71,6\n", ["Fall"]),
        ("Fall,Ki67,Alter\nAnna,,\nBerta,neg,alt\nCora,5,63\nDora,6,70\n", ["Fall", "Ki67", "Alter"]),
        ("case,slide,,\nAnna,a-x,alt,neg\nBerta,b-x,63,5\nCora,c-x,71,6\n", ["case", "slide"]),
        ("Fall,Ort,Arm,,Rest\nX,West,A,neg,\nF2,Ost,B,63,\nF3,Nord,D,71,\n", ["Fall", "Ort", "Arm", "Rest"]),
        ("Fall,Ort,,\n,West,alt,neg\nF2,Ost,63,neg\nF3,Nord,71,6\n", ["Fall", "Ort"]),
    ],
)
def test_first_rows_that_are_the_header(tmp_path, text, columns):
    assert read(tmp_path, text).columns == columns


def test_shorter_rows_are_said(tmp_path):
    table = read(tmp_path, "patient_id,grade\nP1,low\nP2,high\nP3\n")
    assert table.notes == (
        "1 row(s) have fewer cells than the header has names, such as row 4: what they lack is missing.",
    )


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ("Patient,,Clinic,,", "Nr,Block,Label,Age,Ki67"),
        ("Case,,Slide,,", "Nr,Block,Label,Age,Ki67"),
        ("Patient,,Slide,,Outcome", "patient_id,stain,label,age,ki67"),
        ("Patient,,Slide,,Outcome", "Nr,Block,Label,Age,Ki67"),
        (",,Clinic,,", "Nr,Block,Label,Age,Ki67"),
        ("Who,Where,Clinic,,Seen", "Nr,Block,Label,Age,Ki67"),
        ("Study,,,,\nPatient,,Clinic,,", "Nr,Block,Label,Age,Ki67"),
        ("Patient,,Scan,,", "Nr,Block,Label,x,y"),
    ],
)
def test_groups_above_the_names(tmp_path, groups, names):
    rows = "".join(f"{n},B{n},{'high' if n % 3 else 'low'},{50 + n},{n % 7}\n" for n in range(1, 41))
    table = read(tmp_path, f"{groups}\n{names}\n{rows}")
    assert table.columns == names.split(",")
    assert len(table.frame) == 40
    assert "is taken for the header; what stands above it is passed over" in table.notes[0]


@pytest.mark.parametrize(
    ("upper", "lower", "columns"),
    [
        ("Nr,Block,Clinic,,", ",,Label,Age,Ki67", "Nr,Block,Label,Age,Ki67"),
        ("patient_id,slide_id,Clinic,,", ",,Label,Age,Ki67", "patient_id,slide_id,Label,Age,Ki67"),
        ("Patient,Block,Clinic,,", ",,Label,Age,Ki67", "Patient,Block,Label,Age,Ki67"),
        ("Who,,Clinic,,Ki67", "Nr,Block,Label,Age,", "Nr,Block,Label,Age,Ki67"),
        ("Who,,Label,Course,", "Nr,Block,,Age,Ki67", "Nr,Block,Label,Age,Ki67"),
    ],
)
def test_names_of_two_rows_are_joined(tmp_path, upper, lower, columns):
    rows = "".join(f"{n},B{n},{'high' if n % 3 else 'low'},{50 + n},{n % 7}\n" for n in range(1, 41))
    table = read(tmp_path, f"{upper}\n{lower}\n{rows}")
    assert table.columns == columns.split(",")
    assert (table.frame.index[0], len(table.frame)) == (3, 40)
    assert table.notes == ("Rows 1 and 2 together are taken for the header.",)
    table = read(tmp_path, f"Study\n\n{upper}\n{lower}\n{rows}")
    assert table.columns == columns.split(",")
    assert "Rows 3 and 4 together" in table.notes[0]


def test_three_rows_of_which_the_last_names_all(tmp_path):
    rows = "".join(f"{n},B{n},{'high' if n % 3 else 'low'},{50 + n},{n % 7}\n" for n in range(1, 41))
    above = "Who,Where,Clinic,,\n,,What,When,How\n"
    assert read(tmp_path, f"{above}Nr,Block,Label,Age,Ki67\n{rows}").columns[0] == "Nr"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Who,,Scores,,\nNr,Block,2019,2020,2021\n1,B1,3,4,5\n", "Columns 2, 4 and 5 have no name and are"),
        ("Nr,Block,Clinic,,\n,,Label,Side,Arm\n1,B1,low,left,A\n", "Columns 4 and 5 have no name and are"),
        ("Nr,,Label\n1,B1,low\n2,B2,high\n", "Column 2 has no name and is"),
    ],
)
def test_columns_without_a_name_are_said(tmp_path, text, note):
    table = read(tmp_path, text)
    assert table.notes == (f"{note} not read.",)
    assert table.notes[0] in table.no_column("Block")[0]
    assert not read(tmp_path, ",Nr,Label,,\n1,B1,low,,\n2,B2,high,,\n").notes  # numbers of rows, blanks


def test_the_row_of_the_names_is_told(tmp_path):
    with pytest.raises(TableError, match="Row 3 has 3 cells, the header has 2") as caught:
        read(tmp_path, 'Cohort\n"Patient\nnumber",Tumour  grade\nP1,low,5\nP2,low\nP3,low\n')
    assert "If the column names are not in row 2, remove the rows above them." in caught.value.todo
