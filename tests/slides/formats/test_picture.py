"""Pictures as slides: pixels as Pillow shows them, turned as the camera says, and what is refused."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import MissingMppError, UnreadableSlideError
from histonic.slides.base import open_slide
from histonic.slides.formats.picture import PictureSlide
from histonic.slides.tissue.finder import find_tissue
from histonic.slides.tissue.rule import TissueRule


def field(seed: int = 0, height: int = 300, width: int = 420) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 230, (height // 10, width // 10, 3), dtype=np.uint8)
    return np.kron(small, np.ones((10, 10, 1), np.uint8))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a"])
def test_pixels_are_those_of_the_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(field()).save(path, format="PNG" if name in ("a.png", "a") else "JPEG", quality=90)
    expected = np.asarray(Image.open(path))
    with open_slide(path, mpp=0.5) as slide:
        assert isinstance(slide, PictureSlide) and slide.note == ""
        assert slide.size_wh == (420, 300) and slide.native_mpps() == (0.5,)
        assert np.array_equal(slide.read((0, 0), (420, 300), 0.5), expected)
        assert np.array_equal(slide.read((37, 11), (64, 48), 0.5), expected[11:59, 37:101])
        # White outside, averaged where coarser.
        assert (slide.read((400, 290), (64, 64), 0.5)[10:] == 255).all()
        half = expected[:300, :420].reshape(150, 2, 210, 2, 3).mean((1, 3))
        assert np.abs(slide.read((0, 0), (210, 150), 1.0) - half).max() <= 1


def test_the_resolution_is_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(field()).save(path, dpi=(25_400, 25_400))
    with open_slide(path) as slide:
        assert not slide.has_mpp
        with pytest.raises(MissingMppError, match="dots per inch"):
            slide.read((0, 0), (8, 8), 0.5)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_camera_s_turn_is_respected(tmp_path: Path, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "a.png"
    Image.fromarray(field()).save(path, exif=exif)
    shown = field()
    shown = {
        1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1], 5: shown.transpose(1, 0, 2),
        6: shown.transpose(1, 0, 2)[:, ::-1], 7: shown.transpose(1, 0, 2)[::-1, ::-1],
        8: shown.transpose(1, 0, 2)[::-1],
    }[turn]  # fmt: skip
    with open_slide(path, mpp=0.5) as slide:
        assert slide.size_wh == (shown.shape[1], shown.shape[0])
        assert np.array_equal(slide.read((0, 0), tuple(slide.size_wh), 0.5), shown)


@pytest.mark.parametrize("name", ["a.jpg", "a.mpo", "cut.jpg", "odd.jpg"])
def test_of_several_pictures_behind_a_jpg_the_first_is_shown(tmp_path: Path, name: str) -> None:
    """As phones and cameras write them: a second view, or a map of brightness, after the picture."""
    first, second = Image.fromarray(field()), Image.fromarray(field(1, 200, 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    first.save(tmp_path / name, format="MPO", save_all=True, append_images=[second], quality=90, exif=exif)
    first.save(tmp_path / "first.jpg", quality=90)
    stored = (tmp_path / name).read_bytes()
    if name == "cut.jpg":  # in the middle of the second picture
        (tmp_path / name).write_bytes(stored[: -len(stored) // 8])
    if name == "odd.jpg":  # an index of pictures that cannot be read
        (tmp_path / name).write_bytes(stored.replace(b"MPF\0II*\0", b"MPF\0II*\x07"))
    expected = np.asarray(Image.open(tmp_path / "first.jpg").rotate(-90, expand=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_slide(tmp_path / name, mpp=0.5) as slide:
            assert slide.size_wh == (300, 420) and slide.storage == "JPEG" and slide.reader == "picture"
            assert np.array_equal(slide.read((0, 0), (300, 420), 0.5), expected)
            assert ("1 more picture(s)" in slide.note) == (name != "odd.jpg")


def test_greys_palettes_and_transparency(tmp_path: Path) -> None:
    grey = Image.fromarray(field()[..., 0])
    clear = Image.fromarray(np.dstack([field(), np.full((300, 420), 0, np.uint8)]))
    for image, expected in (
        (grey, np.repeat(field()[..., :1], 3, axis=2)),
        (grey.convert("P"), np.repeat(field()[..., :1], 3, axis=2)),
        (clear, np.full((300, 420, 3), 255)),
    ):
        image.save(tmp_path / "a.png")
        with open_slide(tmp_path / "a.png", mpp=0.5) as slide:
            assert np.array_equal(slide.read((0, 0), (420, 300), 0.5), expected)


def test_other_colours_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(field()).convert("CMYK").save(tmp_path / "a.jpg")
    Image.fromarray(field()[..., 0].astype(np.uint16) * 200).save(tmp_path / "b.png")
    for name, kind in (("a.jpg", "CMYK"), ("b.png", "I;16")):
        with pytest.raises(UnreadableSlideError, match=f"of the kind {kind}"):
            open_slide(tmp_path / name, mpp=0.5)


def test_damaged_pictures_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        path = tmp_path / name
        Image.fromarray(field()).save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UnreadableSlideError, match="damaged"), open_slide(path, mpp=0.5) as slide:
            slide.read((0, 0), (420, 300), 0.5)
    Image.fromarray(field()).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(bytes(data))
    with (
        pytest.raises(UnreadableSlideError, match="damaged"),
        open_slide(tmp_path / "a.png", mpp=1) as slide,
    ):
        slide.read((0, 0), (9, 9), 1.0)


@pytest.mark.parametrize("side", [13_000, 16_000, 60_000])
def test_a_header_that_claims_any_size_is_refused_unread(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(field()).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">2I", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(bytes(data))
    words = "cannot come from" if side < 13_342 else "decoded as a whole"
    with pytest.raises(UnreadableSlideError, match=words):
        open_slide(path, mpp=0.5)


def test_all_of_a_field_can_be_tissue(tmp_path: Path) -> None:
    Image.fromarray(np.full((300, 420, 3), 240, np.uint8)).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", mpp=0.5) as slide:
        assert not find_tissue(slide).mask.any()
        assert find_tissue(slide, TissueRule(everything=True)).mask.all()
        assert find_tissue(slide, TissueRule(everything=True)).mask.shape == find_tissue(slide).mask.shape


def test_real_fields_have_the_pixels_that_pillow_shows(data_dir: Path) -> None:
    files = sorted((data_dir / "fields" / "glioblastoma").glob("*.jpg"))[:3]
    for path in files:
        with open_slide(path, mpp=0.5) as slide:
            assert np.array_equal(slide.read((0, 0), tuple(slide.size_wh), 0.5), np.asarray(Image.open(path)))
