"""What is said before a recipe spends hours: empty files, archives, labels that cannot be learned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.challenges import Bare
from fixtures.command_line import typed
from histonic.core.errors import CohortError
from histonic.stages.study.frame.examined import packed_files
from histonic.stages.study.recipe import recipe


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


def test_a_link_to_a_file_is_a_file(bare: Bare, tmp_path: Path) -> None:
    bare("tupac16")
    slide = next((tmp_path / "data").rglob("TUPAC-TR-002.svs"))
    slide.rename(tmp_path / "object")
    slide.symlink_to(tmp_path / "object")
    assert not recipe(name="tupac16", data=tmp_path / "data", check=True).found.errors


def test_archives_are_named_unless_they_were_unpacked(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("patient_000.zip", "patient_000_node_0.tif", "BreaKHis_v1.tar.gz")]
    (finding,) = packed_files(files)
    assert finding.severity == "warning" and finding.what == "still packed: BreaKHis_v1.tar.gz."
    assert packed_files([*files, tmp_path / "breakhis_v1" / "a.png"]) == []


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
