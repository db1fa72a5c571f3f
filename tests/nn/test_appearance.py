"""Statistics of a tile: by hand on simple tiles, the same however it is turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from histonic.nn.appearance import STATISTICS, appearance
from histonic.nn.stain import separate_stains

C = 5


def test_means_and_deviations_by_hand() -> None:
    tiles = torch.rand(3, 3, 32, 32)
    found = appearance(tiles)
    assert found.shape == (3, STATISTICS) and found.dtype == torch.float32
    channels = torch.cat([tiles, separate_stains(tiles)[:, :2]], dim=1)
    assert torch.allclose(found[:, :C], channels.mean((2, 3)), atol=1e-5)
    assert torch.allclose(found[:, C : 2 * C], channels.flatten(2).std(2).log(), atol=1e-5)
    halves = channels.reshape(3, C, 16, 2, 16, 2).mean((3, 5))
    assert torch.allclose(found[:, 6 * C : 7 * C], halves.flatten(2).std(2).log(), atol=1e-5)


def test_skewness_against_scipy() -> None:
    from scipy.stats import skew

    tiles = torch.rand(2, 3, 32, 32) ** 3
    wanted = skew(tiles.flatten(2).numpy(), axis=2)
    assert np.allclose(appearance(tiles)[:, 2 * C : 2 * C + 3], wanted, rtol=0.02, atol=0.01)


def test_slopes_and_laplacians_of_a_ramp() -> None:
    ramp = torch.linspace(0, 0.62, 32).expand(1, 3, 32, 32)
    found = appearance(ramp)[0]
    assert found[3 * C].exp() == pytest.approx(0.02, rel=0.02)  # mean slope: 0.62 / 31, with a trace added
    assert found[4 * C].exp() < 1e-3 and found[5 * C].exp() < 1e-3  # no change of slope, no curvature
    assert found[8 * C].exp() == pytest.approx(0.04, rel=0.02)  # at half the resolution


def test_blocks_by_hand() -> None:
    tile = torch.full((1, 3, 32, 32), 0.2)
    tile[:, :, :8, :8] = 0.8
    found = appearance(tile)[0]
    least, most = found[-5 * C], found[-4 * C]
    assert (float(least), float(most)) == (pytest.approx(0.2), pytest.approx(0.8))
    assert found[-C:].abs().max() < 1e-2  # no block holds two colours


def test_turned_and_mirrored_tiles_look_the_same() -> None:
    tiles = torch.rand(2, 3, 64, 64)
    wanted = appearance(tiles)
    for turned in (tiles.rot90(1, (2, 3)), tiles.flip(3), tiles.rot90(2, (2, 3))):
        # All but what one row of differences at the border does.
        assert (appearance(turned) - wanted).abs().mean() < 0.01


def test_a_tile_of_one_colour_gives_finite_numbers() -> None:
    for value in (0.0, 0.5, 1.0):
        assert torch.isfinite(appearance(torch.full((1, 3, 32, 32), value))).all()
