"""Tests of histonic.slides.formats.openslide: what lies on a larger canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tifffile
from PIL import Image

from histonic.core.errors import UnreadableSlideError
from histonic.core.units import WH
from histonic.slides.base import open_slide
from histonic.slides.formats.openslide import OpenSlideSlide


class Canvas:
    """What OpenSlide shows of a file whose scan covers a part of its canvas: red and green tell the place."""

    level_dimensions = ((200, 120), (100, 60))
    level_downsamples = (1.0, 2.0)

    def __init__(self, **bounds: object) -> None:
        self.properties = {f"openslide.bounds-{name}": str(value) for name, value in bounds.items()}
        self.asked: list[tuple[int, int]] = []
        self.properties |= {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"}

    def read_region(self, corner: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        self.asked.append(size)
        step = int(self.level_downsamples[level])
        pixels = np.full((size[1], size[0], 4), 255, np.uint8)
        pixels[..., 0] = corner[0] + step * np.arange(size[0])[None]
        pixels[..., 1] = corner[1] + step * np.arange(size[1])[:, None]
        return Image.fromarray(pixels, "RGBA")

    def close(self) -> None:
        pass


def opened(**bounds: object) -> OpenSlideSlide:
    return OpenSlideSlide(Path("a.mrxs"), Canvas(**bounds), None, None)


def test_the_slide_is_what_was_scanned() -> None:
    """Level 0 begins at the corner of the scanned part on every level, as it does in QuPath."""
    slide = opened(x=30, y=20, width=100, height=60)
    assert slide.level_whs == (WH(100, 60), WH(50, 30))
    finest = slide.read((4, 6), (3, 2), 0.5)
    assert finest[..., 0].tolist() == [[34, 35, 36]] * 2 and finest[:, 0, 1].tolist() == [26, 27]
    coarse = slide.read((8, 12), (3, 2), 1.0)
    assert coarse[..., 0].tolist() == [[38, 40, 42]] * 2 and coarse[:, 0, 1].tolist() == [32, 34]


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"x": 30, "y": 20, "width": 100},
        {"x": 30, "y": 20, "width": 100, "height": 0},
        {"x": 150, "y": 20, "width": 100, "height": 50},
        {"x": "a", "y": 20, "width": 100, "height": 50},
    ],
)
def test_without_usable_bounds_it_is_the_whole_canvas(bounds: dict[str, object]) -> None:
    slide = opened(**bounds)
    assert slide.level_whs == (WH(200, 120), WH(100, 60))
    assert slide.read((4, 6), (1, 1), 0.5)[0, 0, :2].tolist() == [4, 6]


@pytest.mark.parametrize("mpp", [0.5, 1.0, 2.0, 0.7])
def test_neighbours_are_read_at_once_and_are_what_single_reads_give(mpp: float) -> None:
    side = round(8 * mpp / 0.5)
    xys = [(x * side, y * side) for y in range(3) for x in (0, 1, 2, 5, 6)] + [
        (1, 2),
        (4, 2),
        (3, 2),
        (50, 2),
    ]
    slide = opened()
    with slide:
        found = slide.read_many(xys, (8, 8), mpp)
        reads = len(slide._handle.asked)
    for tile, xy in zip(found, xys, strict=True):
        assert np.array_equal(tile, opened().read(xy, (8, 8), mpp))
    assert reads == (len(xys) if mpp == 0.7 else 3 * 2 + {0.5: 3, 1.0: 4, 2.0: 4}[mpp])


def test_levels_that_are_no_whole_fraction_are_read_tile_by_tile() -> None:
    """OpenSlide shifts each region of such a level by itself."""
    slide = opened()
    slide._handle.level_downsamples = (1.0, 2.001)
    xys = [(0, 0), (16, 0), (32, 0)]
    slide.read_many(xys, (8, 8), 1.0)
    assert slide._handle.asked == [(8, 8)] * 3


def test_a_region_of_neighbours_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("histonic.slides.formats.openslide.MOST_RUN_PIXELS", 8 * 8 * 2)
    slide = opened()
    slide.read_many([(8 * col, 0) for col in range(5)], (8, 8), 0.5)
    assert sorted(slide._handle.asked) == [(8, 8), (16, 8), (16, 8)]


def test_an_error_of_one_region_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import openslide

    slide = opened()

    def fail(*_: object) -> None:
        raise openslide.OpenSlideError("damaged")

    monkeypatch.setattr(slide._handle, "read_region", fail)
    with pytest.raises(UnreadableSlideError, match="damaged"):
        slide.read_many([(0, 0), (50, 50), (100, 0)], (8, 8), 0.5)


def test_tiles_that_are_large_by_their_header_alone_do_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((256, 256, 3), np.uint8), tile=(128, 128), photometric="rgb", metadata=None
    )
    with tifffile.TiffFile(path) as tiff:
        places = [tiff.pages[0].tags[name].valueoffset for name in ("TileWidth", "TileLength")]
    data = bytearray(path.read_bytes())
    for at in places:
        data[at : at + 4] = (65_520).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableSlideError, match="cannot come from"):
        open_slide(path, reader="openslide")


def test_dicom_that_says_rgb_of_luma_is_refused(tmp_path: Path) -> None:
    from fixtures.dicom import tissue, write_level

    def luma(tile: np.ndarray) -> bytes:
        return simplejpeg.encode_jpeg(tile, colorspace="RGB")

    jpeg = {"encode": luma, "syntax": "1.2.840.10008.1.2.4.50"}
    told, *_ = write_level(tmp_path / "a" / "a.dcm", tissue(), **jpeg)
    right, *_ = write_level(
        tmp_path / "b" / "b.dcm", tissue(), PhotometricInterpretation="YBR_FULL_422", **jpeg
    )
    with pytest.raises(UnreadableSlideError, match="colours would be false"):
        open_slide(told, reader="openslide")
    with open_slide(right, reader="openslide") as slide:
        assert np.abs(slide.read((0, 0), (420, 300), 0.5).astype(int) - tissue()).mean() < 9
