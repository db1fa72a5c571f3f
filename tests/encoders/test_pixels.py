"""Pixels stay pixels, at the resolution that is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from histonic import compress
from histonic.core.errors import EncoderError
from histonic.data.maps.store import Store
from histonic.encoders.base import encoder_spec, load_encoder
from histonic.encoders.pixels import PixelsEncoder
from histonic.slides.formats.pyramid import write_pyramid
from histonic.testing import EncoderContract


class TestPixels(EncoderContract):
    def make(self) -> PixelsEncoder:
        return PixelsEncoder.create("cpu", "32")


class TestPixelsAtFour(EncoderContract):
    def make(self) -> PixelsEncoder:
        return load_encoder("pixels:4")


def test_codes_are_the_bytes() -> None:
    tiles = np.arange(256 * 3, dtype=np.uint8).reshape(256, 1, 1, 3)
    codes = load_encoder("pixels").encode(tiles)
    assert np.array_equal(codes, tiles[:, 0, 0]) and np.array_equal(codes.astype(np.float16), codes)


def test_the_resolution_is_part_of_name_and_fingerprint() -> None:
    assert (encoder_spec("pixels").mpp, encoder_spec("pixels:0.5").mpp) == (2.0, 0.5)
    assert len({load_encoder(name).fingerprint for name in ("pixels", "pixels:4", "pixels:1")}) == 3


@pytest.mark.parametrize("argument", ["", "4um", "-1", "0", "nan", "inf"])
def test_what_is_no_resolution_is_refused(argument: str) -> None:
    with pytest.raises(EncoderError, match="pixels:4"):
        load_encoder(f"pixels:{argument}")


def test_a_store_of_pixels_holds_the_slide(tmp_path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(90, 180, (300, 420, 3), dtype=np.uint8)
    image[:40] = 255
    write_pyramid(tmp_path / "a.tif", image, mpp=1.0, quality=None)
    compress(slides=[tmp_path / "a.tif"], encoder="pixels", out=tmp_path / "store")
    found = Store.open(tmp_path / "store").map("a")
    assert found.features.shape == (3, 150, 210) and found.mask.sum() > 0.7 * found.mask.size
    means = image.reshape(150, 2, 210, 2, 3).mean((1, 3))
    codes = np.moveaxis(np.asarray(found.features[:]), 0, -1)
    assert np.abs(codes - means)[found.mask].max() <= 0.5
    assert not codes[~found.mask].any()
