"""A written pyramid as OpenSlide sees it."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import openslide
import pytest
from scipy import ndimage

from histonic.core.errors import OutputError, SettingsError
from histonic.slides.formats.pyramid import write_pyramid


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A smooth picture of odd size, so that JPEG changes little and no side is a whole number of tiles."""
    noise = np.random.default_rng(0).uniform(0, 255, (1301, 1790, 3))
    smooth = ndimage.gaussian_filter(noise, (12, 12, 0), mode="wrap")
    return np.clip((smooth - 127.5) * 12 + 127.5, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def slide(image: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pyramid") / "a.tif"
    write_pyramid(path, image, mpp=0.2513)
    return path


def pixels(slide: openslide.OpenSlide, level: int) -> np.ndarray:
    region = slide.read_region((0, 0), level, slide.level_dimensions[level])
    return np.asarray(region.convert("RGB")).astype(int)


def test_openslide_finds_levels_and_resolution(slide: Path) -> None:
    with openslide.OpenSlide(slide) as opened:
        assert opened.properties["openslide.vendor"] == "generic-tiff"
        assert opened.level_dimensions[:2] == ((1790, 1301), (447, 325))
        assert opened.level_downsamples[1] == pytest.approx(4, rel=0.005)
        for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y):
            assert float(opened.properties[name]) == pytest.approx(0.2513, rel=1e-3)


def test_pixels_come_back(slide: Path, image: np.ndarray) -> None:
    with openslide.OpenSlide(slide) as opened:
        finest = np.abs(pixels(opened, 0) - image)
        means = image[:1300, :1788].reshape(325, 4, 447, 4, 3).mean(axis=(1, 3))
        coarser = np.abs(pixels(opened, 1) - means)
    assert finest.mean() < 2.5 and coarser.mean() < 3.5
    # Not shifted: a picture moved by one pixel would differ more everywhere.
    assert coarser.mean() < np.abs(np.roll(means, 1, axis=1) - means).mean()


def test_bands_of_any_height_give_the_bytes_of_the_whole(
    slide: Path, image: np.ndarray, tmp_path: Path
) -> None:
    cuts = [0, 1, 300, 301, 900, 1301]
    bands = (image[low:high] for low, high in itertools.pairwise(cuts))
    write_pyramid(tmp_path / "bands.tif", bands, size_wh=(1790, 1301), mpp=0.2513)
    assert (tmp_path / "bands.tif").read_bytes() == slide.read_bytes()


def test_same_pixels_same_bytes(slide: Path, image: np.ndarray, tmp_path: Path) -> None:
    write_pyramid(tmp_path / "again.tif", image, mpp=0.2513)
    assert (tmp_path / "again.tif").read_bytes() == slide.read_bytes()


@pytest.mark.parametrize(
    ("bands", "found"),
    [
        ([np.zeros((10, 31, 3), np.uint8)], "31"),
        ([np.zeros((40, 30, 3), np.float32)], "float32"),
        ([np.zeros((40, 30), np.uint8)], r"\(40, 30\)"),
        ([np.zeros((39, 30, 3), np.uint8)], "39 rows"),
        ([np.zeros((40, 30, 3), np.uint8), np.zeros((5, 30, 3), np.uint8)], "45 rows"),
        ([np.zeros((40, 30, 3), np.uint8)] * 20, "80 rows"),
        ([], "0 rows"),
    ],
)
def test_bands_that_do_not_fit(bands: list[np.ndarray], found: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=found):
        write_pyramid(tmp_path / "a.tif", iter(bands), size_wh=(30, 40), mpp=1.0)
    assert list(tmp_path.iterdir()) == []


def test_bands_need_a_size(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="size_wh"):
        write_pyramid(tmp_path / "a.tif", iter([]), mpp=1.0)


def test_a_place_that_cannot_be_written(image: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"a\.tif"):
        write_pyramid(tmp_path / "file" / "a.tif", image[:64, :64], mpp=1.0)


@pytest.mark.parametrize("side_px", [1, 255, 513])
def test_small_slides_open(side_px: int, tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((side_px, side_px, 3), 200, np.uint8), mpp=0.5, quality=98)
    with openslide.OpenSlide(tmp_path / "a.tif") as opened:
        assert opened.dimensions == (side_px, side_px)
        assert np.abs(pixels(opened, 0) - 200).max() <= 4


def test_memory_is_that_of_a_band_not_of_the_slide(tmp_path: Path) -> None:
    band = np.random.default_rng(0).integers(0, 256, (256, 2048, 3), dtype=np.uint8)
    peaks = []
    for count in (24, 72):
        tracemalloc.start()
        write_pyramid(
            tmp_path / f"{count}.tif", (band for _ in range(count)), mpp=0.5, size_wh=(2048, 256 * count)
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.6 * 48 * band.nbytes
