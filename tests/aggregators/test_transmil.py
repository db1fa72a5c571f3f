"""TransMIL: places matter, glass does not, and landmarks come near full attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from histonic.aggregators import transmil
from histonic.aggregators.transmil import (
    MapPositions,
    TokenMixer,
    TransMil,
    landmark_attention,
    pseudo_inverse,
)
from histonic.testing import PaddingContract


class TestTransMil(PaddingContract):
    def make(self) -> type[TransMil]:
        return TransMil

    @torch.no_grad()
    def test_the_layout_of_the_cells_changes_something(self) -> None:
        network, (codes, mask) = self.network(), self.maps(2)
        order = torch.randperm(mask[0].numel(), generator=torch.Generator().manual_seed(2))
        mixed = codes.flatten(2)[:, :, order].view_as(codes)
        shuffled = network(mixed, mask.flatten(1)[:, order].view_as(mask))
        assert not torch.allclose(network(codes, mask), shuffled, atol=1e-3)


def test_the_iteration_finds_the_inverse() -> None:
    noise = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    matrix = (noise + 3 * torch.eye(8)).softmax(-1)
    assert torch.allclose(matrix @ pseudo_inverse(matrix) @ matrix, matrix, atol=0.01)
    assert not torch.allclose(matrix @ matrix.mT @ matrix, matrix, atol=0.1)


def test_landmarks_come_nearer_the_more_there_are() -> None:
    chance = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(1, 2, 96, 8, generator=chance) for _ in range(3))
    full = F.scaled_dot_product_attention(query, key, value)
    errors = [
        float((landmark_attention(query, key, value, count) - full).square().mean()) for count in (6, 24, 96)
    ]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-4


@torch.no_grad()
def test_both_ways_of_attention_agree_on_slowly_changing_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    mixer = TokenMixer().eval()
    along = torch.linspace(0, 3, 400)[:, None]
    tokens = torch.sin(along * torch.rand(1, 128) * 3 + torch.rand(1, 128) * 6)
    tokens, there = tokens[None], torch.ones(1, 400, dtype=torch.bool)
    exact = mixer(tokens, there)
    monkeypatch.setattr(transmil, "EXACT_CELLS", 10)
    assert not torch.equal(mixer(tokens, there), exact)
    assert torch.allclose(mixer(tokens, there), exact, atol=0.02)


@torch.no_grad()
def test_the_first_token_hears_what_attention_would_tell_it() -> None:
    torch.manual_seed(0)
    mixer = TokenMixer().eval()
    tokens = torch.randn(2, 30, 128)
    there = torch.rand(2, 30) < 0.7
    there[:, 0] = True
    first, weights = mixer.first_asks(tokens[:, :1], tokens[:, 1:], there[:, 1:])
    assert torch.allclose(first, mixer(tokens, there)[:, 0], atol=1e-5)
    assert not weights.transpose(1, 2)[~there[:, 1:]].any() and (weights.sum(dim=-1) < 1).all()


@torch.no_grad()
def test_one_kernel_is_the_sum_of_all() -> None:
    torch.manual_seed(0)
    places, maps = MapPositions(), torch.randn(2, 128, 9, 11)
    assert torch.allclose(places(maps), maps + sum(field(maps) for field in places.fields), atol=1e-5)


@torch.no_grad()
def test_large_and_small_maps_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = TransMil(4, 16).eval()
    codes, mask = torch.randn(3, 4, 16, 16), torch.ones(3, 16, 16)
    mask[0, 4:] = mask[2, :, 6:] = 0
    monkeypatch.setattr(transmil, "EXACT_CELLS", 150)
    together, weights = net(codes, mask), net.attention(codes, mask)
    for place in range(3):
        part = codes[place : place + 1], mask[place : place + 1]
        assert torch.allclose(together[place], net(*part)[0], atol=1e-5)
        assert torch.allclose(weights[place], net.attention(*part)[0], atol=1e-6)
