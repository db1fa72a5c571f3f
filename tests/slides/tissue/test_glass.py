"""The glass of a picture is found whatever its tint and light, and nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.slides.tissue.glass import (
    around,
    excess_over,
    find_glass,
    local_detail,
    main_glass,
    optical_density,
    shading_of,
    smooth,
)

TEXTURE = np.random.default_rng(1).uniform(0.5, 1.5, (200, 200, 1))


def picture(
    glass: tuple[float, float, float], tissue: tuple[float, float, float], left: int = 100
) -> np.ndarray:
    """Glass with noise, and from a column on tissue with texture, uint8 ``(200, 200, 3)``."""
    rng = np.random.default_rng(0)
    density = np.log(np.array(glass) / np.array(tissue))
    pixels = np.array(glass) * np.exp(-np.where(np.arange(200)[:, None] >= left, density, 0.0) * TEXTURE)
    return np.clip(pixels + rng.normal(0, 0.8, pixels.shape), 0, 255).astype(np.uint8)


def found_in(pixels: np.ndarray) -> list[list[int]]:
    detail = around(local_detail(pixels))
    return [colour.rgb.round().astype(int).tolist() for colour in find_glass(smooth(pixels), detail)]


@pytest.mark.parametrize("glass", [(243, 243, 243), (221, 220, 238), (248, 242, 218), (208, 208, 210)])
def test_the_colour_of_glass_under_any_tint(glass: tuple[int, int, int]) -> None:
    (found,) = found_in(picture(glass, (180, 110, 160)))
    assert np.abs(np.array(found) - glass).max() <= 1


def test_dark_glass_counts_where_nothing_is_brighter() -> None:
    (found,) = found_in(picture((120, 124, 122), (90, 50, 90)))
    assert np.abs(np.array(found) - (120, 124, 122)).max() <= 1


def test_tissue_that_fills_the_picture_is_no_glass() -> None:
    assert found_in(picture((243, 243, 243), (180, 110, 160), left=0)) == []
    even = np.full((200, 200, 3), (96, 50, 110), np.uint8)  # even as cartilage
    assert found_in(even) == []


def test_an_even_piece_beside_glass_is_no_glass() -> None:
    pixels = picture((243, 243, 243), (243, 243, 243))
    pixels[50:150, 50:150] = (225, 190, 215)
    assert len(found_in(pixels)) == 1


def test_a_page_around_the_scan_is_glass_too_but_not_the_main_one() -> None:
    pixels = picture((240, 240, 240), (180, 110, 160))
    pixels[:90] = 255
    glass = find_glass(smooth(pixels), around(local_detail(pixels)))
    assert [round(float(colour.rgb.mean())) for colour in glass] == [255, 240]
    assert round(float(main_glass(glass).rgb.mean())) == 240


def test_the_light_of_a_lens_is_followed() -> None:
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    light = 1 - 0.3 * (x * x + y * y) / 2
    pixels = (picture((240, 240, 240), (180, 110, 160), left=150) * light[..., None]).astype(np.uint8)
    smoothed, detail = smooth(pixels), around(local_detail(pixels))
    glass = find_glass(smoothed, detail)
    shading = shading_of(smoothed, detail, glass)
    main = main_glass(glass).rgb
    expected = np.log(main.mean() / (240 * light))
    assert np.abs(shading - expected)[:, :140].max() < 0.05
    assert excess_over(smoothed, glass, shading)[:, :140].max() < 0.05


def test_even_light_needs_no_surface() -> None:
    pixels = picture((240, 240, 240), (180, 110, 160))
    smoothed, detail = smooth(pixels), around(local_detail(pixels))
    assert not shading_of(smoothed, detail, find_glass(smoothed, detail)).any()


def test_density_by_hand() -> None:
    planes = np.full((3, 2, 2), 100, np.float32)
    density = optical_density(planes, np.array([200.0, 100.0, 50.0]), np.zeros((2, 2), np.float32))
    assert np.allclose(density[:, 0, 0], [np.log(2), 0, -np.log(2)], atol=1e-6)


def test_detail_of_a_line_and_of_nothing() -> None:
    pixels = np.full((21, 21, 3), 200, np.uint8)
    assert not local_detail(pixels).any()
    pixels[10] = 110  # the mean of two 3 x 3 means holds 3/9 of a line in its middle
    assert local_detail(pixels)[10, 10] == pytest.approx(90 * (1 - 3 / 9), abs=1e-3)
