"""BreakHis: the letters of a slide count, magnifications stay together, 30 % of the patients test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from fixtures.challenges import Bare, planned, surveyed, words
from histonic.stages.study.recipes.breakhis import MAGNIFICATIONS, trial_patients

BREAST = Path("BreaKHis_v1", "histology_slides", "breast")


def test_patients_are_year_and_slide_with_letters(bare: Bare, tmp_path: Path) -> None:
    folder = bare("breakhis")
    found, place, steps = planned("breakhis", folder, tmp_path / "out", encoder="colour")
    assert not found.errors and steps == [] and "96 images of 8 patients (4 of them benign)" in words(found)
    patients = {case.patient for case in found.cases}
    assert "14-16234CD" in patients and "14-16184" in patients
    for magnification in MAGNIFICATIONS:
        table = pd.read_csv(place.table(f"breakhis_{magnification}x"), dtype=str)
        assert table["path"].str.contains(f"-{magnification}-").all() and len(table) == 24
        assert set(table["group"]) == patients


def test_a_patient_of_two_classes_is_refused_and_of_two_types_told(bare: Bare) -> None:
    folder = bare("breakhis")
    image = sorted((folder / BREAST / "malignant").rglob("*DC-14*-40-001.png"))[0]
    image.rename(image.with_name(image.name.replace("_DC-", "_LC-")))
    assert "patients of two types: 14-" in words(surveyed("breakhis", folder))
    image = sorted((folder / BREAST / "malignant").rglob("*DC-14*-40-002.png"))[0]
    image.rename(image.with_name(image.name.replace("SOB_M_DC", "SOB_B_A")))
    assert "patients both benign and malignant" in surveyed("breakhis", folder).errors[0].what


def test_doubled_images_are_named(bare: Bare) -> None:
    folder = bare("breakhis")
    image = sorted((folder / BREAST).rglob("*-40-001.png"))[0]
    other = sorted((folder / BREAST).rglob("*-40-002.png"))[0]
    shutil.copy(other, folder / image.name)
    assert "doubled: image" in surveyed("breakhis", folder).errors[0].what


def test_trials_share_out_patients_of_both_classes() -> None:
    names = [f"p{number}" for number in range(20)]
    bad = [number < 14 for number in range(20)]
    trials = [trial_patients(names, bad, trial, seed=1) for trial in range(5)]
    for tested in trials:
        assert sum(bad[names.index(name)] for name in tested) == 4 and len(tested) == 6
    assert len({frozenset(each) for each in trials}) > 1
    assert trial_patients(names[::-1], bad[::-1], 0, 1) == trials[0]


def test_a_class_of_one_patient_cannot_be_learned_and_tested(bare: Bare) -> None:
    folder = bare("breakhis")
    for path in list(folder.rglob("SOB_M_*-40-*.png")):
        if "SOB_M_DC-14-16198-" not in path.name:
            path.unlink()
    (error,) = surveyed("breakhis", folder).errors
    assert error.what.startswith("1 malignant patient(s) at 40X")
