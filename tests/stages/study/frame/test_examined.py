"""What is said before a recipe spends hours: empty files, archives, labels that cannot be learned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.challenges import Bare
from fixtures.command_line import typed
from histonic.core.errors import CohortError
from histonic.data.tables.issues import Issue
from histonic.data.targets.checks import LabelCheck
from histonic.stages.study.frame import examined
from histonic.stages.study.frame.cases import Case
from histonic.stages.study.frame.examined import label_findings, packed_files, unusable_files
from histonic.stages.study.recipe import recipe
from histonic.stages.study.steps.step import Step


def refused(name: str, data: Path) -> CohortError:
    with pytest.raises(CohortError) as caught:
        recipe(name=name, data=data, check=True)
    return caught.value


def test_a_link_to_nowhere_and_an_empty_file_are_errors(bare: Bare, tmp_path: Path) -> None:
    bare("tupac16")
    slide = next((tmp_path / "data").rglob("TUPAC-TR-002.svs"))
    slide.unlink()
    slide.symlink_to("nowhere.svs")
    error = refused("tupac16", tmp_path / "data")
    assert error.found.startswith(f"links to files that are not there: {slide}.")
    slide.unlink()
    slide.write_bytes(b"")
    assert refused("tupac16", tmp_path / "data").found.startswith(f"empty files: {slide}.")
    # What is doubled by a link to nowhere has no size to be compared.
    (tmp_path / "data" / "more").mkdir()
    (tmp_path / "data" / "more" / "TUPAC-TR-002.SVS").symlink_to("nowhere.svs")
    assert "doubled: slide" in refused("tupac16", tmp_path / "data").found


def test_without_missing_files_those_of_links_to_nowhere_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.tif").symlink_to("nowhere.tif")
    (tmp_path / "b.tif").write_bytes(b"1")
    cases = [Case(name, tmp_path / f"{name}.tif") for name in "ab"]
    same, (error,) = unusable_files(cases, allowed=False)
    assert same == cases and error.severity == "error" and "--allow-missing" in error.todo
    (a, b), (warning,) = unusable_files(cases, allowed=True)
    assert warning.severity == "warning" and "a.tif" in warning.what
    assert a.left_out == "a link to a file that is not there" and b == cases[1]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_file_that_cannot_be_read_is_no_link_to_nowhere(allowed: bool, tmp_path: Path) -> None:
    loop = tmp_path / "a.tif"
    loop.symlink_to("a.tif")
    gone = tmp_path / "b.tif"
    cases = [Case("a", loop), Case("b", gone)]
    same, (error,) = unusable_files(cases, allowed=allowed)
    assert same == cases and error.severity == "error"
    assert f"{loop} cannot be read: Too many levels" in error.what
    assert f"{gone} cannot be read: No such file" in error.what


def test_a_link_to_a_file_is_a_file(bare: Bare, tmp_path: Path) -> None:
    bare("tupac16")
    slide = next((tmp_path / "data").rglob("TUPAC-TR-002.svs"))
    slide.rename(tmp_path / "object")
    slide.symlink_to(tmp_path / "object")
    assert not recipe(name="tupac16", data=tmp_path / "data", check=True).found.errors


def packed(folder: Path, *names: str) -> list[str]:
    return [each.line() for each in packed_files(folder, [folder / name for name in names])]


@pytest.mark.parametrize(
    ("archive", "file"),
    [
        ("patient_000.zip", "patient_000_node_0.tif"),
        ("NCT-CRC-HE-100K.zip", "NCT-CRC-HE-100K/ADI/ADI-AAAA.tif"),
        ("BreaKHis_v1.tar.gz", "breakhis_v1/histology_slides/breast/benign/SOB/a.png"),
        ("more/ICIAR2018_BACH_Challenge.zip", "ICIAR2018_BACH_Challenge/Photos/Benign/b001.tif"),
        ("camelyonpatch_level_2_split_test_x.h5.gz", "camelyonpatch_level_2_split_test_x.h5"),
    ],
)
def test_archives_are_named_unless_they_were_unpacked(archive: str, file: str, tmp_path: Path) -> None:
    todo = "Nothing in them is looked at: unpack them."
    assert packed(tmp_path, archive) == [f"warning  still packed: {archive}. {todo}"]
    assert packed(tmp_path, archive, file) == []


@pytest.mark.parametrize(
    "beside",
    ["NCT-CRC-HE-100K-NONORM.zip", "NCT-CRC-HE-100K.zip.md5", "NCT-CRC-HE-100K-NONORM/ADI/ADI-AAAA.tif"],
)
def test_neither_a_longer_name_nor_a_checksum_is_what_was_unpacked(beside: str, tmp_path: Path) -> None:
    assert "NCT-CRC-HE-100K.zip" in packed(tmp_path, "NCT-CRC-HE-100K.zip", beside)[0]


def test_archives_of_one_name_are_named_by_their_paths(tmp_path: Path) -> None:
    (line,) = packed(tmp_path, "a/slides.zip", "b/slides.zip")
    assert "still packed: a/slides.zip, b/slides.zip." in line


def test_archives_that_tell_nothing_of_their_content_are_a_note(tmp_path: Path) -> None:
    names = (
        *("clinical.cart.2024-05-01.tar.gz", "gdc_download_20240501_1.tar.gz", "lesion_annotations.zip"),
        *("mitoses_image_data_part_1.zip", "prostate-cancer-grade-assessment.zip"),
    )
    assert packed(tmp_path, *names, "tumor_001.xml", "clinical.tsv") == [
        f"note     archives: {', '.join(names)}; what is not unpacked of them is not looked at."
    ]


def test_molecular_files_are_counted_and_unused_masks_passed_over(tmp_path: Path) -> None:
    counts = [f"{name}/{name}.htseq.counts.gz" for name in "abc"]
    masks = [f"camelyonpatch_level_2_split_{part}_mask.h5.gz" for part in ("train", "valid", "test")]
    assert packed(tmp_path, *counts, *masks) == [
        "note     archives: 3 .gz of other kinds, such as a/a.htseq.counts.gz; what is not unpacked of them "
        "is not looked at."
    ]


def test_slides_in_an_archive_are_told_by_the_check(bare: Bare, tmp_path: Path) -> None:
    bare("tupac16")
    for slide in (tmp_path / "data" / "training_image_data").iterdir():
        slide.unlink()
    (tmp_path / "data" / "training_image_data").rmdir()
    (tmp_path / "data" / "training_image_data.zip").write_bytes(b"PK")
    shown = typed("recipe", "tupac16", "data", "--check", cwd=tmp_path)
    assert shown.code == 2 and "still packed: training_image_data.zip." in shown.err
    assert "missing: slides of rows with labels: TUPAC-TR-001" in shown.err


@pytest.mark.parametrize(
    ("column", "cells", "found"),
    [
        ("os_event", {"1": "2", "0": "1"}, "Event codes 1 and 2"),
        ("os_event", {"1": "0"}, "No events: None of the 18 patients"),
        ("os_time", {r"70\.8": "-5"}, "slide L02-1: Negative time: The cell is '-5'."),
    ],
)
def test_labels_that_training_would_refuse_end_before_anything_is_written(
    column: str, cells: dict[str, str], found: str, bare: Bare, tmp_path: Path
) -> None:
    bare("liver")
    table = tmp_path / "data" / "cohort.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    place = lines[0].index(column)
    for cell_row in lines[1:]:
        for old, new in cells.items():
            if re.fullmatch(old, cell_row[place]):
                cell_row[place] = new
                break
    table.write_text("\n".join(",".join(line) for line in lines) + "\n")
    shown = typed("recipe", "liver", "data", "--out", "out", cwd=tmp_path)
    assert shown.code == 2 and found in shown.err and "to do:" in shown.err
    assert not (tmp_path / "out").exists()


def test_a_patient_of_two_times_is_named(bare: Bare, tmp_path: Path) -> None:
    bare("liver")
    table = tmp_path / "data" / "cohort.csv"
    lines = table.read_text().splitlines()
    cells = lines[1].split(",")
    cells[4] = "99"
    table.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    error = refused("liver", tmp_path / "data")
    assert "slides L01-1, L01-2, patient 'L01': Rows of one patient disagree" in error.found


def test_other_labels_than_the_organisers_of_one_class_only(bare: Bare, tmp_path: Path) -> None:
    bare("panda")
    table = tmp_path / "data" / "train.csv"
    table.write_text(re.sub(r",[0-5],[^,\n]*\n", ",0,0+0\n", table.read_text()))
    assert "One class only" in refused("panda", tmp_path / "data").found


def test_sound_labels_are_not_talked_about(bare: Bare, tmp_path: Path) -> None:
    bare("camelyon17")
    found = recipe(name="camelyon17", data=tmp_path / "data", check=True).found
    assert not [each for each in found.findings if each.what.startswith("labels")]


def told(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, what: str = "Doubt", todo: str = ""
) -> list[str]:
    """The advice of a recipe where the check of the labels finds one thing."""
    issue = Issue("warning", what, "table", "Something.", todo)
    monkeypatch.setattr(examined, "examine_labels", lambda *_, **__: LabelCheck([issue], {}))
    step = Step("", "train", {"target": ["grade"], "folds": 4})
    cases = [Case("a", tmp_path / "a.tif", labels={"grade": "1"})]
    return [each.todo for each in label_findings(name, cases, [step])]


@pytest.mark.parametrize("what", ["Classes that may be one", "Events that look censored"])
def test_doubts_in_labels_are_for_who_wrote_them(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("liver", monkeypatch, tmp_path, what=what) == [""]
    assert told("tcga-survival", monkeypatch, tmp_path, what=what) == []


@pytest.mark.parametrize(
    ("todo", "foreign"),
    [
        ("Train with --folds 3, or ignore the column: --columns fold=none.", False),
        ("If it is the other way round: --target a:binary. Nothing, if this is right.", False),
        ("If so, say --event-coding 1/2.", True),
        ("Use --folds 3 (in 'train' also --split random).", True),
    ],
)
def test_options_of_other_commands_are_told(
    todo: str, foreign: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = " That is an option of 'histonic train'; here correct the cells if they are wrong."
    assert told("liver", monkeypatch, tmp_path, todo=todo) == [f"{todo}{after if foreign else ''}"]
