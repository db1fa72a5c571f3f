"""Samples of every kind that TIFF allows become RGB as the standard says, or are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import open_slide

RNG = np.random.default_rng(6)
PIXELS = RNG.integers(0, 256, (150, 200, 3), dtype=np.uint8)
GREY = PIXELS[..., 0].copy()
ALPHA = RNG.integers(0, 256, (150, 200, 1), dtype=np.uint8)
ON_WHITE = np.floor((PIXELS * (ALPHA / 255.0)) + 255 * (1 - ALPHA / 255.0) + 0.5)


def read(path: Path, pixels: np.ndarray, **options: object) -> np.ndarray:
    base = {"tile": (64, 64), "metadata": None, "photometric": "rgb"}
    tifffile.imwrite(path, pixels, **{**base, **options})
    with open_slide(path, mpp=0.5) as slide:
        assert slide.reader == "tiff"
        return slide.read((0, 0), (200, 150), 0.5)


def refused(path: Path, words: str, pixels: np.ndarray, **options: object) -> None:
    with pytest.raises(UnreadableSlideError, match=words) as caught:
        read(path, pixels, **options)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_sixteen_bits_become_eight(
    tmp_path: Path, planes: str, compression: str | None, byteorder: str
) -> None:
    values = RNG.integers(0, 65536, (150, 200, 3), dtype=np.uint16)
    stored = values if planes == "contig" else np.ascontiguousarray(values.transpose(2, 0, 1))
    found = read(
        tmp_path / "a.tif",
        stored,
        planarconfig=planes,
        compression=compression,
        predictor=compression is not None,
        byteorder=byteorder,
    )
    assert np.array_equal(found, np.floor(values / 257 + 0.5))


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
@pytest.mark.parametrize("inverted", [False, True])
def test_grey_of_other_depths(tmp_path: Path, bits: int, inverted: bool) -> None:
    values = RNG.integers(0, 2**bits, (150, 200), dtype=np.uint16)
    kind = bool if bits == 1 else np.uint8 if bits < 8 else np.uint16
    found = read(
        tmp_path / "a.tif",
        values.astype(kind),
        photometric="miniswhite" if inverted else "minisblack",
        bitspersample=bits,
    )
    eight = np.floor(values * (255 / (2**bits - 1)) + 0.5)
    assert np.array_equal(found, np.repeat((255 - eight if inverted else eight)[..., None], 3, axis=2))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_alpha_that_the_colours_do_not_contain(tmp_path: Path, deep: bool, planes: str) -> None:
    stored = np.concatenate([PIXELS, ALPHA], axis=2)
    stored = stored.astype(np.uint16) * 257 if deep else stored
    if planes == "separate":
        stored = np.ascontiguousarray(stored.transpose(2, 0, 1))
    found = read(tmp_path / "a.tif", stored, extrasamples=["unassalpha"], planarconfig=planes)
    assert np.array_equal(found, ON_WHITE)


def test_alpha_that_the_colours_contain(tmp_path: Path) -> None:
    multiplied = np.round(PIXELS * (ALPHA / 255.0)).astype(np.uint8)
    stored = np.concatenate([multiplied, ALPHA], axis=2)
    found = read(tmp_path / "a.tif", stored, extrasamples=["assocalpha"])
    assert np.array_equal(found, multiplied.astype(int) + 255 - ALPHA)


def test_a_further_channel_of_no_meaning_is_left_out(tmp_path: Path) -> None:
    stored = np.concatenate([PIXELS, ALPHA], axis=2)
    assert np.array_equal(read(tmp_path / "a.tif", stored, extrasamples=["unspecified"]), PIXELS)


def test_grey_with_alpha(tmp_path: Path) -> None:
    stored = np.concatenate([GREY[..., None], ALPHA], axis=2)
    options = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": "contig"}
    found = read(tmp_path / "a.tif", stored, **options)
    assert np.array_equal(found, np.repeat(ON_WHITE[..., :1], 3, axis=2))


@pytest.mark.parametrize("unit", [257, 1])
def test_palettes_of_16_bits_and_of_the_8_that_some_write(tmp_path: Path, unit: int) -> None:
    colours = RNG.integers(0, 256, (3, 256)).astype(np.uint16)
    found = read(tmp_path / "a.tif", GREY, photometric="palette", colormap=colours * unit)
    assert np.array_equal(found, colours.T[GREY])


@pytest.mark.parametrize(
    ("words", "pixels", "options"),
    [
        ("float32", (PIXELS / 255).astype(np.float32), {}),
        ("uint32 of 32 bits", PIXELS.astype(np.uint32), {}),
        ("int8", PIXELS.view(np.int8), {}),
        ("CMYK", np.concatenate([PIXELS, ALPHA], axis=2), {"photometric": "separated"}),
        ("L\\*a\\*b\\*", PIXELS, {"photometric": "cielab"}),
        ("YCbCr", PIXELS, {"photometric": "ycbcr"}),
        ("3 channels and does not say", PIXELS, {"photometric": "minisblack", "planarconfig": "contig"}),
        ("3 grey pictures", PIXELS.transpose(2, 0, 1).copy(), {"photometric": "minisblack"}),
        ("12 of|above 4,", PIXELS.astype(np.uint16) * 16, {}),
        ("orientation 6", PIXELS, {"extratags": [(274, "H", 1, 6, True)]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_shown_wrong_is_refused_by_name(
    tmp_path: Path, words: str, pixels: np.ndarray, options: dict[str, object]
) -> None:
    refused(tmp_path / "a.tif", words, pixels, **options)
