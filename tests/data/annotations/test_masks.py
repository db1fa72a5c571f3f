"""Masks of class codes: kinds of files, pyramids, and pictures that are no codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from histonic.core.errors import MaskError
from histonic.data.annotations.masks import read_code_mask
from histonic.data.annotations.shapes import CodeMask

CODES = np.array([[0, 1, 1], [2, 2, 7]], np.uint8)


def codes_of(file: Path, **options: int) -> CodeMask:
    mask = read_code_mask(file, f"Read {file.name}.", **options).mask
    assert mask is not None
    return mask


def palette() -> Image.Image:
    image = Image.fromarray(CODES, "P")
    image.putpalette([200, 10, 10] * 256)
    return image


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(CODES),
        Image.fromarray(CODES.astype(np.uint16)),
        palette(),
        Image.fromarray(np.repeat(CODES[..., None], 3, 2)),
        Image.fromarray(np.dstack([CODES, np.full_like(CODES, 255)]), "LA"),
    ],
    ids=["grey", "16 bit", "palette", "equal colours", "opaque"],
)
def test_kinds_of_png(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "m.png")
    mask = codes_of(tmp_path / "m.png")
    assert np.array_equal(mask.codes, CODES) and mask.codes.dtype == np.uint8
    assert mask.labels == {0: "0", 1: "1", 2: "2", 7: "7"}


def test_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(CODES > 1).save(tmp_path / "m.png")
    assert codes_of(tmp_path / "m.png").labels == {0: "0", 1: "1"}


def test_of_a_pyramid_the_coarsest_that_is_wide_enough(tmp_path: Path) -> None:
    file = tmp_path / "m.tif"
    base = np.zeros((64, 128), np.uint8)
    base[:, 64:] = 1
    with tifffile.TiffWriter(file) as writer:
        writer.write(base, tile=(32, 32), subifds=2)
        writer.write(base[::2, ::2], tile=(32, 32), subfiletype=1)
        writer.write(base[::4, ::4], tile=(32, 32), subfiletype=1)
    assert codes_of(file, least_width_px=40).codes.shape == (32, 64)
    assert codes_of(file, least_width_px=1).codes.shape == (16, 32)
    assert codes_of(file, least_width_px=9999).codes.shape == (64, 128)


def test_plain_tiff_of_16_bits(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", CODES.astype(np.uint16) * 100)
    assert codes_of(tmp_path / "m.tif").labels == {0: "0", 100: "100", 200: "200", 700: "700"}


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.dstack([CODES, CODES, CODES + 1]), "in colour"),
        (np.arange(200, dtype=np.uint8).reshape(10, 20), "200 different values"),
        (CODES.astype(np.float32), "float32"),
        (CODES.astype(np.int32) - 1, "int32 from -1"),
        (np.zeros((2, 3, 4, 5), np.uint8), "shape (2, 3, 4, 5)"),
    ],
    ids=["colour", "too many", "float", "negative", "planes"],
)
def test_what_is_no_mask_of_codes(tmp_path: Path, pixels: np.ndarray, found: str) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif",
        pixels,
        photometric="rgb"
        if pixels.shape[-1:] == (3,) and pixels.ndim == 3 and found == "in colour"
        else "minisblack",
    )
    with pytest.raises(MaskError) as caught:
        codes_of(tmp_path / "m.tif")
    assert found in str(caught.value)


@pytest.mark.parametrize("name", ["m.png", "m.tif"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no picture at all")
    with pytest.raises(MaskError, match="cannot be read"):
        codes_of(tmp_path / name)


@pytest.mark.parametrize(("place", "channel"), [(0, "red"), (1, "green"), (2, "blue")])
def test_codes_in_one_channel_of_a_colour_picture(tmp_path: Path, place: int, channel: str) -> None:
    """PANDA's masks: RGB pyramids whose red channel holds the codes."""
    base = np.zeros((64, 128, 3), np.uint8)
    base[:, 64:, place] = 5
    with tifffile.TiffWriter(tmp_path / "x_mask.tiff") as writer:
        for step in (1, 4):
            writer.write(base[::step, ::step], tile=(32, 32), photometric="rgb", compression="zlib")
    mask = codes_of(tmp_path / "x_mask.tiff")
    assert mask.channel == channel and mask.labels == {0: "0", 5: "5"}
    assert np.array_equal(mask.codes, base[..., place])
    planes = np.ascontiguousarray(np.moveaxis(base, -1, 0))
    tifffile.imwrite(tmp_path / "y.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(codes_of(tmp_path / "y.tif").codes, base[..., place])


def test_a_mask_with_two_used_channels_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[0, 0, 0], pixels[5, 5, 2] = 3, 1
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(MaskError, match="channels red and blue differ, and each holds something"):
        codes_of(tmp_path / "m.png")


def test_an_empty_colour_mask_has_no_channel_of_its_own(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "m.png")
    assert codes_of(tmp_path / "m.png").channel == "" and codes_of(tmp_path / "m.png").labels == {0: "0"}
