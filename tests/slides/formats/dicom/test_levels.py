"""Frames become the pixels that were written, whatever the compression, tiling and colours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import simplejpeg

from fixtures.dicom import tiles_of, tissue, write_level
from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import open_slide
from histonic.slides.formats.dicom.levels import DicomLevel
from histonic.slides.formats.dicom.reader import DicomSlide

TISSUE = tissue()
SYNTAX = "1.2.840.10008.1.2.4."
LOSSLESS = {
    "uncompressed": {},
    "parts": {"parts": 4},
    "sparse, all there": {"keep": [34, *range(34)]},
    "sparse parts": {"keep": [*range(35)], "parts": 3},
    "jpeg 2000": {
        "encode": lambda tile: imagecodecs.jpeg2k_encode(tile, reversible=True, codecformat="j2k"),
        "syntax": f"{SYNTAX}90",
        "PhotometricInterpretation": "YBR_RCT",
    },
    "jpeg-ls": {"encode": imagecodecs.jpegls_encode, "syntax": f"{SYNTAX}80"},
    "lossless jpeg": {
        "encode": lambda tile: imagecodecs.jpeg8_encode(tile, lossless=True, predictor=1),
        "syntax": f"{SYNTAX}70",
    },
}


def luma(tile: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(tile, quality=95, colorspace="RGB", colorsubsampling="422")


def rgb(tile: np.ndarray) -> bytes:
    """JPEG whose components are red, green and blue; the marker that says so is taken out."""
    data = imagecodecs.jpeg8_encode(tile, 95, colorspace="RGB", outcolorspace="RGB")
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]


def read(path: Path) -> np.ndarray:
    with open_slide(path, reader="dicom") as slide:
        return slide.read((0, 0), slide.size_wh, 0.5)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_pixels_come_back(tmp_path: Path, name: str) -> None:
    path, *_ = write_level(tmp_path / "a.dcm", TISSUE, **LOSSLESS[name])
    assert np.array_equal(read(path), TISSUE)


@pytest.mark.parametrize(
    ("encode", "told"),
    [(luma, "YBR_FULL_422"), (luma, "RGB"), (rgb, "RGB")],
    ids=["luma", "luma said to be RGB", "RGB"],
)
def test_jpeg_has_its_true_colours(tmp_path: Path, encode: Any, told: str) -> None:
    path, *_ = write_level(
        tmp_path / "a.dcm", TISSUE, encode=encode, syntax=f"{SYNTAX}50", PhotometricInterpretation=told
    )
    found = read(path)
    assert np.abs(found.mean((0, 1)) - TISSUE.mean((0, 1))).max() < 1
    assert np.abs(found.astype(int) - TISSUE).mean() < 4
    with open_slide(path, reader="dicom") as slide:
        assert ("hold luma and chroma" in slide.note) == (encode is luma and told == "RGB")


def test_tiles_that_are_not_stored_are_white(tmp_path: Path) -> None:
    path, *_ = write_level(tmp_path / "a.dcm", TISSUE, keep=[8, 0, 20])
    found = tiles_of(read(path), 64)
    for index, (mine, theirs) in enumerate(zip(found, tiles_of(TISSUE, 64), strict=True)):
        inside = mine[: 300 - index // 7 * 64, : 420 - index % 7 * 64]
        wanted = theirs[: inside.shape[0], : inside.shape[1]]
        assert np.array_equal(inside, wanted) if index in (0, 8, 20) else (inside == 255).all(), index


@pytest.mark.parametrize("name", ["uncompressed", "jpeg 2000"])
def test_threads_get_the_pixels_of_their_own_tile(tmp_path: Path, name: str) -> None:
    path, *_ = write_level(tmp_path / "a.dcm", TISSUE, side=16, **LOSSLESS[name])
    wanted = tiles_of(TISSUE, 16)
    with DicomSlide.open(path) as slide, ThreadPoolExecutor(8) as pool:
        (level,) = slide._tiled
        assert isinstance(level, DicomLevel)
        order = [index for index in range(len(wanted)) for _ in range(2)]
        for index, found in zip(order, pool.map(level.decode, order), strict=True):
            assert np.array_equal(found, wanted[index])


def test_tiles_upon_each_other_are_refused(tmp_path: Path) -> None:
    path, *_ = write_level(tmp_path / "a.dcm", TISSUE, keep=[0, 1, 1, 2])
    with pytest.raises(UnreadableSlideError, match="lie upon each other"):
        DicomSlide.open(path)


def test_tiles_beside_the_grid_are_refused(tmp_path: Path) -> None:
    (path,) = write_level(tmp_path / "a.dcm", TISSUE, keep=[0, 1, 2])
    data = path.read_bytes()
    # The row of the first frame's place (0048,021F), explicit little endian.
    at = data.index(b"\x48\0\x1f\x02SL\x04\0") + 8
    path.write_bytes(data[:at] + (9).to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(UnreadableSlideError, match="do not lie side by side"):
        DicomSlide.open(path)


def test_a_damaged_tile_is_named(tmp_path: Path) -> None:
    (path,) = write_level(
        tmp_path / "a.dcm",
        TISSUE,
        encode=luma,
        syntax=f"{SYNTAX}50",
        PhotometricInterpretation="YBR_FULL_422",
    )
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    data[starts[10] + 700 : starts[10] + 900] = b"\xff" * 200
    path.write_bytes(bytes(data))
    with DicomSlide.open(path) as slide, pytest.raises(UnreadableSlideError, match="tile 10 of"):
        slide.read((0, 0), slide.size_wh, 0.5)


def test_levels_of_another_area_and_focus(tmp_path: Path) -> None:
    smaller = TISSUE[:99, :138]
    resampled = ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED")
    path, *_ = write_level(tmp_path / "a.dcm", TISSUE)
    write_level(tmp_path / "third.dcm", smaller, number=2, mpp=1.5, kind=resampled)
    write_level(tmp_path / "small area.dcm", TISSUE[:100, :300], number=3)
    with open_slide(path) as slide:
        assert slide.native_mpps() == pytest.approx((0.5, 1.5), rel=0.02)
        assert slide.note == "1 picture(s) of other areas in the series are not read"
    for number in (4, 5):
        write_level(tmp_path / f"z{number}.dcm", TISSUE[::-1].copy(), number=number)
    with open_slide(path) as slide:
        assert "of 3 focal planes the middle one is read" in slide.note


@pytest.mark.parametrize("encode", [luma, rgb], ids=["luma", "RGB"])
@pytest.mark.parametrize("factor", [2, 4])
def test_the_decoder_of_jpeg_makes_frames_smaller(tmp_path: Path, encode: Any, factor: int) -> None:
    told = "YBR_FULL_422" if encode is luma else "RGB"
    path, *_ = write_level(
        tmp_path / "a.dcm", TISSUE, encode=encode, syntax=f"{SYNTAX}50", PhotometricInterpretation=told
    )
    found = []
    for exact in (True, False):
        with open_slide(path, reader="dicom", exact_averaging=exact) as slide:
            assert isinstance(slide, DicomSlide)
            found.append(slide.read((0, 0), (256 // factor, 256 // factor), 0.5 * factor))
            assert {key.factor for key in slide.cache._blocks} == {1 if exact else factor}
    apart = np.abs(found[0].astype(int) - found[1])
    assert 0 < apart.mean() < 2


def test_other_frames_are_made_smaller_by_exact_means(tmp_path: Path) -> None:
    path, *_ = write_level(tmp_path / "a.dcm", TISSUE, **LOSSLESS["jpeg 2000"])
    with open_slide(path, reader="dicom", exact_averaging=False) as slide:
        means = TISSUE[:256, :256].reshape(128, 2, 128, 2, 3).astype(int).sum((1, 3))
        assert np.array_equal(slide.read((0, 0), (128, 128), 1.0), (means + 2) // 4)
