"""A tiny slide is measured, and the words follow from the figures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from histonic.core.errors import SettingsError, SlideError
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.bench import compress as bench
from histonic.stages.bench.compress import bench_compress
from histonic.stages.bench.figures import Rate
from histonic.stages.compress.compress import compress


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.full((1024, 1024, 3), 243, np.uint8)
    pixels[128:, 128:] = (195, 120, 175)
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    write_pyramid(path, pixels, mpp=0.5)
    return path


def test_parts_and_whole_are_measured(slide: Path) -> None:
    found = bench_compress(slide=slide, encoder="colour", batch=8, seconds=0.05)
    assert [stage.name for stage in found.stages] == ["read", "encode", "the rest"]
    read, encode, _ = found.stages
    assert read.per_second and encode.per_second and "tiff jpeg" in read.how
    assert found.floor and found.of_floor == pytest.approx(found.achieved / found.floor)
    # On a CPU the floor is the time of the cores for reading, and the encoder's own time after it.
    assert found.floor < encode.per_second
    assert read.share and encode.share and found.of_floor == pytest.approx(read.share + encode.share)
    assert found.start_s > 0 and found.pace and found.what == "compress"
    assert not list(slide.parent.glob("*store*"))


def test_a_slide_of_one_batch_is_measured_whole(slide: Path) -> None:
    assert bench_compress(slide=slide, encoder="mean-rgb", seconds=0.01).achieved > 0


def test_the_stopwatch_hears_every_batch_of_a_compression(slide: Path, tmp_path: Path) -> None:
    watch = bench._Stopwatch(seconds=60)
    done = compress(slides=[slide], encoder="mean-rgb", batch=8, out=tmp_path / "store", progress=watch)
    assert [seen for seen, _ in watch.marks] == [*range(8, done.tiles, 8), done.tiles]
    assert watch.rate().count == done.tiles - 8


def test_slides_that_cannot_be_measured_are_refused(slide: Path, tmp_path: Path) -> None:
    write_pyramid(tmp_path / "glass.tif", np.full((600, 600, 3), 243, np.uint8), mpp=0.5)
    with pytest.raises(SlideError, match="tissue"):
        bench_compress(slide=tmp_path / "glass.tif", encoder="mean-rgb", seconds=0.01)
    write_pyramid(tmp_path / "b.tif", np.full((600, 600, 3), 243, np.uint8), mpp=0.5)
    with pytest.raises(SettingsError, match="2 slides"):
        bench_compress(slide=tmp_path, encoder="mean-rgb", seconds=0.01)


@pytest.mark.parametrize(
    ("shares", "of_floor", "pace", "advice"),
    [
        ({"read": 0.1, "encode": 0.8}, 0.9, "encoding sets the pace: 80%", "--precision bf16: 2.0 times"),
        ({"read": 0.7, "encode": 0.2}, 0.9, "reading sets the pace: 70%", "this one: JPEG 2000"),
        ({"read": 0.1, "encode": 0.3}, 0.4, "neither .* 60% of the time", "--precision bf16"),
    ],
)
def test_what_sets_the_pace(shares: dict[str, float], of_floor: float, pace: str, advice: str) -> None:
    rates = {"32": Rate(100, 1.0), "bf16": Rate(200, 1.0)}
    said, advised = bench._told(shares, of_floor, "32", rates, "JPEG 2000")
    assert re.search(pace, said) and advice in advised[0]
