"""Spellings that are joined, refused or asked about, and words that may mean 'no value'."""

from __future__ import annotations

from collections import Counter

import pytest

from histonic.core.errors import TableError
from histonic.core.task import parse_target
from histonic.data.targets.checks import check_labels
from histonic.data.targets.classes import doubtful_classes, is_typo, join_option, no_values, same_meanings
from histonic.data.targets.cohorts import build_cohort, read_labels


def write(folder, cells, column="grade"):
    rows = "".join(f"P{k},{cell}\n" for k, cell in enumerate(cells))
    (folder / "a.csv").write_text(f"patient_id,{column}\n{rows}", encoding="utf-8")
    return folder / "a.csv", [f"P{k}" for k in range(len(cells))]


def cohort(folder, cells, target="grade", varied=True, **options):
    file, slides = write(folder, cells)
    return build_cohort(read_labels(file, **options), [parse_target(target)], slides, varied=varied)


@pytest.mark.parametrize(
    ("one", "other"),
    [("G1", "G 1"), ("G1", "g1"), ("G-1", "G_1"), ("low  risk", "Low risk"), ("MSI-H", "MSIH")],
)
def test_spellings_of_one_class_are_refused_and_can_be_joined(tmp_path, one, other):
    cells = [one, other, "X", one, "X"]
    with pytest.raises(TableError, match="differ only in upper and lower case") as caught:
        cohort(tmp_path, cells)
    written, name = sorted((one, other))[1], sorted((one, other))[0]
    assert f"--classes '{written}={name}'" in caught.value.todo
    joined = cohort(tmp_path, cells, classes={written: name})
    assert set(joined.tasks[0].classes) == {name, "X"}
    assert [patient.targets["grade"] for patient in joined.patients][:2] == [
        joined.tasks[0].classes.index(name)
    ] * 2


@pytest.mark.parametrize(
    ("one", "other"), [("ER-", "ER+"), ("ER-", "ER"), ("-", "+"), ("T1-2", "T12"), ("a", "ä")]
)
def test_classes_of_their_own_stay_two(tmp_path, one, other):
    assert len(cohort(tmp_path, [one, other, one]).tasks[0].classes) == 2


def test_forms_of_letters_are_one_class(tmp_path):
    assert cohort(tmp_path, ["gro\u00df", "u\u0308ber", "\u00fcber", "gro\u00df\u200b"]).tasks[0].classes == (
        "groß",
        "über",
    )


def test_a_word_can_be_taken_for_missing_in_one_target(tmp_path):
    cells = ["yes", "no", "UNK", "no"]
    with pytest.raises(TableError, match="3 classes"):
        cohort(tmp_path, cells, "grade:binary")
    for key in ("UNK", "grade:UNK"):
        joined = cohort(tmp_path, cells, "grade:binary", classes={key: "NA"})
        assert [patient.patient_id for patient in joined.patients] == ["P0", "P1", "P3"]


def test_spelling_that_no_cell_has_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"No cell of the targets says 'cll'; they say CLL, FL"):
        cohort(tmp_path, ["CLL", "FL"], classes={"cll": "CLL"})
    assert cohort(tmp_path, ["CLL", "FL"], varied=False, classes={"cll": "CLL"}).tasks[0].classes == (
        "CLL",
        "FL",
    )
    file, slides = write(tmp_path, ["CLL", "FL"])
    issues = check_labels(file, targets=["grade"], slide_ids=slides, classes={"cll": "CLL"})
    assert [issue.what for issue in issues if issue.severity == "error"][-1] == "Class that no cell has"


def test_typo_is_asked_about_by_doctor_and_training(tmp_path):
    cells = ["adenocarcinoma"] * 5 + ["squamous"] * 5 + ["adenocarcinma"]
    file, slides = write(tmp_path, cells)
    found = [i for i in check_labels(file, targets=["grade"], slide_ids=slides) if "may be one" in i.what]
    assert [issue.severity for issue in found] == ["warning"]
    assert "--classes 'adenocarcinma=adenocarcinoma'" in found[0].todo
    assert any("adenocarcinma" in note for note in cohort(tmp_path, cells).notes)


@pytest.mark.parametrize(
    ("one", "other", "typo"),
    [
        ("tumour", "tumor", True),
        ("stroma", "strmoa", True),
        ("benign", "benihn", True),
        ("male", "female", False),
        ("stage1", "stage2", False),
        ("classA", "classB", False),
        ("typical", "atypical", False),
    ],
)
def test_one_letter(one, other, typo):
    assert is_typo(one, other) is is_typo(other, one) is typo


@pytest.mark.parametrize(
    "word", ["UNK", "ND", "equivocal", "Indeterminate", "not done", "k.A.", "keine Angabe"]
)
def test_words_for_no_value_are_named(tmp_path, word):
    file, slides = write(tmp_path, ["low", "high", word] * 4)
    found = [i for i in check_labels(file, targets=["grade"], slide_ids=slides) if "no value" in i.what]
    assert len(found) == 1 and repr(word) in found[0].found
    assert join_option([word], "NA") in found[0].todo


@pytest.mark.parametrize(
    ("names", "odd"),
    [
        (["0", "1", "9"], ["9"]),
        (["1", "2", "3", "-999"], ["-999"]),
        (["7", "8", "9"], []),
        (["0", "9"], ["9"]),
    ],
)
def test_numbers_for_no_value(names, odd):
    assert no_values(names) == odd


def test_nothing_is_said_of_plain_classes(tmp_path):
    file, slides = write(tmp_path, ["low", "mid", "high"] * 4)
    assert check_labels(file, targets=["grade"], slide_ids=slides) == []
    assert doubtful_classes(read_labels(file), "grade", "grade", Counter(low=1, mid=1)) == []


@pytest.mark.parametrize(
    "word", ["#REF!", "#DIV/0!", "#NAME?", "#VALUE!", "#NUM!", "#NULL!", "#BEZUG!", "#WERT!"]
)
def test_errors_of_spreadsheets_are_no_class(tmp_path, word):
    with pytest.raises(TableError, match="Spreadsheet's error in a cell") as caught:
        cohort(tmp_path, ["low", "high", word, "low", word])
    assert f"2 cells: {word!r} (row 4), {word!r} (row 6)" in caught.value.found


def test_a_row_swallowed_by_quotes_is_no_class(tmp_path):
    with pytest.raises(TableError, match="Line break in a class"):
        cohort(tmp_path, ["low", "high", '"low\nP9,high"', "low"])


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["yes", "ja", "no"], ["ja", "yes"]),
        (["1", "no", "yes", "0"], ["1", "yes"]),
        (["pos", "Positive", "neg"], ["Positive", "pos"]),
        (["wt", "mut", "wild type"], ["wild type", "wt"]),
        (["wt", "mut", "wild_type"], ["wild_type", "wt"]),
        (["WT", "mut", "Wild-Type"], ["WT", "Wild-Type"]),
        (["yes", "ja.", "no"], ["ja.", "yes"]),
        (["1.0", "True", "False"], ["1", "True"]),
        (["+", "pos.", "neg"], ["+", "pos."]),
        (["y", "vrai", "faux"], ["vrai", "y"]),
    ],
)
def test_words_of_one_meaning_are_asked_about(tmp_path, names, alike):
    file, slides = write(tmp_path, names * 4)
    found = [i for i in check_labels(file, targets=["grade"], slide_ids=slides) if "may be one" in i.what]
    assert found and found[0].found.startswith(", ".join(f"{name!r} (4)" for name in alike))
    assert "--classes" in found[0].todo
    doubts = [note for note in cohort(tmp_path, names * 4).notes if "may be one" in note]
    assert doubts and repr(alike[0]) in doubts[0]  # histonic train says it, too


def test_a_date_among_classes_is_asked_about(tmp_path):
    file, slides = write(tmp_path, ["2024-04-03", "4+4", "3+3"] * 4)
    (found,) = [i for i in check_labels(file, targets=["grade"], slide_ids=slides) if "Date" in i.what]
    assert "'2024-04-03'" in found.found and found.severity == "warning"
    file, slides = write(tmp_path, ["2024-04-03", "2024-05-03"] * 6)
    assert not [i for i in check_labels(file, targets=["grade"], slide_ids=slides) if "Date" in i.what]


@pytest.mark.parametrize("names", [["-", "+"], ["M+", "M-", "male"], ["N-", "N+", "no"], ["0", "1", "2"]])
def test_signs_and_numbers_are_no_words_of_one_meaning(names):
    assert not same_meanings(names)
