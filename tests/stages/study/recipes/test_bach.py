"""BACH: classes without header, photographs without patients."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words

HOME = Path("ICIAR2018_BACH_Challenge", "Photos")
TRUTH = HOME / "microscopy_ground_truth.csv"


def test_photographs_and_their_resolution(bare: Bare, tmp_path: Path) -> None:
    folder = bare("bach")
    found, place, steps = planned("bach", folder, tmp_path / "out")
    assert not found.errors and "16 photographs with 16 classes, 2 of the test set" in words(found)
    table = pd.read_csv(place.table("train"), dtype=str)
    assert set(table["mpp"]) == {"0.42"} and set(table["group_source"]) == {"none"}
    assert table.set_index("slide_id").loc["is002"]["class"] == "InSitu"
    assert steps[0].settings["tissue"] == {"source": "all"}
    assert next(step for step in steps if step.verb == "train").settings["split"] == "random"
    patients = tmp_path / "patients.csv"
    patients.write_text("image,case\nn001.tif,7\nn002.tif,7\n")
    known = surveyed("bach", folder, table=patients, columns={"patient_id": "case"})
    assert [case.site for case in known.cases if case.group_source == "table"] == ["7", "7"]
    assert {case.site for case in known.used("train")} >= {"7", "b001"}
    assert "14 photographs have no patient" in words(known)
    assert "'patient_id'" in refusal("bach", folder, table=patients)
    patients.write_text("image,patient_id\nn001.tif,7\nn002.tif,7\nN001,8\n")
    said = refusal("bach", folder, table=patients)
    assert "Row 4 says that n001 is of patient 8, a row above it of 7" in said


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("n001.tif,Normal", "n001.tif,Tumour", "Row 1 says 'n001.tif', 'Tumour'"),
        ("n001.tif,Normal", "Normal,n001.tif", "Row 1 says 'Normal'"),
        ("n002.tif", "n001.tif", "for the second time"),
        ("iv001.tif,Invasive", "iv001.tif,InSitu", "'iv001.tif', 'InSitu'"),
    ],
)
def test_wrong_rows_are_named(bare: Bare, before: str, after: str, named: str) -> None:
    folder = bare("bach")
    (folder / TRUTH).write_text((folder / TRUTH).read_text().replace(before, after, 1))
    assert named in refusal("bach", folder)


def test_missing_and_moved_photographs(bare: Bare) -> None:
    folder = bare("bach")
    (folder / HOME / "Benign" / "b003.tif").rename(folder / HOME / "Normal" / "b003.tif")
    assert "class by table and by folder differ: b003" in words(surveyed("bach", folder))
    (folder / HOME / "Normal" / "b003.tif").unlink()
    assert "missing: photographs: b003." in words(surveyed("bach", folder))


def test_a_table_of_patients_with_other_names_is_refused(bare: Bare, tmp_path: Path) -> None:
    """As many patients as photographs, and none of them known: no line said so."""
    folder = bare("bach")
    patients = tmp_path / "patients.csv"
    patients.write_text("image,patient_id\n" + "".join(f"photo{k},{k}\n" for k in range(16)))
    found = surveyed("bach", folder, table=patients)
    assert "names no photograph here: photo0, photo1" in found.errors[0].what
    assert "16 photographs have no patient" in words(found)
    patients.write_text("image,patient_id\nn001.tif,7\nphoto1,8\n")
    known = surveyed("bach", folder, table=patients)
    assert not known.errors and "warning  the table of patients names no photograph here: photo1." in words(
        known
    )


def test_patients_of_photographs_that_are_missing_are_no_other_names(bare: Bare, tmp_path: Path) -> None:
    """A part of the download, and the whole table."""
    folder = bare("bach")
    names = [path.stem for path in (folder / HOME).glob("*/*.tif")]
    for path in (folder / HOME).glob("*/*001.tif"):
        path.unlink()
    patients = tmp_path / "patients.csv"
    for listed in (names, ["n001", "b001"]):
        patients.write_text("image,patient_id\n" + "".join(f"{name}.tif,p{name}\n" for name in listed))
        found = surveyed("bach", folder, table=patients, allow_missing=True)
        assert "missing: photographs: b001" in words(found) and not found.errors
        assert "names no photograph" not in words(found)


def test_test_photographs_twice_or_in_other_folders_are_told(bare: Bare) -> None:
    folder = bare("bach")
    tested = folder / "ICIAR2018_BACH_Challenge_TestDataset"
    (tested / "Photos" / "more").mkdir()
    (tested / "Photos" / "more" / "test0.tif").write_bytes((tested / "Photos" / "test0.tif").read_bytes())
    assert "doubled: test photograph: " in surveyed("bach", folder).errors[0].what
    (tested / "Photos" / "more" / "test0.tif").unlink()
    tested.rename(folder / "Test")
    assert "extra, not used: test0.tif, test1.tif." in words(surveyed("bach", folder))
