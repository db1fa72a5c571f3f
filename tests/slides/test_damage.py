"""What checksums tell is told, and memory follows what is stored."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.slides.damage import can_come_from, require_whole_png


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", dpi=(72, 72))
    return tmp_path / "a.png"


def test_a_whole_png_and_other_formats_are_left_alone(picture: Path, tmp_path: Path) -> None:
    require_whole_png(picture)
    picture.write_bytes(picture.read_bytes() + b"what a tool wrote behind it")
    require_whole_png(picture)
    Image.open(picture).convert("RGB").save(tmp_path / "a.jpg")
    require_whole_png(tmp_path / "a.jpg")


def test_a_flipped_bit_in_the_pixels_is_refused_and_elsewhere_it_is_not(picture: Path) -> None:
    content = picture.read_bytes()
    place = content.index(b"IDAT") + 40
    picture.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(ValueError, match="IDAT"):
        require_whole_png(picture)
    place = content.index(b"pHYs") + 5
    picture.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    require_whole_png(picture)


@pytest.mark.parametrize("cut", [1, 12, 300])
def test_a_png_that_is_cut_off_is_refused(picture: Path, cut: int) -> None:
    picture.write_bytes(picture.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="cut off"):
        require_whole_png(picture)


def test_zlib_is_the_bound(tmp_path: Path) -> None:
    packed = len(zlib.compress(bytes(100_000_000), 9))
    assert can_come_from(100_000_000, packed) and not can_come_from(200_000_000, packed)
