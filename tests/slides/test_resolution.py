"""Headers are believed where a scanner could have written them; magnification words never count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.core.errors import MissingMppError
from histonic.slides.base import open_slide
from histonic.slides.resolution import HeaderMpp, assess_extent, assess_mpp, parse_number

PIXELS = np.full((300, 320, 3), 200, np.uint8)


@pytest.mark.parametrize(
    ("across", "down", "mpp", "words"),
    [
        (0.25, 0.25, 0.25, ""),
        (0.2520, 0.2500, 0.2510, ""),
        (0.05, 0.05, 0.05, ""),
        (20.0, 20.0, 20.0, ""),
        (0.5, 0.25, None, "not square"),
        (0.02, 0.02, None, "not the resolution of a scanner"),
        (352.8, 352.8, None, "352.8 µm/px"),
        (264.6, 264.6, None, "not the resolution of a scanner"),
    ],
)
def test_judgement(across: float, down: float, mpp: float | None, words: str) -> None:
    header = assess_mpp(across, down, "a field")
    assert header.mpp == (mpp and pytest.approx(mpp))
    assert words in header.refused and bool(header.refused) == (mpp is None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.4990", 0.499),
        ("0,4990", 0.499),
        (" ,5 ", 0.5),
        ("1,010", 1.01),
        ("1.234,5", 1234.5),
        ("1,234.5", 1234.5),
        ("12,34.5", None),
        ("1,234,567", None),
        ("0.5.1", None),
        ("2.5E-1", 0.25),
        ("0.25 µm", 0.25),
        ("0,25 um/px", 0.25),
        ("-0.25", -0.25),
        ("0.25 mm", None),
        ("nan", None),
        ("\u0663", None),
        ("", None),
        (".", None),
    ],
)
def test_numbers_as_scanners_write_them(text: str, number: float | None) -> None:
    assert parse_number(text) == number


def test_a_slide_is_no_larger_than_glass_is_made() -> None:
    header = HeaderMpp(2.5, "TIFF resolution")
    assert assess_extent(header, (80_000, 60_000)) == header
    assert "slide of 200 x 225 mm" in assess_extent(header, (80_000, 90_000)).refused
    assert assess_extent(HeaderMpp(), (10**6, 10**6)) == HeaderMpp()


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
@pytest.mark.parametrize(
    ("resolution", "words"),
    [((28.3465, 28.3465), "not the resolution of a scanner"), ((20_000, 10_000), "not square")],
)
def test_a_refused_header_is_quoted(
    tmp_path: Path, reader: str, resolution: tuple[float, float], words: str
) -> None:
    path = tmp_path / "a.tif"
    options = {"tile": (128, 128), "photometric": "rgb", "metadata": None, "compression": "jpeg"}
    tifffile.imwrite(path, PIXELS, resolution=resolution, resolutionunit="CENTIMETER", **options)
    with open_slide(path, reader=reader) as slide:
        assert not slide.has_mpp
        with pytest.raises(MissingMppError, match=words) as caught:
            slide.read((0, 0), (10, 10), 0.5)
    assert "--mpp" in caught.value.todo
    with open_slide(path, reader=reader, default_mpp=0.5) as slide:
        assert slide.mpp == 0.5
