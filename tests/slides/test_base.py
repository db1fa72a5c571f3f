"""A region at any resolution and any position is the mean of the slide's area under each of its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.errors import SettingsError
from histonic.slides import base
from histonic.slides.base import file_stem, fingerprint_file
from histonic.slides.formats.array import ArraySlide

PIXELS = np.random.default_rng(11).integers(0, 256, (61, 83, 3), dtype=np.uint8)
MARGIN = 400


def integral_image() -> np.ndarray:
    wide = np.full((61 + 2 * MARGIN, 83 + 2 * MARGIN, 3), 255.0)
    wide[MARGIN:-MARGIN, MARGIN:-MARGIN] = PIXELS
    integral = np.zeros((wide.shape[0] + 1, wide.shape[1] + 1, 3))
    integral[1:, 1:] = wide.cumsum(0).cumsum(1)
    return integral


INTEGRAL = integral_image()


def area_means(xy: tuple[float, float], wh: tuple[int, int], scale: float) -> np.ndarray:
    """Means by differences of the integral image, which is bilinear within a pixel; float64 throughout."""
    x = MARGIN + xy[0] + scale * np.arange(wh[0] + 1)
    y = MARGIN + xy[1] + scale * np.arange(wh[1] + 1)

    def between(axis: int, places: np.ndarray, values: np.ndarray) -> np.ndarray:
        low = np.minimum(np.floor(places).astype(int), values.shape[axis] - 2)
        share = (places - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        return values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share

    corners = between(1, x, between(0, y, INTEGRAL))
    sums = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
    return sums / scale**2


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-70, 100),
    st.floats(-70, 100),
    st.integers(1, 40),
    st.integers(1, 40),
    st.one_of(st.floats(0.3, 6), st.integers(1, 5).map(float)),
    st.booleans(),
)
def test_read_is_the_area_mean(x: float, y: float, width: int, height: int, scale: float, snap: bool) -> None:
    xy = (float(round(x)), float(round(y))) if snap else (x, y)
    found = ArraySlide(PIXELS, mpp=0.5).read(xy, (width, height), 0.5 * scale)
    assert found.shape == (height, width, 3)
    assert np.abs(found - area_means(xy, (width, height), scale)).max() <= 0.51


def test_whole_factors_round_half_up_to_the_bit() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[::2, ::2] = 2  # means of 0.5
    assert (ArraySlide(pixels, mpp=0.5).read((0, 0), (2, 2), 1.0) == 1).all()
    pixels[::2, ::2] = 1  # means of 0.25
    assert (ArraySlide(pixels, mpp=0.5).read((0, 0), (2, 2), 1.0) == 0).all()


def test_finer_than_the_slide_repeats_pixels() -> None:
    found = ArraySlide(PIXELS, mpp=0.5).read((10, 20), (30, 24), 0.25)
    assert np.array_equal(found, PIXELS[20:32, 10:25].repeat(2, 0).repeat(2, 1))


def test_a_coarse_read_never_holds_more_than_a_band(monkeypatch: pytest.MonkeyPatch) -> None:
    slide = ArraySlide(np.broadcast_to(np.uint8(77), (30_000, 20_000, 3)), mpp=0.5)
    sizes = []
    whole = ArraySlide._read_pixels

    def record(self: ArraySlide, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        sizes.append(width * height)
        return whole(self, level, x, y, width, height)

    monkeypatch.setattr(ArraySlide, "_read_pixels", record)
    monkeypatch.setattr(base, "BAND_PIXELS", 4_000_000)
    assert (slide.read((0, 0), (100, 150), 100.0) == 77).all()
    assert len(sizes) == 150 and max(sizes) <= 20_000 * 200


def test_fingerprints_tell_files_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(200_000))
    (tmp_path / "b").write_bytes(bytes(100_000) + b"x" + bytes(99_999))
    (tmp_path / "c").write_bytes(bytes(200_001))
    assert len({fingerprint_file(tmp_path / name) for name in "abc"}) == 3


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan")])
def test_an_mpp_must_be_positive(mpp: float) -> None:
    with pytest.raises(SettingsError, match="positive"):
        ArraySlide(PIXELS, mpp=mpp)


def test_slide_names() -> None:
    assert file_stem(Path("x/a.ome.tif")) == "a" and file_stem(Path("a.b.svs")) == "a.b"
