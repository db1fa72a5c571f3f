"""Hue, saturation, brightness and contrast against colorsys and hand-worked numbers."""

from __future__ import annotations

import colorsys

import pytest
import torch

from histonic.nn.augmentation.colour import relight, turn_colours


def one(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value)


def by_colorsys(rgb: tuple[float, float, float], hue: float, saturation: float) -> tuple[float, ...]:
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    s = s * (1 + saturation) if saturation < 0 else s * (1 + saturation * (1 - s))
    return colorsys.hsv_to_rgb((h + hue) % 1, s, v)


CORNERS = [(r, g, b) for r in (0.0, 0.5, 1.0) for g in (0.0, 0.5, 1.0) for b in (0.0, 0.5, 1.0)]


@pytest.mark.parametrize("hue", [-1.0, -0.7, -0.1, 0.0, 0.05, 1 / 3, 0.93, 1.0])
@pytest.mark.parametrize("saturation", [-1.0, -0.4, 0.0, 0.6, 1.0])
def test_hue_and_saturation_are_those_of_colorsys(hue: float, saturation: float) -> None:
    drawn = torch.rand(200, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    colours = torch.cat([drawn, torch.tensor(CORNERS, dtype=torch.float64)])
    found = turn_colours(colours.T.reshape(1, 3, -1, 1), one(hue), one(saturation))[0, :, :, 0].T
    wanted = torch.tensor([by_colorsys(tuple(rgb), hue, saturation) for rgb in colours.tolist()])
    assert torch.allclose(found.float(), wanted, atol=1e-5)


def test_every_tile_has_its_own_hue() -> None:
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).repeat(3, 1, 1, 1)
    hue = torch.tensor([0, 1 / 3, 2 / 3]).view(3, 1, 1, 1)
    found = turn_colours(red, hue, torch.zeros(3, 1, 1, 1)).flatten(1)
    assert torch.allclose(found, torch.eye(3), atol=1e-5)


def test_brightness_then_contrast_about_the_mean_grey() -> None:
    tile = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).clone()  # mean grey 0.4
    relight(tile, one(0.5), one(1.5))  # 0.1 0.2 0.3 about 0.2
    assert torch.allclose(tile.flatten(), torch.tensor([0.05, 0.2, 0.35]))


def test_light_is_kept_within_range() -> None:
    tile = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).clone()
    relight(tile, one(1.3), one(1.5))
    assert tile.min() == 0 and tile.max() == 1
