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
