"""A slide is the same wherever it lies, and another one as soon as a tile of it is another."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.fingerprint import fingerprint_file
from histonic.slides.sources.series import dicom_series

RNG = np.random.default_rng(4)
PIXELS = RNG.integers(0, 256, (512, 768, 3), dtype=np.uint8)


def write(path: Path, pixels: np.ndarray = PIXELS, **options: object) -> Path:
    base = {"tile": (64, 64), "photometric": "rgb", "metadata": None, "software": False}
    tifffile.imwrite(path, pixels, **{**base, **options})
    return path


def tiles(path: Path, page: int = 0) -> list[tuple[int, int]]:
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[page]
        return list(zip(found.dataoffsets, found.databytecounts, strict=True))


def swap(path: Path, one: tuple[int, int], other: tuple[int, int]) -> None:
    data = bytearray(path.read_bytes())
    (a, size), (b, same) = one, other
    assert size == same
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    path.write_bytes(bytes(data))


def test_name_place_and_time_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    (tmp_path / "b").mkdir()
    copy = Path(shutil.copy(path, tmp_path / "b" / "other.tiff"))
    os.utime(copy, (1, 1))
    assert fingerprint_file(copy) == fingerprint_file(path)
    assert len(fingerprint_file(path)) == 64


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_any_two_tiles_exchanged_are_noticed(tmp_path: Path, byteorder: str, bigtiff: bool) -> None:
    path = write(tmp_path / "a.tif", byteorder=byteorder, bigtiff=bigtiff)
    whole, before = path.read_bytes(), fingerprint_file(path)
    places = tiles(path)
    assert len(places) == 96
    for one, other in [(0, 1), (30, 31), (47, 90), (94, 95)]:
        path.write_bytes(whole)
        swap(path, places[one], places[other])
        assert fingerprint_file(path) != before


def test_tiles_of_sub_images_and_late_directories_count(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        options = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
        writer.write(PIXELS, subifds=1, **options)
        writer.write(PIXELS[::2, ::2].copy(), subfiletype=1, **options)
        writer.write(PIXELS[::4, ::4].copy(), subfiletype=1, **options)
    before = fingerprint_file(path)
    with tifffile.TiffFile(path) as tiff:
        sub = tiff.pages[0].pages[0]
        places = list(zip(sub.dataoffsets, sub.databytecounts, strict=True))
    whole = path.read_bytes()
    for one, other in [(places[3], places[4]), tiles(path, 1)[1:3]]:
        path.write_bytes(whole)
        swap(path, one, other)
        assert fingerprint_file(path) != before


def test_a_tag_changed_is_noticed(tmp_path: Path) -> None:
    # The directory stands between other bytes, away from both ends and from all samples.
    path = write(tmp_path / "a.tif", np.zeros((2048, 2048, 3), np.uint8), description="A" * 3000)
    before = fingerprint_file(path)
    data = path.read_bytes().replace(b"A" * 3000, b"A" * 1500 + b"B" + b"A" * 1499)
    path.write_bytes(data)
    assert fingerprint_file(path) != before


def test_files_that_are_no_tiff_are_sampled(tmp_path: Path) -> None:
    data = bytearray(RNG.bytes(3_000_000))
    (tmp_path / "a.bin").write_bytes(bytes(data))
    before = fingerprint_file(tmp_path / "a.bin")
    data[1_000_000:1_100_000] = bytes(100_000)
    (tmp_path / "a.bin").write_bytes(bytes(data))
    assert fingerprint_file(tmp_path / "a.bin") != before
    for content in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff" + bytes(20), b"MM\0*\0\0\0\x08" + b"\xff" * 40):
        (tmp_path / "b.tif").write_bytes(content)
        assert len(fingerprint_file(tmp_path / "b.tif")) == 64
    with pytest.raises(UnreadableSlideError, match=r"absent\.svs"):
        fingerprint_file(tmp_path / "absent.svs")


def test_directories_in_a_circle_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8))
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].offset
        tags = len(tiff.pages[0].tags)
    data = bytearray(path.read_bytes())
    data[at + 2 + 12 * tags : at + 6 + 12 * tags] = at.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    assert len(fingerprint_file(path)) == 64


def test_the_data_folder_of_mirax_counts(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name / "a").mkdir(parents=True)
        (tmp_path / name / "a.mrxs").write_bytes(b"picture")
        (tmp_path / name / "a" / "Slidedat.ini").write_bytes(b"[GENERAL]")
        (tmp_path / name / "a" / "Data0000.dat").write_bytes(RNG.bytes(100) * 2000)
        (tmp_path / name / "a" / "Data0001.dat").write_bytes(bytes(1000))
    here, there = tmp_path / "here", tmp_path / "there"
    assert fingerprint_file(here / "a.mrxs") != fingerprint_file(there / "a.mrxs")
    shutil.copy(here / "a" / "Data0000.dat", there / "a" / "Data0000.dat")
    assert fingerprint_file(here / "a.mrxs") == fingerprint_file(there / "a.mrxs")
    (there / "a.mrxs").rename(there / "b.mrxs")
    (there / "a").rename(there / "b")
    assert fingerprint_file(here / "a.mrxs") == fingerprint_file(there / "b.mrxs")
    (there / "b" / "Data0001.dat").unlink()
    assert fingerprint_file(here / "a.mrxs") != fingerprint_file(there / "b.mrxs")


def dicom(path: Path, series: bytes, body: bytes) -> Path:
    path.write_bytes(
        bytes(128) + b"DICM\x20\x00\x0e\x00UI" + len(series).to_bytes(2, "little") + series + body
    )
    return path


def test_the_other_files_of_a_dicom_series_count(tmp_path: Path) -> None:
    first = dicom(tmp_path / "1.dcm", b"1.2.3", b"a" * 900)
    assert dicom_series(first) == b"1.2.3"
    alone = fingerprint_file(first)
    dicom(tmp_path / "0.dcm", b"1.2.4", b"of another slide")
    assert fingerprint_file(first) == alone
    dicom(tmp_path / "2.dcm", b"1.2.3", b"a coarser level")
    both = fingerprint_file(first)
    assert both != alone
    dicom(tmp_path / "2.dcm", b"1.2.3", b"another level !")
    assert fingerprint_file(first) != both


def test_gigabytes_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(20_000_000_000)
    began = time.perf_counter()
    fingerprint_file(path)
    assert time.perf_counter() - began < 1.0
