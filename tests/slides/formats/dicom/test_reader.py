"""The files of a DICOM series are one slide, like any other."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fixtures.dicom import tissue, write_level, write_series
from histonic.core.errors import UnreadableSlideError
from histonic.core.registry import Entry
from histonic.slides.base import NotMine, Slide, open_slide
from histonic.slides.formats.dicom.reader import DicomSlide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.resample import average_blocks
from histonic.testing import SlideContract

TISSUE = tissue(400, 480)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series(tmp_path_factory.mktemp("series") / "case 7", TISSUE)


class TestDicomContract(SlideContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        (self.path,) = write_level(tmp_path / "a.dcm", TISSUE)

    def make(self) -> Slide:
        return open_slide(self.path, reader="dicom")


def test_facts(series: Path) -> None:
    with open_slide(series) as slide:
        assert slide.reader_version.startswith("wsidicom 0.") and slide.name == "level0"
        assert slide.size_wh == (480, 400) and slide.note == ""
        assert slide.native_mpps() == pytest.approx((0.5, 1.0, 2.0))
        assert slide.mpp_source == "header: DICOM Pixel Spacing"
        assert (slide.scanner, slide.storage) == ("dicom Simulator 17", "dicom uncompressed")
        coarse = slide.read((0, 0), (120, 100), 2.0)
    assert np.array_equal(coarse, average_blocks(TISSUE, 4))


def test_any_file_and_the_folder_are_the_same_slide(series: Path) -> None:
    for given in (series.with_name("label.dcm"), series.with_name("level2.dcm"), series.parent):
        with open_slide(given) as slide:
            assert np.array_equal(slide.read((7, 9), (300, 200), 0.5), TISSUE[9:209, 7:307])
    with open_slide(series.parent) as slide:
        assert slide.name == "case 7" and slide.path == series


def test_pixels_equal_those_of_openslide(series: Path) -> None:
    with open_slide(series) as ours, open_slide(series, reader="openslide") as theirs:
        assert ours.scanner == theirs.scanner and ours.fingerprint == theirs.fingerprint
        for mpp in (0.5, 1.0, 2.0, 2.7):
            assert np.array_equal(ours.read((4, 8), (90, 70), mpp), theirs.read((4, 8), (90, 70), mpp))


def test_without_the_finest_level_there_is_a_note(tmp_path: Path) -> None:
    write_series(tmp_path, TISSUE).unlink()
    with open_slide(tmp_path / "level1.dcm") as slide:
        assert slide.mpp == pytest.approx(1.0) and "made smaller from one that is not there" in slide.note


def test_a_series_that_is_cut_off_is_refused(series: Path, tmp_path: Path) -> None:
    cut = tmp_path / "a.dcm"
    cut.write_bytes(series.read_bytes()[:-40_000])
    with pytest.raises(UnreadableSlideError, match="tiles cannot be decoded"):
        open_slide(cut)


def test_nothing_is_said_on_the_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = write_level(tmp_path / "a.dcm", TISSUE, StudyInstanceUID=None)
    with (
        caplog.at_level(logging.DEBUG, "wsidicom"),
        pytest.raises(UnreadableSlideError, match="wsidicom says"),
    ):
        open_slide(path, reader="dicom")
    assert not caplog.records and logging.getLogger("wsidicom").propagate


@pytest.mark.parametrize("name", ["StudyInstanceUID", "DimensionOrganizationType"])
def test_what_wsidicom_does_not_take_is_left_to_openslide(tmp_path: Path, name: str) -> None:
    (path,) = write_level(tmp_path / "a.dcm", TISSUE, **{name: None})
    with open_slide(path) as slide:
        assert slide.reader == "openslide" and "wsidicom says" in slide.note
        assert np.array_equal(slide.read((0, 0), (480, 400), 0.5), TISSUE)


def test_several_series_in_a_folder_are_no_slide(tmp_path: Path) -> None:
    write_level(tmp_path / "a.dcm", TISSUE)
    write_level(tmp_path / "b.dcm", TISSUE, series="6")
    with pytest.raises(UnreadableSlideError, match="2 DICOM series"):
        open_slide(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableSlideError, match="It is a folder"):
        open_slide(tmp_path / "empty")


def test_other_files_are_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no dicom" * 40)
    with pytest.raises(NotMine):
        DicomSlide.open(tmp_path / "a.dcm")


def test_without_the_package_the_extra_is_named(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Entry, "missing", lambda entry: ("wsidicom",) if "wsidicom" in entry.needs else ())
    with open_slide(series) as slide:
        assert slide.reader == "openslide"
    bad, *_ = write_level(tmp_path / "a.dcm", TISSUE, ImageType=None)
    with pytest.raises(UnreadableSlideError, match=r"pip install 'histonic\[dicom\]'"):
        open_slide(bad)


def test_a_package_that_is_too_old_is_named_and_others_asked(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("histonic.slides.formats.dicom.")]:
        if not name.endswith("reader"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("wsidicom.config.use_settings")
    with open_slide(series) as slide:
        assert slide.reader == "openslide" and "pip install --upgrade 'histonic[dicom]'" in slide.note


def test_small_real_file_says_what_it_lacks(data_dir: Path) -> None:
    with pytest.raises(UnreadableSlideError, match=r"Image Type.*Pixel Spacing"):
        open_slide(data_dir / "slides" / "small_wsi.dcm")


def test_tiles_copied_from_a_tiff_are_the_same_pixels(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    write_pyramid(source, np.tile(TISSUE, (2, 2, 1)), mpp=0.5)
    with tifffile.TiffFile(source) as tiff:
        page = tiff.pages[0]
        assert page.compression == 7 and page.tilewidth == page.tilelength
        side, tables = page.tilewidth, page.jpegtables or b""
        places = zip(page.dataoffsets, page.databytecounts, strict=True)
        frames = [_read(tiff, *place) for place in places]
    # Tables and picture are two streams, joined without the end of the one and the start of the other.
    stored = iter([frame[:2] + tables[2:-2] + frame[2:] for frame in frames])
    with open_slide(source) as theirs:
        wh = theirs.size_wh
        write_level(
            tmp_path / "a.dcm",
            np.zeros((wh.h, wh.w, 3), np.uint8),
            side=side,
            encode=lambda _: next(stored),
            syntax="1.2.840.10008.1.2.4.50",
            PhotometricInterpretation="YBR_FULL_422",
        )
        with open_slide(tmp_path / "a.dcm") as slide:
            assert slide.reader == "dicom" and slide.size_wh == wh
            assert np.array_equal(slide.read((0, 0), wh, 0.5), theirs.read((0, 0), wh, theirs.mpp))


def _read(tiff: tifffile.TiffFile, offset: int, count: int) -> bytes:
    tiff.filehandle.seek(offset)
    return tiff.filehandle.read(count)
