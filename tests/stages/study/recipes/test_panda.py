"""PANDA: two spellings of benign, grades of the table, hidden test slides."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words


def test_grades_providers_and_hidden_tests(bare: Bare, tmp_path: Path) -> None:
    folder = bare("panda")
    found, place, steps = planned("panda", folder, tmp_path / "out")
    assert not found.errors and "6 of radboud, 6 of karolinska" in words(found)
    assert "Test slides are hidden" in words(found) and "group_source is none" in words(found)
    assert "differ" not in words(found)
    given = pd.read_csv(folder / "train.csv", dtype=str).set_index("image_id")
    table = pd.read_csv(place.table("train"), dtype=str).set_index("slide_id")
    assert (table["isup_grade"] == given["isup_grade"].loc[table.index]).all()
    assert (table["site"] == given["data_provider"].loc[table.index]).all()
    assert [step.verb for step in steps] == ["compress", "train", "report"]
    assert steps[1].settings["target"] == ["isup:ordinal:isup_grade:0<1<2<3<4<5"]


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("isup_grade", "grade", "'isup_grade'"),
        ("radboud,0", "radboud,6", "isup_grade is '6'"),
        ("karolinska", "elsewhere", "'elsewhere'"),
    ],
)
def test_wrong_columns_and_cells_are_named(bare: Bare, before: str, after: str, named: str) -> None:
    folder = bare("panda")
    path = folder / "train.csv"
    path.write_text(path.read_text().replace(before, after, 1))
    assert named in refusal("panda", folder)


def test_missing_doubled_and_contradicting(bare: Bare) -> None:
    folder = bare("panda")
    path = folder / "train.csv"
    text = path.read_text()
    path.write_text(text.replace("0+0", "3+4"))
    assert "isup_grade and gleason_score differ" in words(surveyed("panda", folder))
    path.write_text(text + text.splitlines()[1] + "\n")
    assert "stands there twice" in refusal("panda", folder)
    path.write_text(text)
    (folder / "test.csv").write_text(f"image_id\n{text.splitlines()[1].split(',')[0]}\n")
    assert {case.split for case in surveyed("panda", folder).cases} == {"train"}  # graded: no test
    image = sorted((folder / "train_images").iterdir())[0]
    image.unlink()
    assert image.stem in surveyed("panda", folder).errors[0].what
    found = surveyed("panda", folder, allow_missing=True)
    assert not found.errors and len(found.cases) == 11
