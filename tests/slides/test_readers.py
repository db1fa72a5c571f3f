"""Every reader keeps the contract; the tiff reader equals OpenSlide to the last bit."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import openslide as openslide_library
import pytest
import tifffile

from histonic.core.errors import MissingMppError, UnreadableSlideError
from histonic.slides.base import Slide, open_slide
from histonic.slides.formats.array import ArraySlide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.formats.tiff import TiffSlide
from histonic.testing.contracts import SlideContract

RESOLUTION = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}


def picture(height: int = 700, width: int = 900) -> np.ndarray:
    """Smooth colours with noise: neighbouring pixels differ, as in tissue."""
    rng = np.random.default_rng(3)
    rows, cols = np.mgrid[:height, :width]
    smooth = np.stack([rows / 3 % 256, cols / 2 % 256, (rows + cols) / 5 % 256], axis=2)
    return np.clip(smooth + rng.integers(-12, 12, smooth.shape), 0, 255).astype(np.uint8)


def write(path: Path, **options: object) -> Path:
    base = {"tile": (240, 240), "photometric": "rgb", "metadata": None, **RESOLUTION}
    tifffile.imwrite(path, picture(), **{**base, **options})
    return path


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pyramid") / "p.tif"
    write_pyramid(path, picture(2304, 3072), mpp=0.5)
    return path


class TestTiffContract(SlideContract):
    @pytest.fixture(autouse=True)
    def _file(self, pyramid: Path) -> None:
        self.path = pyramid

    def make(self) -> Slide:
        return open_slide(self.path, reader="tiff")


class TestOpenSlideContract(SlideContract):
    @pytest.fixture(autouse=True)
    def _file(self, pyramid: Path) -> None:
        self.path = pyramid

    def make(self) -> Slide:
        return open_slide(self.path, reader="openslide")


def library_pixels(path: Path, xy: tuple[int, int], wh: tuple[int, int]) -> np.ndarray:
    """OpenSlide's own level-0 pixels, composited on white."""
    with openslide_library.OpenSlide(path) as slide:
        region = np.asarray(slide.read_region(xy, 0, wh)).astype(int)
    alpha = region[..., 3:]
    return (region[..., :3] * alpha + 255 * (255 - alpha)) // 255


REGIONS = [((0, 0), (300, 200)), ((101, 53), (257, 311)), ((-31, -17), (90, 70)), ((-5, 600), (1000, 200))]


def require_equal(path: Path) -> None:
    with open_slide(path, reader="tiff", default_mpp=0.5) as slide:
        corner = (slide.size_wh.w - 77, slide.size_wh.h - 33)
        for xy, wh in [*REGIONS, (corner, (160, 120)), ((slide.size_wh.w + 9, 0), (20, 20))]:
            assert np.array_equal(slide.read(xy, wh, slide.mpp), library_pixels(path, xy, wh)), (xy, wh)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "jpeg", "subsampling": (2, 2)},
        {"compression": "jpeg", "subsampling": (1, 1)},
        {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}},
        {"compression": "deflate"},
        {"compression": "lzw", "predictor": True},
        {"compression": None, "tile": (256, 256)},
        {"compression": "deflate", "bigtiff": True},
        {"compression": "jpeg", "tile": (256, 128)},
    ],
    ids=str,
)
def test_native_pixels_equal_openslide(tmp_path: Path, options: dict[str, object]) -> None:
    require_equal(write(tmp_path / "a.tif", **options))


def test_pyramid_equals_openslide_on_every_level(pyramid: Path) -> None:
    require_equal(pyramid)
    with open_slide(pyramid, reader="tiff") as ours, open_slide(pyramid, reader="openslide") as theirs:
        assert ours.native_mpps() == pytest.approx(theirs.native_mpps())
        assert len(ours.native_mpps()) == 3
        # Level positions that fall on whole pixels of both.
        for mpp in ours.native_mpps():
            xy = (round(mpp / 0.5) * 16, round(mpp / 0.5) * 8)
            assert np.array_equal(ours.read(xy, (64, 48), mpp), theirs.read(xy, (64, 48), mpp))


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"])
def test_real_svs_equals_openslide(data_dir: Path, name: str) -> None:
    require_equal(data_dir / "slides" / name)


def test_svs_takes_its_mpp_from_the_header(data_dir: Path) -> None:
    with open_slide(data_dir / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert slide.mpp == 0.499 and "Aperio" in slide.mpp_source and slide.reader == "tiff"
        assert len(slide.native_mpps()) == 1  # label, macro and thumbnail are no levels


def test_svs_without_mpp_says_how_to_go_on(data_dir: Path) -> None:
    path = data_dir / "slides" / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path) as slide:
        assert not slide.has_mpp and slide.mpp_source == "missing"
        with pytest.raises(MissingMppError, match=r"--mpp 0\.5"):
            slide.read((0, 0), (10, 10), 0.5)
    with open_slide(path, default_mpp=0.5) as slide:
        assert slide.mpp == 0.5 and slide.mpp_source == "given"
        assert slide.native_mpps()[1] == pytest.approx(1.0, rel=1e-3)


def test_header_default_and_override(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    with open_slide(path, default_mpp=0.9) as slide:
        assert slide.mpp == pytest.approx(0.5) and slide.mpp_source == "header: TIFF resolution"
    with open_slide(path, mpp=0.9) as slide:
        assert slide.mpp == 0.9 and slide.mpp_source == "given; header says 0.5"


@pytest.mark.parametrize(
    ("resolution", "unit", "wanted"),
    [
        ((20_000, 20_000), "CENTIMETER", 0.5),
        ((50_800, 50_800), "INCH", 0.5),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((20_000, 10_000), "CENTIMETER", None),
        ((20_000, 20_000), "NONE", None),
    ],
)
def test_resolution_tags(
    tmp_path: Path, resolution: tuple[int, int], unit: str, wanted: float | None
) -> None:
    path = write(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit)
    with open_slide(path, reader="tiff") as slide:
        assert (slide.mpp if slide.has_mpp else None) == (wanted and pytest.approx(wanted))


def test_ome_tiff_pyramid_with_sub_ifds(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = picture()
    with tifffile.TiffWriter(path) as writer:
        facts = {"axes": "YXS", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
        options = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate"}
        writer.write(pixels, subifds=1, metadata=facts, **options)
        writer.write(pixels[::2, ::2].copy(), subfiletype=1, metadata=None, **options)
    with open_slide(path) as slide:
        assert slide.name == "a" and slide.reader == "tiff"
        assert slide.mpp == pytest.approx(0.25) and "OME" in slide.mpp_source
        assert slide.native_mpps() == pytest.approx((0.25, 0.5))
        assert np.array_equal(slide.read((3, 5), (200, 100), 0.25), pixels[5:105, 3:203])
        assert np.array_equal(slide.read((6, 10), (50, 40), 0.5), pixels[10:90:2, 6:106:2])


@pytest.mark.parametrize("kind", ["strips", "planar", "grey", "rgba", "grey-strips"])
def test_other_storages_become_rgb(tmp_path: Path, kind: str) -> None:
    pixels, path = picture(), tmp_path / "a.tif"
    base = {"metadata": None, **RESOLUTION}
    if kind == "strips":
        tifffile.imwrite(path, pixels, photometric="rgb", rowsperstrip=50, **base)
        wanted = pixels
    elif kind == "planar":
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=(128, 128), **base)
        wanted = pixels
    elif kind == "rgba":
        alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        alpha[:300] = 0
        stacked = np.concatenate([pixels, alpha], axis=2)
        tifffile.imwrite(
            path, stacked, photometric="rgb", extrasamples=["unassalpha"], tile=(128, 128), **base
        )
        wanted = np.where(alpha == 0, 255, pixels)
    else:
        grey = pixels[..., 0].copy()
        tiles = {"tile": (128, 128)} if kind == "grey" else {"rowsperstrip": 64}
        tifffile.imwrite(path, grey, photometric="minisblack", **tiles, **base)
        wanted = np.repeat(grey[..., None], 3, axis=2)
    with open_slide(path, reader="tiff") as slide:
        assert np.array_equal(slide.read((7, 9), (600, 500), 0.5), wanted[9:509, 7:607])


def test_every_stored_tile_is_decoded_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", compression="jpeg")
    with TiffSlide.open(path) as slide:
        xys = [(x, y) for y in range(0, 700, 128) for x in range(0, 900, 128)]
        for start in range(0, len(xys), 5):
            slide.read_many(xys[start : start + 5], (128, 128), 0.5)
        assert slide.cache.decoded == 3 * 4


def test_a_small_cache_changes_no_pixel(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", compression="jpeg")
    xys = [(x, y) for y in range(0, 700, 128) for x in range(0, 900, 128)]
    with TiffSlide.open(path) as wide, TiffSlide.open(path, cache_bytes=1) as narrow:
        assert np.array_equal(wide.read_many(xys, (128, 128), 0.5), narrow.read_many(xys, (128, 128), 0.5))
        assert narrow.cache.decoded > wide.cache.decoded


def test_large_regions_are_read_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    from histonic.slides import base

    slide = ArraySlide(picture(), mpp=0.5)
    for mpp in (0.5, 2.0, 3.1):
        wh = (int(900 * 0.5 / mpp), int(700 * 0.5 / mpp))
        monkeypatch.setattr(base, "BAND_PIXELS", 10**9)
        whole = slide.read((0, 0), wh, mpp)
        monkeypatch.setattr(base, "BAND_PIXELS", 5_000)
        assert np.array_equal(slide.read((0, 0), wh, mpp), whole)


def refused(path: Path, words: str) -> None:
    with pytest.raises(UnreadableSlideError, match=words) as caught:
        open_slide(path)
    assert path.name in str(caught.value)


def test_files_that_are_no_slides(tmp_path: Path) -> None:
    refused(tmp_path / "absent.svs", "no such file")
    refused(tmp_path, "folder")
    (tmp_path / "empty.svs").touch()
    refused(tmp_path / "empty.svs", "empty")
    (tmp_path / "text.svs").write_text("This is no slide.")
    refused(tmp_path / "text.svs", r"tiff: .*openslide: ")


def test_truncated_files_say_so(tmp_path: Path, data_dir: Path) -> None:
    whole = write(tmp_path / "a.tif", compression="jpeg").read_bytes()
    (tmp_path / "torn.tif").write_bytes(whole[: len(whole) - 5000])
    refused(tmp_path / "torn.tif", "truncated")
    svs = (data_dir / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "torn.svs").write_bytes(svs[: int(share * len(svs))])
        with pytest.raises(UnreadableSlideError):
            open_slide(tmp_path / "torn.svs")


def test_damaged_pixels_name_the_tile(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[1], tiff.pages[0].databytecounts[1]
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + count] = bytes(count)
    path.write_bytes(bytes(damaged))
    with open_slide(path, reader="tiff") as slide, pytest.raises(UnreadableSlideError, match="tile 1"):
        slide.read((0, 0), (600, 100), 0.5)


def test_sixteen_bits_of_which_few_are_used_are_refused_by_all_readers(tmp_path: Path) -> None:
    # OpenSlide would take the upper eight bits, and show black.
    tifffile.imwrite(tmp_path / "a.tif", picture().astype(np.uint16) * 16, photometric="rgb", tile=(128, 128))
    refused(tmp_path / "a.tif", "16 bits, but none is above 4,")


def test_a_tiff_with_another_readers_extension_is_read_by_the_tiff_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "a.scn")
    with open_slide(path) as slide:
        assert slide.reader == "tiff"


def test_a_reader_says_why_the_first_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from histonic.slides.base import NotMine
    from histonic.slides.formats import tiff as tiff_module

    def left(*_: object) -> None:
        raise NotMine("it is left to others")

    path = write(tmp_path / "a.tif")
    monkeypatch.setattr(tiff_module, "find_levels", left)
    with open_slide(path) as slide:
        assert slide.reader == "openslide" and slide.note == "tiff: it is left to others"


def test_dicom_that_openslide_refuses(data_dir: Path) -> None:
    with pytest.raises(UnreadableSlideError, match="openslide: "):
        open_slide(data_dir / "slides" / "small_wsi.dcm", reader="openslide")


def test_missing_tiles_are_white(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiles = iter([b"", zlib.compress(bytes([9]) * 128 * 128 * 3)])
    options = {"photometric": "rgb", "metadata": None, "compression": "deflate", **RESOLUTION}
    tifffile.imwrite(path, tiles, shape=(128, 256, 3), dtype=np.uint8, tile=(128, 128), **options)
    with open_slide(path, reader="tiff") as slide:
        pixels = slide.read((0, 0), (256, 128), 0.5)
    assert (pixels[:, :128] == 255).all() and (pixels[:, 128:] == 9).all()
