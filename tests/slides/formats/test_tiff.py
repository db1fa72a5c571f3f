"""The hard corners of TIFF: JPEG 2000, RGB JPEG, tiles left out, damage, several threads."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import openslide as openslide_library
import pytest
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import open_slide
from histonic.slides.formats import tiff as tiff_module
from histonic.slides.formats.tiff import TiffSlide
from histonic.slides.formats.tiff_colours import JPEG2000_YCBCR
from histonic.slides.formats.tiff_level import TiffLevel
from histonic.slides.tiles import best_mpp

APERIO = "Aperio Image Library v12.0.0\r\n{}x{} (128x128) Q=70|AppMag = 20|MPP = 0.5000"

JPEG2000_RGB = 33005


def picture(height: int = 600, width: int = 800) -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (height // 20, width // 20, 3)).repeat(20, 0).repeat(20, 1)
    return np.clip(coarse + rng.integers(-20, 20, coarse.shape), 0, 255).astype(np.uint8)


def tiles_of(image: np.ndarray, encode: Callable[[np.ndarray], bytes]) -> Iterator[bytes]:
    for top in range(0, image.shape[0], 128):
        for left in range(0, image.shape[1], 128):
            tile = np.full((128, 128, 3), 255, np.uint8)
            part = image[top : top + 128, left : left + 128]
            tile[: part.shape[0], : part.shape[1]] = part
            yield encode(tile)


def jpeg2000(tile: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(tile, codecformat="j2k", level=0, mct=False)


def write_svs(path: Path, levels: list[np.ndarray], compression: int, encode: object = jpeg2000) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for image in levels:
            writer.write(
                tiles_of(image, encode),
                shape=image.shape,
                dtype=np.uint8,
                tile=(128, 128),
                photometric="rgb",
                compression=JPEG2000_RGB if compression == JPEG2000_YCBCR else compression,
                description=APERIO.format(image.shape[1], image.shape[0]),
                metadata=None,
            )
    if compression == JPEG2000_YCBCR:
        set_tag(path, "Compression", compression)
    return path


def set_tag(path: Path, name: str, value: int) -> None:
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.tags[name].valueoffset for page in tiff.pages]
    with path.open("r+b") as file:
        for offset in offsets:
            file.seek(offset)
            file.write(struct.pack("<H", value))


def drop_tile(path: Path, page: int, index: int) -> None:
    """Say that nothing is stored for a tile."""
    for name in ("TileByteCounts", "TileOffsets"):
        set_entry(path, page, name, index, 0)


def set_entry(path: Path, page: int, name: str, index: int, value: int) -> None:
    """Change one number of a tag."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[page].tags[name]
        kind = {3: "<H", 4: "<I", 16: "<Q"}[int(tag.dtype)]
        offset = tag.valueoffset + index * struct.calcsize(kind)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(kind, value))


def library(path: Path, level: int, xy: tuple[int, int], wh: tuple[int, int]) -> np.ndarray:
    with openslide_library.OpenSlide(path) as slide:
        region = np.asarray(slide.read_region(xy, level, wh)).astype(int)
    alpha = region[..., 3:]
    return (region[..., :3] * alpha + 255 * (255 - alpha)) // 255


@pytest.mark.parametrize("compression", [JPEG2000_RGB, JPEG2000_YCBCR])
def test_jpeg_2000_equals_openslide_on_every_level(tmp_path: Path, compression: int) -> None:
    path = write_svs(tmp_path / "a.svs", [picture(), picture()[::2, ::2].copy()], compression)
    with open_slide(path) as slide:
        assert slide.reader == "tiff" and slide.mpp_source == "header: Aperio MPP"
        assert slide.native_mpps() == (0.5, 1.0)
        ours = slide.read((33, 17), (500, 400), 0.5)
        assert np.array_equal(ours, library(path, 0, (33, 17), (500, 400)))
        coarse = slide.read((34, 18), (250, 200), 1.0)
        assert np.array_equal(coarse, library(path, 1, (34, 18), (250, 200)))


def test_every_pair_of_chroma_values_becomes_openslides_rgb(tmp_path: Path) -> None:
    blue, red = np.mgrid[:256, :256].astype(np.uint8)
    for luma in (0, 90, 128, 200, 255):
        samples = np.stack([np.full_like(blue, luma), blue, red], axis=2)
        path = write_svs(tmp_path / f"{luma}.svs", [samples], JPEG2000_YCBCR)
        with open_slide(path) as slide:
            assert np.array_equal(slide.read((0, 0), (256, 256), 0.5), library(path, 0, (0, 0), (256, 256)))


@pytest.mark.parametrize("outcolorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_the_fast_decoder_is_used_where_it_is_exact(
    tmp_path: Path, outcolorspace: str, subsampling: tuple[int, int]
) -> None:
    if outcolorspace == "rgb" and subsampling == (2, 2):
        subsampling = (1, 1)
    arguments = {"level": 85, "outcolorspace": outcolorspace}
    options = {"compression": "jpeg", "compressionargs": arguments, "subsampling": subsampling}
    tifffile.imwrite(
        tmp_path / "a.tif", picture(), tile=(128, 128), photometric="rgb", metadata=None, **options
    )
    with TiffSlide.open(tmp_path / "a.tif", mpp=0.5) as slide:
        assert slide._levels[0].fast_jpeg
        assert np.array_equal(
            slide.read((5, 3), (700, 500), 0.5), library(tmp_path / "a.tif", 0, (5, 3), (700, 500))
        )


def test_the_real_rgb_jpeg_slide_is_decoded_fast(data_dir: Path) -> None:
    with TiffSlide.open(data_dir / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert slide._levels[0].fast_jpeg


def test_a_tile_left_out_of_the_finest_level_is_white(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", [picture()], JPEG2000_RGB)
    drop_tile(path, 0, 8)  # second row, second column of seven
    with open_slide(path) as slide:
        ours = slide.read((100, 100), (300, 300), 0.5)
    assert (ours[28:156, 28:156] == 255).all() and not (ours[:28] == 255).all()
    assert np.array_equal(ours, library(path, 0, (100, 100), (300, 300)))


def test_a_tile_left_out_of_a_coarser_level_comes_from_the_finer_one(tmp_path: Path) -> None:
    fine = picture(600, 800)
    coarse = fine.reshape(300, 2, 400, 2, 3).mean((1, 3)).round().astype(np.uint8)
    path = write_svs(tmp_path / "a.svs", [fine, coarse], JPEG2000_RGB)
    with open_slide(path) as slide:
        whole = slide.read((0, 0), (400, 300), 1.0)
    for index in (0, 3, 5, 11):  # corners and edges, where the tile reaches over the border
        drop_tile(path, 1, index)
    with open_slide(path) as slide:
        found = slide.read((0, 0), (400, 300), 1.0)
    assert np.abs(found.astype(int) - whole).max() <= 1
    # OpenSlide fills the hole from the finer level too, with another filter.
    assert np.abs(found.astype(int) - library(path, 1, (0, 0), (400, 300))).mean() < 12


def test_bytes_turned_over_never_end_in_a_strange_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    tifffile.imwrite(path, picture(200, 300), **options)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in rng.integers(0, 600, 3):  # header, tags and tile tables
            damaged[at] = int(rng.integers(0, 256))
        path.write_bytes(bytes(damaged))
        try:
            with open_slide(path, mpp=0.5) as slide:
                slide.read((0, 0), (64, 64), slide.mpp)
        except UnreadableSlideError:
            pass


def test_tiles_are_read_from_a_level_that_is_almost_a_quarter(tmp_path: Path) -> None:
    fine = picture(601 // 20 * 20 + 20, 820)[:603, :803]
    path = write_svs(tmp_path / "a.svs", [fine, fine[:600:4, :800:4].copy()], JPEG2000_RGB)
    with TiffSlide.open(path, mpp=0.25) as slide:
        mpp = best_mpp(slide, 1.0)
        assert mpp == slide.native_mpps()[1] != 1.0
        step = 64 * mpp / 0.25
        found = slide.read_many([(step, step), (2 * step, 0)], (64, 64), mpp)
        assert np.array_equal(found[0], fine[:600:4, :800:4][64:128, 64:128])
        assert np.array_equal(found[1], fine[:600:4, :800:4][:64, 128:192])
        assert best_mpp(slide, 0.5) == 0.5 and best_mpp(slide, 0.6) == 0.6


def test_pixels_in_one_huge_piece_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="rgb", metadata=None, rowsperstrip=600)
    monkeypatch.setattr(tiff_module, "MOST_BLOCK_BYTES", 1_000_000)
    with pytest.raises(UnreadableSlideError, match="tiffsave"):
        open_slide(tmp_path / "a.tif")


def test_a_codec_that_is_not_there_is_a_refusal(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", [picture()], JPEG2000_RGB)
    set_tag(path, "Compression", 34925)  # LZMA, which these data are not
    with pytest.raises(UnreadableSlideError, match="cannot be decoded"):
        open_slide(path, reader="tiff")


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("scale", [1.0, 2.0, 1.3])
def test_a_row_major_pass_decodes_each_tile_once(tmp_path: Path, batch: int, scale: float) -> None:
    path = tmp_path / "a.tif"
    options = {"tile": (240, 240), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    tifffile.imwrite(path, picture(900, 1100), **options)
    step = 128 * scale
    xys = [(x * step, y * step) for y in range(int(900 / step) + 1) for x in range(int(1100 / step) + 1)]
    row_bytes = 240 * 240 * 3 * 5
    # Two rows of stored tiles fit: what a row-major pass needs.
    with TiffSlide.open(path, mpp=0.5, cache_bytes=2 * row_bytes + batch * 9 * 240 * 240 * 3) as slide:
        order: list[int] = []
        decode = slide._levels[0].decode_many
        slide._levels[0].decode_many = lambda indices, factor: (
            order.extend(indices),
            decode(indices, factor),
        )[1]
        parts = [
            slide.read_many(xys[start : start + batch], (128, 128), 0.5 * scale)
            for start in range(0, len(xys), batch)
        ]
        # One tile was decoded on opening.
        assert sorted([0, *order]) == list(range(4 * 5)) and slide.cache.decoded == 20
        for tile, xy in zip(np.concatenate(parts), xys, strict=True):
            assert np.array_equal(tile, slide.read(xy, (128, 128), 0.5 * scale))


def test_missing_tiles_are_decoded_in_file_order(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), tile=(128, 128), photometric="rgb", compression="jpeg", metadata=None)
    with TiffSlide.open(path, mpp=0.5) as slide:
        fetched: list[int] = []
        fetch = slide.cache.fetch
        slide.cache.fetch = lambda keys: (fetched.extend(key.tile for key in keys), fetch(keys))[1]
        slide.read_many([(500, 400), (0, 0), (300, 100)], (128, 128), 0.5)
        first_batch = fetched[: fetched.index(max(fetched)) + 1]
        offsets = [slide._levels[0].offset(index) for index in first_batch]
        assert offsets == sorted(offsets) and len(offsets) > 5


def test_a_jpeg_of_another_size_than_its_tile_is_refused_without_decoding_it(tmp_path: Path) -> None:
    small = imagecodecs.jpeg_encode(np.full((96, 128, 3), 90, np.uint8), level=90)
    bomb = bytearray(imagecodecs.jpeg_encode(np.full((128, 128, 3), 90, np.uint8), level=90))
    at = bomb.index(b"\xff\xc0")
    bomb[at + 5 : at + 9] = struct.pack(">2H", 65_000, 65_000)
    good = imagecodecs.jpeg_encode(np.full((128, 128, 3), 90, np.uint8), level=90)
    for first, second, words in [
        (small, good, "128 x 96 px, not 128 x 128"),
        (good, small, "128 x 96 px, not 128 x 128"),
        (good, bytes(bomb), "65000 x 65000 px"),
    ]:
        path = tmp_path / "a.tif"
        options = {"tile": (128, 128), "photometric": "ycbcr", "subsampling": (2, 2), "metadata": None}
        tiles = iter([first, second])
        tifffile.imwrite(path, tiles, shape=(128, 256, 3), dtype=np.uint8, compression="jpeg", **options)
        with pytest.raises(UnreadableSlideError, match=words), open_slide(path, mpp=0.5) as slide:
            slide.read((0, 0), (256, 128), 0.5)


def test_a_jpeg_2000_of_another_size_is_refused(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", [picture(128, 128)], JPEG2000_RGB)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x4f\xff\x51")
    data[at + 8 : at + 16] = struct.pack(">2I", 60_000, 60_000)
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableSlideError, match="60000 x 60000 px"):
        open_slide(path)


def test_an_error_in_a_jpeg_is_refused_by_the_slow_decoder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    options = {"compression": "jpeg", "photometric": "minisblack", "metadata": None, "tile": (128, 128)}
    tifffile.imwrite(path, picture()[..., 0].copy(), **options)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[3], tiff.pages[0].databytecounts[3]
    data = bytearray(path.read_bytes())
    data[offset + count // 2 : offset + count] = bytes(count - count // 2)
    path.write_bytes(bytes(data))
    monkeypatch.setattr(TiffLevel, "_simplejpeg_agrees", lambda self: False)
    with TiffSlide.open(path, mpp=0.5) as slide:
        assert not slide._levels[0].fast_jpeg
        with pytest.raises(UnreadableSlideError, match="tile 3"):
            slide.read((0, 0), (800, 600), 0.5)


def test_a_tile_without_bytes_where_there_are_some_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    tifffile.imwrite(path, picture(), **options)
    with tifffile.TiffFile(path) as tiff:
        following = tiff.pages[0].dataoffsets[4]
    set_entry(path, 0, "TileByteCounts", 3, 0)
    with pytest.raises(UnreadableSlideError, match="stored tile 3 is said to have no bytes"):
        open_slide(path, mpp=0.5)
    # No place, or the one where the next tile was written: left out on purpose.
    for place in (0, following):
        set_entry(path, 0, "TileOffsets", 3, place)
        with open_slide(path, mpp=0.5) as slide:
            assert (slide.read((3 * 128, 0), (128, 128), 0.5) == 255).all()


def test_tiles_that_reach_into_each_other_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), tile=(128, 128), photometric="rgb", compression="jpeg", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["TileOffsets"]
        second = tag.value[1]
    with path.open("r+b") as file:
        file.seek(tag.valueoffset + 4)
        file.write(struct.pack("<I", second + 100))
    with pytest.raises(UnreadableSlideError, match="reach into each other"):
        open_slide(path)


def test_tiles_may_share_a_place(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(128, 256), tile=(128, 128), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["TileOffsets"]
        first = tag.value[0]
    with path.open("r+b") as file:
        file.seek(tag.valueoffset + 4)
        file.write(struct.pack("<I", first))
    with open_slide(path, mpp=0.5) as slide:
        found = slide.read((0, 0), (256, 128), 0.5)
    assert np.array_equal(found[:120, :112], found[:120, 128:240])  # the picture has 240 x 120 px


def test_threads_may_read_one_slide(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), tile=(128, 128), photometric="rgb", compression="jpeg", metadata=None)
    xys = [(x, y) for x in range(-50, 800, 90) for y in range(-50, 600, 90)]
    with TiffSlide.open(path, mpp=0.5, cache_bytes=400_000) as slide:
        wanted = [slide.read(xy, (100, 100), 0.5) for xy in xys]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda xy: slide.read(xy, (100, 100), 0.5), xys))
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))
