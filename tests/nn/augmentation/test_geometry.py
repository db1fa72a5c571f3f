"""Moved tiles: the 8 orientations, scale, the statistics of the elastic displacement, blur, borders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from histonic.nn.augmentation.draws import Draws
from histonic.nn.augmentation.geometry import blur, displacement, elastic_factors, move

NONE = (0.0, 0.0)
SIGMA = (9.0, 11.0)


def draws(count: int, seed: int = 0) -> Draws:
    return Draws(count, torch.float32, torch.device("cpu"), torch.Generator().manual_seed(seed))


def test_all_eight_orientations_are_reached_equally_often_and_exactly() -> None:
    tile = torch.arange(3 * 6 * 6, dtype=torch.float32).view(1, 3, 6, 6)
    wanted = [torch.rot90(one, turns, (2, 3)) for one in (tile, tile.flip(3)) for turns in range(4)]
    found = move(tile.repeat(4000, 1, 1, 1), True, 0.0, NONE, SIGMA, draws(4000))
    counts = [int((found == one).flatten(1).all(1).sum()) for one in wanted]
    assert sum(counts) == 4000
    # Chi-squared with 7 degrees of freedom: 24.3 is exceeded once in a thousand.
    assert sum((count - 500) ** 2 / 500 for count in counts) < 24.3


def test_scale_enlarges_about_the_centre() -> None:
    side = 64
    across = (torch.arange(side) + 0.5 - side / 2).expand(1, 3, side, side)
    found = move(across.repeat(500, 1, 1, 1), False, 0.2, NONE, SIGMA, draws(500))
    middle = found[:, 0, 32, 20:44]
    zoom = 1 / (middle.diff(dim=1).mean(dim=1))
    assert 0.8 <= zoom.min() < 0.81 and 1.19 < zoom.max() <= 1.2 + 1e-5
    assert zoom.mean().item() == pytest.approx(1, abs=0.02)
    assert zoom.std().item() == pytest.approx(0.4 / 12**0.5, rel=0.1)


def test_a_smaller_tile_is_continued_not_emptied() -> None:
    found = move(torch.full((200, 3, 32, 32), 0.7), True, 0.2, (80.0, 120.0), SIGMA, draws(200))
    assert torch.allclose(found, torch.full_like(found, 0.7), atol=1e-5)


@pytest.mark.parametrize(("alpha", "sigma"), [(100.0, 10.0), (80.0, 11.0), (120.0, 9.0), (34.0, 4.0)])
def test_elastic_spread_is_that_of_the_formula(alpha: float, sigma: float) -> None:
    centres = torch.arange(128) - 63.5
    field = displacement(*elastic_factors(centres, (alpha, alpha), (sigma, sigma), draws(150)))
    assert field.shape == (150, 128, 128, 2)
    wanted = alpha / (2 * math.sqrt(3 * math.pi) * sigma)
    assert field.std().item() == pytest.approx(wanted, rel=0.03)
    assert abs(field.mean().item()) < 0.1 * wanted
    # As wide at the border as in the middle.
    assert field[:, 0].std().item() == pytest.approx(wanted, rel=0.1)
    for distance in (3, 9, 15):
        apart = (field[:, distance:] * field[:, :-distance]).mean() / field.square().mean()
        assert apart.item() == pytest.approx(math.exp(-(distance**2) / (4 * sigma**2)), abs=0.05)
    both = (field[..., 0] * field[..., 1]).mean() / wanted**2
    assert abs(both.item()) < 0.05


def test_elastic_spread_is_that_of_smoothed_noise() -> None:
    """The same number from the original recipe, by SciPy."""
    rng = np.random.default_rng(0)
    smooth = [
        100 * ndimage.gaussian_filter(rng.uniform(-1, 1, (256, 256)), 10.0, mode="wrap") for _ in range(20)
    ]
    centres = torch.arange(128) - 63.5
    field = displacement(*elastic_factors(centres, (100.0, 100.0), (10.0, 10.0), draws(150)))
    assert field.std().item() == pytest.approx(float(np.std(smooth)), rel=0.06)


def test_displacement_shrinks_with_the_tile() -> None:
    """The same chance bends a tile of half the side over the same tissue."""
    ramp = torch.linspace(0.1, 0.9, 128).expand(1, 3, 128, 128).repeat(8, 1, 1, 1)
    small = torch.nn.functional.avg_pool2d(ramp, 2)
    bent = move(ramp, False, 0.0, (100.0, 100.0), SIGMA, draws(8))
    bent_small = move(small, False, 0.0, (100.0, 100.0), SIGMA, draws(8))
    inner = slice(6, -6)
    assert torch.allclose(
        torch.nn.functional.avg_pool2d(bent, 2)[..., inner], bent_small[..., inner], atol=3e-3
    )
    assert (bent - ramp).abs().max() > 0.01


def test_blur_is_that_of_scipy() -> None:
    tiles = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    found = blur(tiles, 1.5, draws(4))
    sigma = draws(4).between(0, 1.5).flatten().tolist()
    for tile, after, width in zip(tiles, found, sigma, strict=True):
        wanted = ndimage.gaussian_filter(tile.numpy(), (0, width, width), mode="mirror", radius=(0, 5, 5))
        np.testing.assert_allclose(after, wanted, atol=1e-5)


def test_blur_keeps_one_colour() -> None:
    tiles = torch.full((2, 3, 8, 8), 0.3)
    assert torch.allclose(blur(tiles, 2.0, draws(2)), tiles, atol=1e-6)
