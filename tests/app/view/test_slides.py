"""Tiles are what the slide's reader gives, few slides are open, and coarse tiles do not read a slide anew."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from fixtures.views import MPP, SIZE_WH, ViewedRun
from histonic.app.view import slides as module
from histonic.app.view.cache import ByteCache
from histonic.app.view.pyramid import Pyramid
from histonic.app.view.settings import ViewSettings
from histonic.app.view.slides import SlidePool, SlideSource, png_of
from histonic.core.units import WH
from histonic.slides.base import LevelSlide, open_slide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.formats.tiled import RESTING_BYTES, TiledSlide


def source_of(viewed: ViewedRun) -> SlideSource:
    return SlideSource(viewed.slides / "P000-A.tif", MPP)


def test_every_tile_of_every_level_is_what_the_slide_gives(viewed_run: ViewedRun) -> None:
    pool, pyramid = SlidePool(ByteCache(10**8)), Pyramid(SIZE_WH)
    with open_slide(viewed_run.slides / "P000-A.tif") as slide:
        for level in range(pyramid.last + 1):
            for col in range(pyramid.tiles(level)[0]):
                for row in range(pyramid.tiles(level)[1]):
                    box = pyramid.box(level, col, row)
                    assert box is not None
                    expected = slide.read(box.xy, box.wh, MPP * box.factor)
                    for _ in range(2):  # read, then from the cache
                        png = pool.png(source_of(viewed_run), pyramid, box)
                        found = np.asarray(Image.open(io.BytesIO(png)))
                        assert np.abs(found.astype(int) - expected).max() <= (0 if box.factor <= 8 else 1)
    pool.close()


def test_open_slides_keep_few_decoded_tiles(tmp_path: Path) -> None:
    """A reader's own memory is made for one pass over a slide; the viewer has several slides open."""
    pixels = np.zeros((2048, 6144, 3), np.uint8)  # 38 MB decoded
    write_pyramid(tmp_path / "a.tif", pixels, mpp=1.0)
    pool, source, pyramid = (
        SlidePool(ByteCache(10**8)),
        SlideSource(tmp_path / "a.tif"),
        Pyramid(WH(6144, 2048)),
    )
    held = []
    for col in range(pyramid.tiles(pyramid.last)[0]):
        for row in range(pyramid.tiles(pyramid.last)[1]):
            box = pyramid.box(pyramid.last, col, row)
            assert box is not None
            pool.png(source, pyramid, box)
            (_, (slide,)) = next(iter(pool._open.values()))
            assert isinstance(slide, TiledSlide)
            held.append(slide.cache._bytes)
    assert 0 < max(held) <= RESTING_BYTES
    pool.close()


def test_coarse_tiles_of_a_slide_without_coarse_levels_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (500, 700, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.setattr(module, "MOST_FACTOR", 1)
    monkeypatch.setattr(module, "OVERVIEW_PX", 400)
    reads: list[tuple[Any, ...]] = []
    read = LevelSlide.read

    def counted(self: LevelSlide, *given: Any) -> Any:
        reads.append(given)
        return read(self, *given)

    monkeypatch.setattr(LevelSlide, "read", counted)
    pool, pyramid = SlidePool(ByteCache(10**8)), Pyramid(module.WH(700, 500))
    source = SlideSource(tmp_path / "a.png", 0.5)
    with open_slide(tmp_path / "a.png", mpp=0.5) as slide:
        for level in range(pyramid.last):
            box = pyramid.box(level, 0, 0)
            assert box is not None
            expected = read(slide, box.xy, box.wh, 0.5 * box.factor)
            assert np.abs(pool.tile(source, pyramid, box).astype(int) - expected).max() <= 1
    assert len(reads) == 1
    pool.close()


def test_the_smallest_cache_holds_overviews_of_two_slides() -> None:
    with pytest.raises(ValidationError):
        ViewSettings(what=Path("a"), cache_mb=127)
    smallest = ViewSettings(what=Path("a"), cache_mb=128).cache_mb * 1_000_000
    assert smallest >= 2 * 3 * module.OVERVIEW_PX**2


def test_few_slides_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_SLIDES", 2)
    pool, pyramid = SlidePool(ByteCache(10**6)), Pyramid(module.WH(64, 64))
    box = pyramid.box(6, 0, 0)
    assert box is not None
    for number in range(4):
        write_pyramid(tmp_path / f"{number}.tif", np.full((64, 64, 3), 50 * number, np.uint8), mpp=0.5)
        source = SlideSource(tmp_path / f"{number}.tif")
        assert abs(int(pool.tile(source, pyramid, box).mean()) - 50 * number) <= 2
        assert len(pool._open) <= 2
    pool.close()
    assert not pool._open


def test_twenty_threads_get_the_same_tiles(viewed_run: ViewedRun) -> None:
    pool, pyramid = SlidePool(ByteCache(3_000_000)), Pyramid(SIZE_WH)
    boxes = [box for col in range(6) for row in range(4) if (box := pyramid.box(11, col, row)) is not None]
    sources = [source_of(viewed_run), SlideSource(viewed_run.slides / "P001-A.tif", MPP)]
    with sources[0].open() as one, sources[1].open() as two:
        expected = {
            (source, box): png_of(slide.read(box.xy, box.wh, MPP))
            for source, slide in zip(sources, (one, two), strict=True)
            for box in boxes
        }
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(25):
            key = sources[rng.integers(2)], boxes[rng.integers(len(boxes))]
            if pool.png(key[0], pyramid, key[1]) != expected[key]:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and pool.cache.held_bytes <= 3_000_000
    pool.close()
