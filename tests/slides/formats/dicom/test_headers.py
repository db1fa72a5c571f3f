"""A DICOM slide that is not whole, or no slide, is refused by what its headers say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fixtures.dicom import tissue, write_level, write_series
from histonic.core.errors import UnreadableSlideError
from histonic.slides.formats.dicom.headers import header_mpp, read_level_files

TISSUE = tissue()


def refused(path: Path, words: str) -> None:
    with pytest.raises(UnreadableSlideError, match=words) as caught:
        read_level_files(path)
    assert str(path) in caught.value.asked and caught.value.todo


def test_levels_of_a_series_are_found_from_any_of_its_files(tmp_path: Path) -> None:
    path = write_series(tmp_path, TISSUE)
    write_level(tmp_path / "of another slide.dcm", TISSUE, series="6")
    for given in ("level0.dcm", "level2.dcm", "label.dcm"):
        found = read_level_files(tmp_path / given)
        assert [each.path.name for each in found] == ["level0.dcm", "level1.dcm", "level2.dcm"]
    level = read_level_files(path)[1]
    assert (level.wh, level.tile_wh, level.frames, level.is_full) == ((210, 150), (64, 64), 12, True)
    assert header_mpp(level).mpp == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ImageType": None}, r"what it shows \(Image Type"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]}, "unknown kind"),
        ({"SharedFunctionalGroupsSequence": None}, "the size of a pixel"),
        ({"Rows": None, "TotalPixelMatrixColumns": None}, r"\(Rows\); the width of the slide"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "'CT Image Storage', no whole-slide image"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "YBR_FULL, where RGB can be read"),
        ({"BitsStored": 12, "BitsAllocated": 16}, "3 channels of 12 bits"),
        ({"NumberOfOpticalPaths": 2}, "several optical paths"),
        ({"PlanarConfiguration": 1}, "a plane of its own"),
        ({"TotalPixelMatrixColumns": 900}, "35 tiles, but 900 x 300 px in tiles of 64 x 64 px are 75"),
        ({"Rows": 65_535, "Columns": 65_535}, "cannot come from"),
        ({"TotalPixelMatrixColumns": 0}, "said to have 0 x 300 px"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    refused(write_level(tmp_path / "a.dcm", TISSUE, **changes)[0], words)


def test_one_channel_is_refused(tmp_path: Path) -> None:
    refused(write_level(tmp_path / "a.dcm", TISSUE[..., 0])[0], "MONOCHROME2, one channel")


def test_a_damaged_level_is_no_smaller_slide(tmp_path: Path) -> None:
    path = write_series(tmp_path, TISSUE)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x20\0\x0e\0UI") + 60])
    refused(path, "damaged|does not say")
    refused(tmp_path / "level1.dcm", "damaged|does not say")


def test_without_levels(tmp_path: Path) -> None:
    write_series(tmp_path, TISSUE, levels=0)
    refused(tmp_path / "label.dcm", "no level of a slide, but its label and overview")


@pytest.mark.parametrize(
    ("gone", "words"),
    [(0, "tiles 0 to 11"), (1, "tiles 12 to 23"), (2, "2 of 3 parts")],
)
def test_an_absent_part_is_named(tmp_path: Path, gone: int, words: str) -> None:
    parts = write_level(tmp_path / "a.dcm", TISSUE, parts=3)
    parts.pop(gone).unlink()
    refused(parts[0], words)


def test_a_copy_counts_once_and_another_of_its_name_is_refused(tmp_path: Path) -> None:
    (path,) = write_level(tmp_path / "a.dcm", TISSUE)
    shutil.copy(path, tmp_path / "a (1).dcm")
    assert len(read_level_files(path)) == 1
    write_level(tmp_path / "b.dcm", TISSUE[::-1])
    refused(path, "but differ: a")
