"""Stains: the round trip, an independent formula, and that perturbing is separating, changing, mixing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from histonic.nn.stain import perturb_stains, separate_stains, stain_matrix


def combine_stains(amounts: torch.Tensor) -> torch.Tensor:
    """The light that passes amounts ``(B, 3, H, W)`` of the stains."""
    return torch.einsum("bshw,sc->bchw", amounts, -stain_matrix().to(amounts)).exp().clamp(max=1)


@pytest.fixture
def tiles() -> torch.Tensor:
    return torch.rand(3, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 0.95 + 0.05


def test_separated_and_mixed_again_is_the_same(tiles: torch.Tensor) -> None:
    assert (combine_stains(separate_stains(tiles)) - tiles).abs().max() < 1e-4


def test_amounts_solve_the_linear_system_of_densities(tiles: torch.Tensor) -> None:
    vectors = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    vectors /= np.sqrt((vectors**2).sum(1))[:, None]
    density = -np.log(tiles.double().numpy()).transpose(1, 0, 2, 3).reshape(3, -1)
    wanted = np.linalg.solve(vectors.T, density)
    found = separate_stains(tiles).transpose(0, 1).reshape(3, -1)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("stain", [0, 1, 2])
def test_a_pure_stain_is_found_pure(stain: int) -> None:
    light = torch.exp(-1.5 * stain_matrix()[stain]).float().view(1, 3, 1, 1)
    wanted = torch.zeros(3)
    wanted[stain] = 1.5
    assert torch.allclose(separate_stains(light).flatten(), wanted, atol=1e-5)


def test_perturbing_in_one_step_is_perturbing_amounts(tiles: torch.Tensor) -> None:
    draw = torch.Generator().manual_seed(1)
    factor, addend = torch.rand(3, 3, generator=draw) + 0.5, torch.rand(3, 3, generator=draw) - 0.3
    amounts = separate_stains(tiles) * factor[:, :, None, None] + addend[:, :, None, None]
    found = perturb_stains(tiles, factor, addend)
    assert torch.allclose(found, combine_stains(amounts), atol=1e-5)
    assert (found - tiles).abs().max() > 0.1


def test_less_of_a_stain_leaves_the_others(tiles: torch.Tensor) -> None:
    tissue = combine_stains(torch.rand(2, 3, 5, 5) * 0.5 + 0.1)
    factor = torch.tensor([[0.5, 1.0, 1.0]]).repeat(2, 1)
    before, after = (
        separate_stains(tissue),
        separate_stains(perturb_stains(tissue, factor, torch.zeros(2, 3))),
    )
    assert torch.allclose(after[:, 0], before[:, 0] / 2, atol=1e-4)
    assert torch.allclose(after[:, 1:], before[:, 1:], atol=1e-4)


def test_black_stays_a_number() -> None:
    black = torch.zeros(1, 3, 2, 2)
    assert torch.isfinite(separate_stains(black)).all()
    assert perturb_stains(black, torch.full((1, 3), 1.2), torch.zeros(1, 3)).max() < 0.01
