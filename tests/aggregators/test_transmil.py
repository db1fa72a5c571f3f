"""TransMIL: places matter, glass does not, and landmarks come near full attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from histonic.aggregators import transmil
from histonic.aggregators.transmil import TokenMixer, TransMil, landmark_attention, pseudo_inverse
from histonic.testing import AggregatorContract


class TestTransMil(AggregatorContract):
    def make(self) -> type[TransMil]:
        return TransMil

    @torch.no_grad()
    def test_glass_changes_nothing(self) -> None:
        network, (codes, mask) = self.network(), self.maps(2)
        wide, tissue = (F.pad(each, (2, 7, 3, 0)) for each in (codes, mask))
        wide = torch.where(tissue[:, None] > 0, wide, torch.full_like(wide, 9.0))
        assert torch.allclose(network(codes, mask), network(wide, tissue), atol=1e-4)

    @torch.no_grad()
    def test_the_layout_of_the_cells_changes_something(self) -> None:
        network, (codes, mask) = self.network(), self.maps(2)
        order = torch.randperm(mask[0].numel(), generator=torch.Generator().manual_seed(2))
        mixed = codes.flatten(2)[:, :, order].view_as(codes)
        shuffled = network(mixed, mask.flatten(1)[:, order].view_as(mask))
        assert not torch.allclose(network(codes, mask), shuffled, atol=1e-3)


def test_the_iteration_finds_the_inverse() -> None:
    matrix = (torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0)) + 3 * torch.eye(8)).softmax(-1)
    assert torch.allclose(matrix @ pseudo_inverse(matrix) @ matrix, matrix, atol=0.01)
    assert not torch.allclose(matrix @ matrix.mT @ matrix, matrix, atol=0.1)


def test_landmarks_come_nearer_the_more_there_are() -> None:
    chance = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, 96, 8, generator=chance) for _ in range(3))
    full = F.scaled_dot_product_attention(query[None], key[None], value[None])[0]
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
    exact = mixer(tokens)
    monkeypatch.setattr(transmil, "EXACT_CELLS", 10)
    assert not torch.equal(mixer(tokens), exact)
    assert torch.allclose(mixer(tokens), exact, atol=0.02)
