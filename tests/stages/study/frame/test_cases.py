"""Cases and findings as lines and tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import CohortError
from histonic.data.tables.slide_lists import read_slide_list
from histonic.stages.study.frame.cases import (
    Case,
    Survey,
    left_out,
    missing_files,
    named,
    no_groups,
    unknown_kept,
    write_cases,
)


def test_a_table_of_cases_is_a_list_of_slides(tmp_path: Path) -> None:
    cases = [
        Case("a", tmp_path / "a.tif", "P1", {"grade": "1"}, mpp=0.25, group_source="table"),
        Case("b", tmp_path / "b.tif", "", {"grade": "", "note": "=1+1"}, "test-unlabelled"),
    ]
    write_cases(tmp_path / "tables" / "train.csv", cases)
    lines = (tmp_path / "tables" / "train.csv").read_text().splitlines()
    head = "slide_id,patient_id,path,grade,note,site,scanner,split,mpp,group_source,left_out"
    assert lines[0] == head
    assert lines[1].endswith(",1,,,,train,0.25,table,") and lines[2].endswith(
        ",'=1+1,,,test-unlabelled,,none,"
    )
    assert lines[2].startswith("b,b,")
    rows = read_slide_list([tmp_path / "tables" / "train.csv"])
    assert [(row.slide_id, row.mpp) for row in rows] == [("a", 0.25), ("b", None)]
    with pytest.raises(CohortError):
        write_cases(tmp_path / "none.csv", [])


def test_findings_say_what_to_do() -> None:
    (error,) = missing_files(["b", "a"], "slides", allowed=False)
    assert error.severity == "error" and "slides: a, b." in error.what and "--allow-missing" in error.todo
    (warning,) = missing_files(["a"], "slides", allowed=True)
    assert warning.severity == "warning"
    assert missing_files([], "slides", allowed=False) == []
    assert unknown_kept(["x"], ["y"])[0].severity == "error" and unknown_kept(["y"], ["y"]) == []
    assert "may be too good" in no_groups("nobody says").line()
    gone = Case("a", Path("a"), left_out="a duplicate")
    assert "left out: a: a duplicate" in left_out([gone])[0].what
    found = Survey((), (gone, Case("b", Path("b"))))
    assert [case.slide_id for case in found.used("train")] == [
        "b"
    ] and "1 left out, 1 train" in found.lines()[0]


def test_many_names_are_counted() -> None:
    assert named([f"{k:02d}" for k in range(40)]).endswith("11 ... (40 in all)")
