"""CAMELYON16: layouts, both forms of the reference, and what the organisers took out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words
from histonic.core.errors import TableError
from histonic.simulate.challenges.whole_slides import drawn_box
from histonic.stages.study.recipes.camelyon16 import PART_DRAWN, read_reference


def test_labels_are_of_the_names_and_of_the_reference(bare: Bare, tmp_path: Path) -> None:
    folder = bare("camelyon16")
    found, place, steps = planned("camelyon16", folder, tmp_path / "out")
    assert not found.errors and "GigaDB layout" in words(found)
    table = pd.read_csv(place.table("cases"), dtype=str).set_index("slide_id")
    assert table.loc["normal_003"]["tumour"] == "normal" and table.loc["tumor_003"]["tumour"] == "tumor"
    assert table.loc["test_001"]["tumour"] == "normal" and table.loc["test_002"]["tumour"] == "tumor"
    assert list(table.loc["test_001"][["split", "group_source"]]) == ["test", "none"]
    assert "group_source is none" in words(found)
    assert [step.verb for step in steps][-2:] == ["predict", "explain"]
    assert len(pd.read_csv(place.table("train"))) == 12


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ("histonic-mtl", "60 of the slides"),
        ("histonic-lite", "its components without their labels"),
        ("colour", ""),
    ],
)
def test_what_a_shipped_encoder_has_seen_is_said(bare: Bare, encoder: str, told: str) -> None:
    shown = words(surveyed("camelyon16", bare("camelyon16"), encoder=encoder))
    assert (f"The encoder {encoder} learned from" in shown) == bool(told) and told in shown


@pytest.mark.parametrize(
    "text",
    [
        "test_001,Normal\ntest_002,Tumor\n",
        "image,type,histology\ntest_001.tif,normal,\ntest_002.tif,tumor,IDC\n",
        "test_001,Normal,None,None\ntest_002,Tumor,IDC,Macro\n",
    ],
)
def test_both_forms_of_the_reference_are_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "reference.csv").write_text(text)
    assert read_reference(tmp_path / "reference.csv") == {"test_001": "normal", "test_002": "tumor"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("test_001,Normal\ntest_001,Tumor\n", "Row 2"),
        ("Normal,test_001\n", "Row 1 says 'Normal'"),
        ("test_001\n", "Row 1 has 1 cells"),
        ("test_001,benign\n", "'benign'"),
    ],
)
def test_a_wrong_reference_is_refused_by_row(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "reference.csv").write_text(text)
    with pytest.raises(TableError, match=named):
        read_reference(tmp_path / "reference.csv")


def test_what_the_organisers_took_out_is_left_out_but_can_be_kept(bare: Bare) -> None:
    folder = bare("camelyon16")
    normal = folder / "training" / "normal"
    (normal / "normal_006.tif").rename(normal / "Normal_086.tif")
    found = surveyed("camelyon16", folder, allow_missing=True)
    assert [each.slide_id for each in found.cases if each.left_out] == ["normal_086"]
    assert "left out: normal_086: the organisers took it out" in words(found)
    assert "old challenge disk" in words(found)
    kept = surveyed("camelyon16", folder, allow_missing=True, keep=("normal_086",))
    assert not [each for each in kept.cases if each.left_out]
    odd = surveyed("camelyon16", folder, allow_missing=True, keep=("normal_001",))
    assert "--keep normal_001" in odd.errors[0].what


def test_gaps_and_a_lost_reference_are_told(bare: Bare) -> None:
    folder = bare("camelyon16")
    (folder / "training" / "tumor" / "tumor_002.tif").unlink()
    found = surveyed("camelyon16", folder)
    assert [each.what for each in found.errors] == ["missing: tumor slides: tumor_002."]
    (folder / "testing" / "reference.csv").unlink()
    found = surveyed("camelyon16", folder, allow_missing=True)
    assert "missing: reference.csv" in words(found)
    assert {each.split for each in found.cases} == {"train", "test-unlabelled"}


def test_a_doubled_slide_is_named(bare: Bare) -> None:
    folder = bare("camelyon16")
    (folder / "Tumor_001.tif").write_bytes(b"other")
    assert "Tumor_001.tif" in surveyed("camelyon16", folder).errors[0].what
    assert "There is no such folder" in refusal("camelyon16", folder / "none")


def test_twenty_slides_are_drawn_in_part() -> None:
    assert len(PART_DRAWN) == len(set(PART_DRAWN)) == 20 and "tumor_010" in PART_DRAWN


def test_annotations_that_cannot_be_scored_are_told_before(bare: Bare) -> None:
    folder = bare("camelyon16")
    assert "annotation" not in "".join(each.what for each in surveyed("camelyon16", folder).findings)
    path = next(folder.rglob("test_002.xml"))
    sound = path.read_text()
    for text, found in (
        ("", "is empty"),
        (
            sound.replace('PartOfGroup="_0"', 'PartOfGroup="lesion"'),
            "no tumour is drawn; its groups are lesion.",
        ),
        (drawn_box(100, 5000, 300, 5200, "_0"), "x 100 to 300, y 5000 to 5200 of 1024 x 1024 px."),
    ):
        path.write_text(text)
        (error,) = surveyed("camelyon16", folder).errors
        assert str(path) in error.what and found in error.what
    path.unlink()
    told = words(surveyed("camelyon16", folder))
    assert "missing: annotations of test slides with a tumour: test_002." in told


def test_rows_of_detections_and_of_the_reference_are_looked_at_before(bare: Bare, tmp_path: Path) -> None:
    folder = bare("camelyon16")
    (tmp_path / "found").mkdir()
    given = tmp_path / "found" / "test_001.csv"
    given.write_text("confidence,x,y\n0.5,1,2\n")
    assert not surveyed("camelyon16", folder, detections=given.parent).errors
    given.write_text("p,x,y\n0.5,1,2\n0.5,1\n")
    assert "Row 3 is '0.5,1'" in refusal("camelyon16", folder, detections=given.parent)
    reference = next(folder.rglob("reference.csv"))
    reference.write_text("\n".join(reference.read_text().splitlines()[:-1]) + "\n")
    assert "no row of the reference: test_004." in words(surveyed("camelyon16", folder))
