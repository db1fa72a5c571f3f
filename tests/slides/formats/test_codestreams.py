"""Sizes in the headers of compressed pictures are those that their encoders were given."""

from __future__ import annotations

import contextlib

import imagecodecs
import numpy as np
import pytest

from histonic.slides.formats.codestreams import stored_size

GREY = np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_headers_say_size_channels_and_bits(pixels: np.ndarray) -> None:
    wanted = (53, 37, 1 if pixels.ndim == 2 else 3, 8)
    assert stored_size(imagecodecs.jpeg_encode(pixels), 7) == wanted
    assert stored_size(imagecodecs.jpeg_encode(pixels, level=50, optimize=True), 7) == wanted
    for form in ("j2k", "jp2"):
        assert stored_size(imagecodecs.jpeg2k_encode(pixels, codecformat=form), 33005) == wanted
    assert stored_size(imagecodecs.png_encode(pixels), 34933) == wanted


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
def test_webp(lossless: bool, channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (37, 53, channels), dtype=np.uint8)
    found = stored_size(imagecodecs.webp_encode(pixels, level=80, lossless=lossless), 50001)
    assert found is not None and found[:2] == (53, 37)


def test_sixteen_bits() -> None:
    assert stored_size(imagecodecs.jpeg2k_encode(COLOUR.astype(np.uint16)), 34712) == (53, 37, 3, 16)


@pytest.mark.parametrize("compression", [7, 33003, 33005, 50001, 34933])
def test_what_is_no_such_picture_is_a_value_error(compression: int) -> None:
    codes = {7: imagecodecs.jpeg_encode, 50001: imagecodecs.webp_encode, 34933: imagecodecs.png_encode}
    whole = bytes(codes.get(compression, imagecodecs.jpeg2k_encode)(COLOUR))
    rng = np.random.default_rng(2)
    for data in (b"", bytes(200), b"\xff\xd8" + b"\xff" * 50, *(whole[:end] for end in range(0, 24, 3))):
        with pytest.raises(ValueError, match=r"header|picture"):
            stored_size(data, compression)
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 60), 3):
            damaged[at] = int(rng.integers(0, 256))
        with contextlib.suppress(ValueError):
            stored_size(bytes(damaged), compression)


def test_compressions_without_a_header_say_nothing() -> None:
    assert stored_size(b"any", 1) is None and stored_size(b"any", 8) is None
