"""Tests of histonic.slides.formats.tiled: reduction by the decoder, few reads, nothing decoded in vain."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from histonic.core.grid import TileGrid
from histonic.simulate.slides import simulate_tissue
from histonic.slides.base import open_slide
from histonic.slides.formats.blocks import Key
from histonic.slides.formats.tiff import TiffSlide
from histonic.slides.formats.tiled import MOST_CACHE_BYTES, sensible_cache_bytes
from histonic.slides.resample import average_blocks
from histonic.slides.tiles import walk_tiles

BLANK = np.full((128, 128, 3), 243, np.uint8)


@functools.cache
def field() -> np.ndarray:
    """Simulated tissue as soft as a scan at 0.25 µm/px, and without colours at the end of the scale."""
    soft = ndimage.gaussian_filter(simulate_tissue(256, np.random.default_rng(0)), (1, 1, 0))
    return (50 + 0.6 * soft).astype(np.uint8)


def tissue(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(np.tile(field(), (5, 5, 1))[:height, :width])


def write(path: Path, pixels: np.ndarray, tile: int = 128, **options: object) -> Path:
    options = {"photometric": "rgb", "compression": "jpeg", "metadata": None, **options}
    if tile:
        options["tile"] = (tile, tile)
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[TiffSlide, TiffSlide]:
    """A slide at 0.25 µm/px whose sides are no multiples of anything, as read exactly and as read reduced."""
    path = write(tmp_path_factory.mktemp("slides") / "a.tif", tissue(601, 715), subsampling=(2, 2))
    exact, quick = (open_slide(path, mpp=0.25, exact_averaging=flag) for flag in (True, False))
    return exact, quick


def stored_at(pixels: np.ndarray, xy: tuple[int, int], wh: tuple[int, int]) -> np.ndarray:
    return pixels[xy[1] : xy[1] + wh[1], xy[0] : xy[0] + wh[0]]


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_decoder_makes_the_averaged_pixels(both: tuple[TiffSlide, TiffSlide], factor: int) -> None:
    exact, quick = both
    wh, xy = (560 // factor, 400 // factor), (16 * factor, 8 * factor)
    wanted, found = (slide.read(xy, wh, 0.25 * factor) for slide in both)
    assert {key.factor for key in quick.cache._blocks} > {factor} - {1}
    assert all(key.factor == 1 for key in exact.cache._blocks)
    difference = np.abs(wanted.astype(int) - found)
    assert 0 < difference.mean() < 1 and difference.max() < 40
    # By hand: each stored tile decoded to a smaller picture, laid side by side.
    level = quick._levels[0]
    whole = np.concatenate(
        [
            np.concatenate([level.decode_reduced(row * 6 + col, factor) for col in range(6)], axis=1)
            for row in range(5)
        ]
    )
    assert np.array_equal(found, stored_at(whole, (16, 8), wh))
    assert level.decode_reduced(0, factor).shape == (128 // factor, 128 // factor, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-80, 720),
    st.integers(-80, 610),
    st.integers(1, 90),
    st.sampled_from([1.0, 2.0, 3.0, 4.0, 8.0, 16.0, 2.5]),
)
def test_what_is_not_whole_squares_of_the_slide_stays_exact(
    both: tuple[TiffSlide, TiffSlide], x: int, y: int, side: int, scale: float
) -> None:
    wanted, found = (slide.read((x, y), (side, side), 0.25 * scale) for slide in both)
    fits = x % scale == y % scale == 0 and x + side * scale <= 715 and y + side * scale <= 601
    if scale in (2, 4, 8) and fits:
        assert np.abs(wanted.astype(int) - found).mean() < 2
    else:
        assert np.array_equal(wanted, found)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("scale", [2, 4])
def test_a_pass_gives_what_single_reads_give_and_decodes_each_tile_once(
    tmp_path: Path, exact: bool, scale: int
) -> None:
    path = write(tmp_path / "a.tif", tissue(768, 1024))
    with (
        open_slide(path, mpp=0.25, exact_averaging=exact) as slide,
        open_slide(path, mpp=0.25, exact_averaging=exact) as other,
    ):
        assert isinstance(slide, TiffSlide)
        grid = TileGrid.over(slide.size_wh, slide_mpp=0.25, tile_px=48, mpp=0.25 * scale)
        before = slide.cache.decoded
        for cells, tiles in walk_tiles(slide, grid, np.ones(grid.shape, bool), 7):
            for cell, tile in zip(cells, tiles, strict=True):
                xy = grid.cell_xy((int(cell[0]), int(cell[1])))
                assert np.array_equal(tile, other.read(xy, (48, 48), 0.25 * scale))
        again = {key for key in slide.cache._blocks if key.factor == 1 and not exact}
        reads = 8 * 6 + len(again - {Key(0, 0)})  # tiles that reach over the border are exact
        assert slide.cache.decoded - before == (reads if not exact else 8 * 6 - 1)
        kept = sum(block.nbytes for block in slide.cache._blocks.values())
        assert slide.cache._bytes == kept


def test_reduced_tiles_count_as_what_they_take(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", tissue(1024, 1024))
    with TiffSlide.open(path, mpp=0.25, cache_bytes=2 * 8 * 128 * 128 * 3) as slide:
        xys = [(128.0 * col, 128.0 * row) for row in range(8) for col in range(8)]
        assert len(list(slide._batches([slide._keys(xy, (64, 64), 0.5) for xy in xys]))) == 8
        slide.exact_averaging = False
        assert len(list(slide._batches([slide._keys(xy, (64, 64), 0.5) for xy in xys]))) == 2


def test_colours_without_jpeg_and_strips_are_never_reduced(tmp_path: Path) -> None:
    pixels = tissue(256, 256)
    for name, options in {
        "plain": {"compression": "deflate", "photometric": "rgb"},
        "strips": {"tile": 0, "rowsperstrip": 64},
    }.items():
        path = write(tmp_path / f"{name}.tif", pixels, **options)  # type: ignore[arg-type]
        with (
            open_slide(path, mpp=0.25, exact_averaging=False) as quick,
            open_slide(path, mpp=0.25) as exact,
        ):
            assert np.array_equal(quick.read((0, 0), (128, 128), 0.5), exact.read((0, 0), (128, 128), 0.5))


def test_a_coarser_tile_that_was_left_out_is_reduced_from_the_finer_ones(tmp_path: Path) -> None:
    pixels = ndimage.gaussian_filter(tissue(512, 512), (2, 2, 0))
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as writer:
        given = {"photometric": "rgb", "compression": "jpeg", "tile": (128, 128), "metadata": None}
        writer.write(pixels, description="Aperio Image Library\n512x512 (128x128) |MPP = 0.25", **given)
        writer.write(average_blocks(pixels, 2), subfiletype=1, **given)
    with TiffSlide.open(path) as slide:
        level = slide._levels[1]
        level._sizes[1] = 0
        slide.exact_averaging = False
        wanted = average_blocks(slide._decode_from_finer(1, 1), 2)
        assert np.array_equal(slide.read((256, 0), (64, 64), 1.0), wanted)


def test_only_stored_tiles_under_kept_cells_are_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", tissue(1024, 1024))
    with TiffSlide.open(path, mpp=0.5) as slide:
        grid = TileGrid.over(slide.size_wh, slide_mpp=0.5, tile_px=64, mpp=0.5)
        mask = np.zeros(grid.shape, bool)
        mask[3, 5] = mask[9, [2, 3, 12]] = True
        asked: list[int] = []
        decode = slide._levels[0].decode_many
        slide._levels[0].decode_many = lambda tiles, factor: (asked.extend(tiles), decode(tiles, factor))[1]
        assert sum(len(cells) for cells, _ in walk_tiles(slide, grid, mask, 8)) == 4
        assert sorted(asked) == [1 * 8 + 2, 4 * 8 + 1, 4 * 8 + 6]


def test_equal_tiles_of_few_bytes_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.tile(BLANK, (4, 4, 1))
    pixels[128:256, 128:256] = tissue(128, 128)
    path = write(tmp_path / "a.tif", pixels)
    with TiffSlide.open(path, mpp=0.5) as slide:
        calls = []
        decode = simplejpeg.decode_jpeg
        monkeypatch.setattr(
            simplejpeg, "decode_jpeg", lambda data, **more: (calls.append(data), decode(data, **more))[1]
        )
        found = slide.read((0, 0), (512, 512), 0.5)
        assert len(calls) == 1  # tissue; the blank tile was decoded on opening
        monkeypatch.undo()
        with TiffSlide.open(path, mpp=0.5) as other:
            other._levels[0]._blanks = {}
            assert np.array_equal(found[:128, :128], other.read((0, 0), (128, 128), 0.5))
            assert np.array_equal(found[128:256, 128:256], other.read((128, 128), (128, 128), 0.5))


@pytest.mark.parametrize("options", [{}, {"compression": "deflate", "photometric": "rgb", "planarconfig": 2}])
def test_tiles_near_each_other_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    pixels = tissue(512, 1024)
    if "planarconfig" in options:
        path = write(tmp_path / "a.tif", np.moveaxis(pixels, 2, 0), 128, **options)
    else:
        path = write(tmp_path / "a.tif", pixels)
    with TiffSlide.open(path, mpp=0.5) as slide:
        reads: list[int] = []
        pread = os.pread
        monkeypatch.setattr(
            os, "pread", lambda file, count, at: (reads.append(count), pread(file, count, at))[1]
        )
        found = slide.read((0, 0), (1024, 512), 0.5)
        tiles, parts = 32, 4
        assert len(reads) <= 3 * parts < tiles
        with tifffile.TiffFile(path) as tiff:
            stored = tiff.pages[0].asarray()
        wanted = np.moveaxis(stored, 0, 2) if "planarconfig" in options else stored
        assert np.array_equal(found, wanted)


def test_pieces_larger_than_half_of_the_cache_are_decoded_once(tmp_path: Path) -> None:
    """Two of them are kept in any case: a row of tiles may lie on the border of two."""
    pixels = tissue(600, 600)
    path = write(tmp_path / "a.tif", pixels, 0, rowsperstrip=200, compression="deflate", photometric="rgb")
    with TiffSlide.open(path, mpp=0.5) as slide:
        slide.cache.limit_bytes = 2 * slide._levels[0].block_bytes
        grid = TileGrid.over(slide.size_wh, slide_mpp=0.5, tile_px=64, mpp=0.5)
        tiles = [tile for _, part in walk_tiles(slide, grid, np.ones(grid.shape, bool), 16) for tile in part]
        assert slide.cache.decoded == 3
        assert np.array_equal(tiles[0], pixels[:64, :64])


class Level:
    def __init__(self, columns: int, side: int) -> None:
        self.columns, self.block_bytes = columns, side * side * 3


@pytest.mark.parametrize(
    ("columns", "side", "megabytes"),
    [(10, 256, 128), (100, 1024, MOST_CACHE_BYTES / 1e6), (30, 1024, 188.7), (1, 16_384, 1610.6)],
)
def test_the_cache_is_as_large_as_a_row_of_stored_tiles_needs(
    columns: int, side: int, megabytes: float
) -> None:
    levels = [Level(columns, side)]
    assert sensible_cache_bytes(levels) / 1e6 == pytest.approx(megabytes, abs=0.1)  # type: ignore[arg-type]
