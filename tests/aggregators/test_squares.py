"""Cheap occlusion must give what whole maps give."""

from __future__ import annotations

import pytest
import torch

from histonic.aggregators.registry import AGGREGATORS
from histonic.aggregators.squares import squares_of

CHEAP = ("convnet", "mean", "max", "abmil", "dsmil")


def made(name: str, side: int = 40) -> torch.nn.Module:
    torch.manual_seed(3)
    network = AGGREGATORS.get(name)(6, side)
    with torch.no_grad():
        # Running statistics as after a training, not those of an untrained network.
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
    return network.eval()


@torch.no_grad()
def by_whole_maps(
    network: torch.nn.Module, codes: torch.Tensor, mask: torch.Tensor, squares: torch.Tensor, side: int
) -> torch.Tensor:
    vectors = []
    for row, col in (squares * side).tolist():
        changed = codes.clone()
        changed[:, row : row + side, col : col + side] = 0
        vectors.append(network(changed[None], mask[None])[0])
    return torch.stack(vectors)


@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize("side", [1, 3, 7, 13, 50])
@pytest.mark.parametrize("shape", [(40, 40), (33, 41)])
@torch.no_grad()
def test_the_same_vectors_as_by_whole_maps(name: str, side: int, shape: tuple[int, int]) -> None:
    chance = torch.Generator().manual_seed(1)
    mask = (torch.rand(shape, generator=chance) < 0.6).float()
    mask[:9] = 0
    codes = torch.randn(6, *shape, generator=chance) * mask
    network = made(name)
    squares = squares_of(mask, side)
    if side == 1:
        squares = squares[:: len(squares) // 30]
    found = network.occluded(codes, mask, squares, side)
    assert torch.allclose(found, by_whole_maps(network, codes, mask, squares, side), atol=2e-5)


@pytest.mark.parametrize("name", CHEAP)
@torch.no_grad()
def test_a_map_with_one_cell_of_tissue(name: str) -> None:
    mask = torch.zeros(40, 40)
    mask[20, 21] = 1
    codes = torch.randn(6, 40, 40, generator=torch.Generator().manual_seed(2)) * mask
    network = made(name)
    squares = squares_of(mask, 1)
    assert squares.tolist() == [[20, 21]]
    found = network.occluded(codes, mask, squares, 1)
    assert torch.allclose(found, by_whole_maps(network, codes, mask, squares, 1), atol=2e-5)
