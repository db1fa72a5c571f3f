"""Conversion: what OpenSlide, tifffile and the own reader see of the file, and when none is written."""

from __future__ import annotations

import tracemalloc
from functools import lru_cache
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from histonic.core.errors import OutputError, SettingsError, TableError
from histonic.slides.base import open_slide
from histonic.slides.formats import pyramid
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.formats.tiff import TiffSlide
from histonic.stages.convert import convert as stage
from histonic.stages.convert.convert import convert


@lru_cache
def field(height: int = 1301, width: int = 1790, seed: int = 0) -> np.ndarray:
    """A smooth picture, so that JPEG changes little."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (12, 12, 0), mode="wrap")
    return np.clip((smooth - 127.5) * 12 + 127.5, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fields") / "a.png"
    Image.fromarray(field()).save(path)
    return path


def by_openslide(path: Path, level: int = 0) -> np.ndarray:
    with openslide.OpenSlide(path) as opened:
        wh = opened.level_dimensions[level]
        return np.asarray(opened.read_region((0, 0), level, wh).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("quality", "mean", "most", "big"),
    [(None, 0, 0, False), (None, 0, 0, True), (90, 1.5, 20, False), (80, 3, 40, True)],
)
def test_all_readers_see_the_same(
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quality: int | None,
    mean: float,
    most: int,
    big: bool,
) -> None:
    if big:
        monkeypatch.setattr(pyramid, "BIG_OME_PIXELS", 0)
    how = {"lossless": True} if quality is None else {"quality": quality}
    assert convert(slides=[picture], out=tmp_path, mpp=0.2513, **how).done == ["a"]
    path = tmp_path / "a.ome.tif"
    wanted = field().astype(int)
    with openslide.OpenSlide(path) as opened:
        assert opened.level_dimensions == ((1790, 1301), (447, 325))
        assert opened.level_downsamples[1] == pytest.approx(4, rel=0.005)
        for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y):
            assert float(opened.properties[name]) == pytest.approx(0.2513, rel=1e-3)
    seen = by_openslide(path)
    assert np.abs(seen - wanted).mean() <= mean and np.abs(seen - wanted).max() <= most
    means = wanted[:1300, :1788].reshape(325, 4, 447, 4, 3).mean(axis=(1, 3))
    assert np.abs(by_openslide(path, 1) - means).mean() <= mean + 0.6
    with open_slide(path) as slide:
        assert slide.reader == "tiff" and slide.note == "" and slide.mpp == 0.2513
        assert slide.mpp_source == "header: OME PhysicalSizeX"
        assert slide.level_whs == ((1790, 1301), (447, 325))
        assert np.array_equal(slide.read((0, 0), (1790, 1301), 0.2513), seen)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff == big and tiff.is_ome
        (series,) = tiff.series
        assert [level.shape for level in series.levels] == [(1301, 1790, 3), (325, 447, 3)]
        # The coarser copy is a sub-image of the slide and a page of the file, stored once.
        assert tiff.pages[0].subifds == (tiff.pages[1].offset,) and len(tiff.pages) == 2
        assert tiff.pages[0].pages[0].is_reduced and tiff.pages[0].pages[0].is_tiled
        stored = sum(sum(page.databytecounts) for page in tiff.pages)
    assert stored < path.stat().st_size < stored + 20_000


def test_a_slide_of_many_levels(tmp_path: Path) -> None:
    Image.fromarray(np.full((2100, 2100, 3), (200, 120, 180), np.uint8)).save(tmp_path / "a.png")
    convert(slides=[tmp_path / "a.png"], out=tmp_path / "out", mpp=0.5, quality=80)
    with openslide.OpenSlide(tmp_path / "out" / "a.ome.tif") as opened:
        assert opened.level_dimensions == ((2100, 2100), (525, 525), (131, 131))
    with tifffile.TiffFile(tmp_path / "out" / "a.ome.tif") as tiff:
        assert tiff.pages[0].subifds == tuple(page.offset for page in list(tiff.pages)[1:])
        assert len(tiff.series[0].levels) == 3


def test_the_ome_xml_says_what_the_schema_asks(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(f"path,slide_id\n{picture},Präparat <7> & Co\n", encoding="utf-8")
    convert(slides=[tmp_path / "s.csv"], out=tmp_path, mpp=0.5)
    with tifffile.TiffFile(tmp_path / "Präparat <7> & Co.ome.tif") as tiff:
        said = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        assert tiff.pages[0].description.isascii()
    assert said["Name"] == "Präparat <7> & Co"
    pixels = said["Pixels"]
    assert (pixels["SizeX"], pixels["SizeY"], pixels["SizeC"]) == (1790, 1301, 3)
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (0.5, 0.5)
    assert pixels["Channel"]["SamplesPerPixel"] == 3 and pixels["TiffData"] == {"IFD": 0, "PlaneCount": 1}


def test_finished_files_are_skipped_and_others_never_overwritten(tmp_path: Path) -> None:
    for number, folder in enumerate(("mine", "other")):
        (tmp_path / folder).mkdir()
        Image.fromarray(field(300, 400, number)).save(tmp_path / folder / "a.png")
    given = {"slides": [tmp_path / "mine"], "out": tmp_path, "mpp": 0.5}
    convert(**given)
    before = (tmp_path / "a.ome.tif").read_bytes()
    assert convert(**given).skipped == ["a"]
    for other, found in (
        ({"quality": 80}, "made with storage jpeg 90"),
        ({"mpp": 0.25}, "made with mpp 0.5"),
        ({"lossless": True}, "jpeg 90"),
    ):
        (refused,) = convert(**given | other).failures
        assert found in refused.reason and "--replace" in refused.reason
    (refused,) = convert(**given | {"slides": [tmp_path / "other"]}).failures
    assert "made of another file" in refused.reason
    assert (tmp_path / "a.ome.tif").read_bytes() == before
    assert convert(**given | {"slides": [tmp_path / "other"]}, replace=True).done == ["a"]
    assert convert(**given, replace=True).done == ["a"]
    assert (tmp_path / "a.ome.tif").read_bytes() == before
    for strange in (b"mine", b""):
        (tmp_path / "a.ome.tif").write_bytes(strange)
        (refused,) = convert(**given).failures
        assert "which this command has not made" in refused.reason
        assert (tmp_path / "a.ome.tif").read_bytes() == strange


def test_a_slide_never_takes_its_own_place(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.ome.tif", field(300, 400), mpp=0.5)
    before = (tmp_path / "a.ome.tif").read_bytes()
    (refused,) = convert(slides=[tmp_path], out=tmp_path, replace=True).failures
    assert "take its place" in refused.reason
    assert (tmp_path / "a.ome.tif").read_bytes() == before


def test_what_breaks_off_leaves_nothing(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage._bands

    def torn(*given):
        for number, band in enumerate(whole(*given)):
            if number == 3:
                raise broken
            yield band

    monkeypatch.setattr(stage, "_bands", torn)
    broken: BaseException = ValueError("torn")
    (failed,) = convert(slides=[picture], out=tmp_path, mpp=0.5).failures
    assert failed.stage == "write" and "torn" in failed.reason
    broken = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        convert(slides=[picture], out=tmp_path, mpp=0.5)
    broken = OSError(28, "No space left on device")
    with pytest.raises(OutputError, match=r"a\.ome\.tif"):
        convert(slides=[picture], out=tmp_path, mpp=0.5)
    assert list(tmp_path.iterdir()) == []


def test_bad_slides_are_listed_and_the_others_done(picture: Path, tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    write_pyramid(slides / "good.tif", field(300, 400), mpp=0.5)
    (slides / "bad.svs").write_bytes(b"no slide")
    Image.fromarray(field(300, 400)).save(slides / "scale.tif")
    result = convert(slides=[slides], out=tmp_path / "out")
    assert result.done == ["good"]
    assert {each.slide_id: "--mpp" in each.reason for each in result.failures} == {
        "bad": False,
        "scale": True,
    }
    with pytest.raises(SettingsError, match="No slide"):
        convert(out=tmp_path / "out")


def test_equal_names_in_several_folders(tmp_path: Path) -> None:
    for number, name in enumerate(("x", "y")):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.fromarray(field(300, 400, number)).save(tmp_path / "in" / name / "1.png")
    with pytest.raises(TableError, match="--names path"):
        convert(slides=[tmp_path / "in"], out=tmp_path / "out", mpp=0.5)
    assert convert(slides=[tmp_path / "in"], out=tmp_path / "out", mpp=0.5, names="path").done == [
        "x__1",
        "y__1",
    ]


def test_memory_is_that_of_a_band_not_of_the_slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stage, "open_slide", lambda path, **given: TiffSlide.open(path, cache_bytes=4_000_000)
    )
    band = np.random.default_rng(0).integers(0, 256, (256, 4096, 3), dtype=np.uint8)
    peaks = []
    for count in (12, 24):
        path = tmp_path / f"{count}.tif"
        write_pyramid(path, (band for _ in range(count)), mpp=0.5, size_wh=(4096, 256 * count), quality=30)
        tracemalloc.start()
        convert(slides=[path], out=tmp_path / "out", quality=30)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.4 * 12 * band.nbytes


def test_a_real_slide(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "slides" / "CMU-1-Small-Region.svs"
    convert(slides=[source], out=tmp_path, lossless=True)
    with open_slide(source) as slide:
        wanted = slide.read((0, 0), slide.size_wh, slide.mpp)
        assert np.array_equal(by_openslide(tmp_path / "CMU-1-Small-Region.ome.tif"), wanted)
