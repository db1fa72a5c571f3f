"""PatchCamelyon: all six files, one edition, no slide in two splits."""

from __future__ import annotations

from pathlib import Path

import h5py

from fixtures.challenges import Bare, planned, refusal, surveyed, words

STEM = "camelyonpatch_level_2_split"


def test_files_and_slides(bare: Bare, tmp_path: Path) -> None:
    folder = bare("patchcamelyon")
    found, _, steps = planned("patchcamelyon", folder, tmp_path / "out")
    assert not found.errors and "48 of 262,144 train" in words(found)
    (training,) = steps
    assert training.verb == "encoder train"
    assert training.settings["sets"][0]["mpp"] == 0.972
    _, _, none = planned("patchcamelyon", folder, tmp_path / "two", encoder="colour")
    assert none == []


def test_missing_and_packed_files_are_named(bare: Bare) -> None:
    folder = bare("patchcamelyon")
    (folder / f"{STEM}_valid_x.h5").rename(folder / f"{STEM}_valid_x.h5.gz")
    (folder / f"{STEM}_test_y.h5").unlink()
    errors = [each.line() for each in surveyed("patchcamelyon", folder).errors]
    assert f"gunzip {STEM}_valid_x.h5.gz" in errors[0] and f"missing: {STEM}_test_y.h5" in errors[1]


def test_tables_of_another_edition_are_refused(bare: Bare) -> None:
    folder = bare("patchcamelyon")
    path = folder / f"{STEM}_test_meta.csv"
    text = path.read_text()
    path.write_text(text.replace("False,False", "False,True", 1))
    assert "Row 2: center_tumor_patch is true" in refusal("patchcamelyon", folder)
    path.write_text(text.replace("center_tumor_patch", "center", 1))
    assert "'center_tumor_patch'" in refusal("patchcamelyon", folder)
    path.write_text(text.replace("camelyon16_test_test_000", "camelyon16_train_tumor_001"))
    assert "slides in train and test" in words(surveyed("patchcamelyon", folder))


def test_the_shipped_encoder_has_seen_its_labels(bare: Bare) -> None:
    folder = bare("patchcamelyon")
    assert "histonic-mtl" not in words(surveyed("patchcamelyon", folder))
    assert "and their labels" in words(surveyed("patchcamelyon", folder, encoder="histonic-mtl"))


def test_other_labels_than_tiles_are_refused_without_the_table_too(bare: Bare) -> None:
    folder = bare("patchcamelyon")
    (folder / "camelyonpatch_level_2_split_test_meta.csv").unlink()
    path = folder / "camelyonpatch_level_2_split_test_y.h5"
    with h5py.File(path) as file:
        labels = file["y"][:]
    path.unlink()
    with h5py.File(path, "w") as file:
        file["y"] = labels[:-1]
    assert "has 15 labels for 16 tiles" in surveyed("patchcamelyon", folder).errors[0].what
    path.unlink()
    with h5py.File(path, "w") as file:
        file["y"] = labels + 1
    assert "Label 2 is 2." in refusal("patchcamelyon", folder)
