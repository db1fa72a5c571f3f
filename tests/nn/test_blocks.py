"""Layers: shapes, the separable convolution itself, and dropout of whole channels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from histonic.nn.blocks import DenseBlock, SeparableBlock, he_uniform_


@pytest.mark.parametrize(("side", "stride", "wanted"), [(400, 2, 199), (24, 2, 11), (5, 1, 3), (3, 1, 1)])
def test_sizes_without_padding(side: int, stride: int, wanted: int) -> None:
    found = SeparableBlock(2, 3, stride).eval()(torch.zeros(1, 2, side, side))
    assert found.shape == (1, 3, wanted, wanted)


def test_a_separable_convolution_is_a_full_one_of_rank_one() -> None:
    torch.manual_seed(0)
    block = SeparableBlock(3, 5).eval()
    x = torch.randn(2, 3, 7, 7)
    # kernel[out, in] = pointwise[out, in] * depthwise[in]
    kernel = block.pointwise.weight * block.depthwise.weight[None, :, 0]
    wanted = block.act(block.norm(F.conv2d(x, kernel, block.pointwise.bias)))
    assert torch.allclose(block(x), wanted, atol=1e-5)


def test_dropout_drops_whole_channels() -> None:
    torch.manual_seed(0)
    block = SeparableBlock(2, 40, dropout=0.5)
    found = block(torch.randn(4, 2, 9, 9)).flatten(2)
    dropped = (found == 0).all(dim=2)
    assert 40 < dropped.sum() < 120
    assert not ((found == 0).any(dim=2) & ~dropped).any()


def test_he_initialisation_keeps_within_its_bound() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(600, 50)
    he_uniform_(layer)
    bound = (6 / 600) ** 0.5
    assert layer.weight.abs().max() <= bound and layer.weight.std().item() == pytest.approx(
        bound / 3**0.5, rel=0.05
    )
    assert not layer.bias.any()


def test_dense_block() -> None:
    block = DenseBlock(4, 3)
    found = block(torch.randn(64, 4))
    assert found.shape == (64, 3)
    undone = torch.where(found < 0, found / 0.2, found)
    assert undone.mean(0).abs().max() < 1e-5


def cell_by_cell(maps: torch.Tensor) -> torch.Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stride", [1, 2])
def test_channels_in_parts_and_cell_by_cell_are_the_same_with_the_same_gradients(stride: int) -> None:
    torch.manual_seed(0)
    block = SeparableBlock(4, 6, stride, dropout=0.0).train()
    codes, tissue = torch.randn(2, 3, 9, 11), torch.rand(2, 1, 9, 11)
    found = []
    for parts in ((torch.cat([codes, tissue], dim=1),), (codes, tissue), (cell_by_cell(codes), tissue)):
        block.zero_grad()
        given = [part.clone(memory_format=torch.preserve_format).requires_grad_() for part in parts]
        block(*given).square().sum().backward()
        slopes = torch.cat([part.grad for part in given], dim=1)  # type: ignore[misc]
        found.append([block(*given), slopes, *(weight.grad for weight in block.parameters())])
    for other in found[1:]:
        for wanted, value in zip(found[0], other, strict=True):
            # Gradients are sums over all cells, of which each kernel rounds in an order of its own.
            assert torch.allclose(value, wanted, rtol=1e-4, atol=1e-4)


def test_half_precision_on_a_cpu_differs_by_its_rounding_only() -> None:
    torch.manual_seed(0)
    block = SeparableBlock(4, 6, dropout=0.0).train()
    maps = cell_by_cell(torch.randn(2, 4, 9, 9)).requires_grad_()
    wanted = block(maps)
    with torch.autocast("cpu", torch.bfloat16):
        found = block(maps.bfloat16())
    assert torch.allclose(found.float(), wanted, atol=0.1)
    found.float().sum().backward()
    assert maps.grad is not None and block.depthwise.weight.grad is not None
