"""Image files of every kind read as RGB bytes, and damaged ones refused with one kind of error."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from histonic.data.tilesets import images
from histonic.data.tilesets.images import pixel_hash, read_image, turned_hash


def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (6, 5, 3)).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_lossless_images_come_back_bit_by_bit(ending: str, tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / f"a.{ending}")
    assert np.array_equal(read_image(tmp_path / f"a.{ending}"), colours())


def test_grey_becomes_colour(tmp_path: Path) -> None:
    Image.fromarray(colours()[..., 0]).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), np.repeat(colours()[..., :1], 3, axis=2))


def test_palette_colours_are_looked_up(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_what_shines_through_is_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(100, 0, 50, 255), (100, 0, 50, 0), (100, 0, 50, 51)])
    image.save(tmp_path / "a.png")
    # A fifth of the colour over four fifths of white.
    assert read_image(tmp_path / "a.png").tolist() == [[[100, 0, 50], [255, 255, 255], [224, 204, 214]]]


def test_images_of_16_bits_are_refused_in_grey_and_in_colour(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "grey.png")
    # Pillow writes no colours of 16 bits, but reads them as if they had 8.
    rows = b"".join(b"\0" + bytes(range(12)) for _ in range(2))
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    blocks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in blocks
    ]
    (tmp_path / "colour.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    for name in ("grey.png", "colour.png"):
        with pytest.raises(ValueError, match="more than 8 bits a channel"):
            read_image(tmp_path / name)


def test_absent_and_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match="no such file"):
        read_image(tmp_path / "b.png")
    with pytest.raises(ValueError, match="cannot identify"):
        read_image(tmp_path / "a.png")


def test_hashes_tell_copies_from_turned_ones_and_from_others() -> None:
    tile, turned, mirrored = colours(), np.rot90(colours()), colours()[:, ::-1]
    other = colours()
    other[2, 2, 1] ^= 1
    assert (
        pixel_hash(tile) == pixel_hash(tile.copy()) and len(pixel_hash(tile)) == len(turned_hash(tile)) == 24
    )
    assert len({pixel_hash(each) for each in (tile, turned, mirrored, other)}) == 4
    assert turned_hash(tile) == turned_hash(turned) == turned_hash(mirrored) != turned_hash(other)
    assert pixel_hash(np.zeros((4, 9, 3), np.uint8)) != pixel_hash(np.zeros((6, 6, 3), np.uint8))


@given(
    tile=arrays(
        np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)), elements=st.integers(0, 1)
    ),
    turns=st.integers(0, 3),
    mirrored=st.booleans(),
    other=st.data(),
)
def test_the_turned_hash_is_of_the_eight_orientations_and_of_nothing_else(
    tile: np.ndarray, turns: int, mirrored: bool, other: st.DataObject
) -> None:
    eight = [np.rot90(each, turn) for each in (tile, tile[:, ::-1]) for turn in range(4)]
    assert turned_hash(eight[turns + 4 * mirrored]) == turned_hash(tile)
    # As many pixels of each colour, elsewhere.
    order = other.draw(st.permutations(range(tile.shape[0] * tile.shape[1])))
    shuffled = tile.reshape(-1, 3)[np.array(order)].reshape(tile.shape)
    same = any(each.shape == tile.shape and np.array_equal(each, shuffled) for each in eight)
    assert (turned_hash(shuffled) == turned_hash(tile)) == same


class Counted(np.ndarray):
    copied = 0

    def tobytes(self, *args: Any) -> bytes:
        Counted.copied += self.nbytes
        return super().tobytes(*args)


@pytest.mark.parametrize("inner", [0, 40], ids=["blank", "margin"])
def test_tiles_with_a_margin_are_not_copied_eight_times(inner: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(tile: np.ndarray) -> list[np.ndarray]:
        return [each.view(Counted) for each in orientations(tile)]

    orientations = images._orientations
    monkeypatch.setattr(images, "_orientations", counted)
    monkeypatch.setattr(Counted, "copied", 0)
    tile = np.full((64, 64, 3), 255, np.uint8)
    tile[12 : 12 + inner, 12 : 12 + inner] = np.random.default_rng(0).integers(0, 9, (inner, inner, 3))
    turned_hash(tile)
    assert tile.nbytes <= Counted.copied < 5 * tile.nbytes


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.sampled_from(["png", "jpeg", "tiff", "bmp", "webp"]),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=6),
    length=st.integers(20, 2000),
)
def test_damage_is_a_value_error_or_unseen(
    ending: str, changes: list[tuple[int, int]], length: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(colours()).save(path)
    data = bytearray(path.read_bytes()[:length])
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(bytes(data))
    try:
        found = read_image(path)
    except ValueError as error:
        assert str(error)
    else:
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
