"""Which pages of a TIFF make up the slide; files cut off anywhere, and files left to others."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import open_slide


def picture(height: int = 600, width: int = 800) -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (height // 20, width // 20, 3)).repeat(20, 0).repeat(20, 1)
    return np.clip(coarse + rng.integers(-20, 20, coarse.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, bigtiff: bool, levels: int) -> None:
    path = tmp_path / "a.tif"
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for level in range(levels):
            image = picture(200, 300)[:: 2**level, :: 2**level].copy()
            writer.write(image, subfiletype=min(level, 1), **options)
    whole = path.read_bytes()
    cut = tmp_path / "cut.svs"
    for share in np.linspace(0.001, 0.9999, 60):
        cut.write_bytes(whole[: max(1, int(share * len(whole)))])
        with pytest.raises(UnreadableSlideError, match=r"cut\.svs"):
            open_slide(cut, mpp=0.5)


def test_a_real_slide_cut_off_is_called_truncated(tmp_path: Path, data_dir: Path) -> None:
    for name in ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"):
        whole = (data_dir / "slides" / name).read_bytes()
        for share in (0.05, 0.4, 0.7, 0.85):
            (tmp_path / "cut.svs").write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(UnreadableSlideError, match="truncated"):
                open_slide(tmp_path / "cut.svs")


@pytest.mark.parametrize("content", [b"hello\n", b"II", b"II*\0", b"MM, this is a memo and no slide"])
def test_texts_are_not_called_truncated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.svs").write_bytes(content)
    with pytest.raises(UnreadableSlideError, match="No reader") as caught:
        open_slide(tmp_path / "a.svs")
    assert "tiff: not a TIFF file" in caught.value.found and "openslide: " in caught.value.found


def test_pages_that_are_no_levels_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    fine = picture()
    base = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(fine, tile=(128, 128), **base)
        writer.write(fine[::2, ::2].copy(), tile=(128, 128), **base)  # unmarked: another picture
        writer.write(fine[::4, ::4].copy(), tile=(128, 128), subfiletype=1, **base)
        writer.write(fine[::8, ::4].copy(), tile=(128, 128), subfiletype=1, **base)  # another shape
        writer.write(fine[::4, ::4].copy(), subfiletype=1, **base)  # a thumbnail in strips
    with open_slide(path, mpp=0.25) as slide:
        assert slide.native_mpps() == (0.25, 1.0)


def test_the_slide_is_the_largest_picture_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    fine = picture()
    base = {"photometric": "rgb", "metadata": None}
    scan = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(fine[:60, :50].copy(), resolution=(72, 72), **base)  # a label
        writer.write(fine[::4, ::4].copy(), tile=(128, 128), subfiletype=1, **base)
        writer.write(fine, tile=(128, 128), **base, **scan)
        writer.write(fine[::2, ::2].copy(), tile=(128, 128), subfiletype=1, **base)
    with open_slide(path) as slide:
        assert slide.native_mpps() == pytest.approx((0.5, 1.0, 2.0))
        assert np.array_equal(slide.read((0, 0), (800, 600), 0.5), fine)


def test_the_slide_may_be_a_sub_image_of_its_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    fine = picture()
    base = {"photometric": "rgb", "metadata": None, "tile": (128, 128)}
    with tifffile.TiffWriter(path) as writer:
        writer.write(fine[::4, ::4].copy(), subfiletype=1, subifds=2, **base)
        writer.write(fine, **base)
        writer.write(fine[::2, ::2].copy(), subfiletype=1, **base)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.native_mpps() == (0.5, 1.0, 2.0)
        assert np.array_equal(slide.read((0, 0), (800, 600), 0.5), fine)


def test_of_two_pictures_of_one_size_the_first_is_read_and_the_other_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    fine = picture()
    with tifffile.TiffWriter(path) as writer:
        for image in (fine, 255 - fine):
            writer.write(image, tile=(128, 128), photometric="rgb", metadata=None)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.note == "1 more picture(s) of this size in the file are not read"
        assert np.array_equal(slide.read((0, 0), (800, 600), 0.5), fine)


def set_tag(path: Path, name: str, value: int, page: int = 0) -> None:
    """Overwrite a value of a tag of any whole number."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[page].tags[name]
        kind = {3: "<H", 4: "<I", 16: "<Q"}[int(tag.dtype)]
        offset = tag.valueoffset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(kind, value))


APERIO = "Aperio Image Library v1\r\n900x700 [10,20 800x600] (128x128) JPEG/RGB Q=70|MPP = 0.5"


@pytest.mark.parametrize("compression", ["jpeg", "lzw", "deflate", None])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ImageWidth", 897, "lists 35 stored pieces"),
        ("ImageWidth", 640, "lists 35 stored pieces"),
        ("ImageWidth", 799, "its description 800 x 600"),
        ("ImageWidth", 65_535, "lists 35"),
        ("ImageLength", 0, "0 px"),
        ("ImageLength", 300, "lists 35"),
        ("ImageLength", 601, "its description 800 x 600"),
        ("TileWidth", 127, "damaged"),
        ("TileWidth", 129, "damaged"),
        ("TileLength", 120, "damaged"),
        ("TileLength", 140, "damaged"),
        ("TileLength", 65_535, "damaged"),
        ("SamplesPerPixel", 1, "damaged|cannot be read"),
        ("BitsPerSample", 7, "damaged|cannot be read"),
        ("SamplesPerPixel", 4, "damaged"),
    ],
)
def test_a_directory_that_contradicts_its_tiles_is_damage_for_all_readers(
    tmp_path: Path, compression: str | None, name: str, value: int, words: str
) -> None:
    path = tmp_path / "a.svs"
    options = {"tile": (128, 128), "photometric": "rgb", "metadata": None, "description": APERIO}
    tifffile.imwrite(path, picture(), compression=compression, **options)
    with open_slide(path) as slide:
        slide.read((0, 0), (800, 600), 0.5)
    set_tag(path, name, value)
    with pytest.raises(UnreadableSlideError, match=words):
        open_slide(path)


def test_a_pyramid_with_one_damaged_side_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    fine = picture(768, 768 // 20 * 20 + 40)
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 4):
            image = fine[::step, ::step].copy()
            writer.write(image, tile=(128, 128), photometric="rgb", metadata=None, subfiletype=step // 4)
    set_tag(path, "ImageWidth", fine.shape[1] - 30)
    with pytest.raises(UnreadableSlideError, match="coarser copy"):
        open_slide(path, mpp=0.5)


def test_a_width_of_two_thousand_million_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((600, 70_000), np.uint8), rowsperstrip=100, metadata=None, compression="lzw"
    )
    set_tag(path, "ImageWidth", 2**31)
    with pytest.raises(UnreadableSlideError, match="damaged"):
        open_slide(path, mpp=0.5)
    set_tag(path, "ImageWidth", 16_000_000)
    with pytest.raises(UnreadableSlideError, match="cannot come from"):
        open_slide(path, mpp=0.5)


def test_trestle_files_are_left_to_openslide(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), tile=(128, 128), photometric="rgb", software="MedScan 1", metadata=None)
    with pytest.raises(UnreadableSlideError, match="overlap"):
        open_slide(path, reader="tiff")
