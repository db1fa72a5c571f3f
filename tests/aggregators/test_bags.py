"""Aggregators of bags: blind to places and to glass, and equal to formulas written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from histonic.aggregators.abmil import AttentionPool, GatedAttention
from histonic.aggregators.bags import cells_of, cells_to_maps
from histonic.aggregators.dsmil import CRITERIA, DualStream
from histonic.aggregators.registry import AGGREGATORS
from histonic.testing import BagContract


class TestAttention(BagContract):
    def make(self) -> type[AttentionPool]:
        return AttentionPool


class TestDualStream(BagContract):
    def make(self) -> type[DualStream]:
        return DualStream


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("side_by_side", [False, True], ids=["channel by channel", "cell by cell"])
def test_cells_come_back_to_their_places_and_so_do_gradients(count: int, side_by_side: bool) -> None:
    chance = torch.Generator().manual_seed(4)
    codes, weight = (torch.randn(count, 5, 6, 7, generator=chance) for _ in range(2))
    mask = (torch.rand(count, 6, 7, generator=chance) < 0.6).float()
    if side_by_side:
        codes = codes.contiguous(memory_format=torch.channels_last)
    codes.requires_grad_()
    cells, tissue = cells_of(codes, mask)
    for number in range(count):
        by_hand = codes[number][:, mask[number] > 0].T
        assert torch.equal(cells[number][tissue[number]], by_hand)
    maps = cells_to_maps(cells * tissue[..., None], mask)
    assert torch.equal(maps, codes * mask[:, None])
    (found,) = torch.autograd.grad((maps * weight).sum(), codes)
    assert torch.equal(found, weight * mask[:, None])


def test_all_are_registered() -> None:
    assert {"convnet", "mean", "max", "abmil", "dsmil"} <= set(AGGREGATORS)


@pytest.fixture
def bag() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """One map of 2 x 3 cells with a hole, and its five cells as rows."""
    chance = torch.Generator().manual_seed(3)
    codes = torch.randn(1, 4, 2, 3, generator=chance)
    mask = torch.tensor([[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])
    return codes, mask, codes[0].permute(1, 2, 0)[mask[0] > 0].numpy()


def numbers(layer: torch.nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    bias = layer.bias.detach().numpy() if layer.bias is not None else np.zeros(1)
    return layer.weight.detach().numpy(), bias


def linear(layer: torch.nn.Module, values: np.ndarray) -> np.ndarray:
    assert isinstance(layer, torch.nn.Linear)
    weight, bias = numbers(layer)
    return np.asarray(values @ weight.T + bias)


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=0))
    return np.asarray(raised / raised.sum(axis=0))


@torch.no_grad()
def test_gated_attention_is_the_formula(bag: tuple[torch.Tensor, torch.Tensor, np.ndarray]) -> None:
    codes, mask, cells = bag
    torch.manual_seed(0)
    net = AttentionPool(4, 8).eval()
    embedded = np.maximum(linear(net.embed[0], cells), 0)
    attend: GatedAttention = net.attend
    gate = 1 / (1 + np.exp(-linear(attend.gate, embedded)))
    weights = softmax(linear(attend.score, np.tanh(linear(attend.content, embedded)) * gate))
    assert np.allclose(net(codes, mask)[0], (weights * embedded).sum(axis=0), atol=1e-5)
    assert np.allclose(net.attention(codes, mask)[mask > 0], weights[:, 0], atol=1e-6)


@torch.no_grad()
def test_both_streams_are_the_formula(bag: tuple[torch.Tensor, torch.Tensor, np.ndarray]) -> None:
    codes, mask, cells = bag
    torch.manual_seed(0)
    net = DualStream(4, 8).eval()
    embedded = np.maximum(linear(net.embed[0], cells), 0)
    scores = linear(net.score, embedded)
    queries = np.tanh(linear(net.query[0], embedded))
    values = linear(net.value, embedded)
    bags = []
    for criterion in range(CRITERIA):
        critical = queries[scores[:, criterion].argmax()]
        weights = softmax(queries @ critical / np.sqrt(queries.shape[1]))
        bags.append(weights @ values)
    expected = np.concatenate([scores.max(axis=0), linear(net.join, np.concatenate(bags))])
    assert np.allclose(net(codes, mask)[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "max", "abmil", "dsmil"])
def test_codes_far_from_zero_are_no_larger_than_glass(name: str) -> None:
    """A maximum over cells must not be that of an empty one."""
    net = AGGREGATORS.get(name)(3, 8)
    codes, mask = torch.full((1, 3, 4, 4), -50.0), torch.zeros(1, 4, 4)
    mask[0, 0] = 1
    codes[:, :, 1:] = 0
    alone = net(codes[:, :, :1], mask[:, :1])
    assert torch.allclose(net(codes, mask), alone, atol=1e-5)
