"""The network of the needle study: what a position sees, how poolings pool, and equal capacity."""

from __future__ import annotations

import pytest
import torch

from histonic.stages.study.needles.network import NeedleNetwork, receptive_px, spatial_blocks


@pytest.mark.parametrize(("stages", "field"), [(0, 3), (1, 5), (2, 9), (3, 17), (4, 33)])
def test_the_receptive_field_is_what_changes_a_position(stages: int, field: int) -> None:
    """Counted in the gradient of one position of the last map."""
    torch.manual_seed(0)
    blocks = (1, 1, 1, 1)
    spatial = spatial_blocks(blocks, stages)
    # Batch normalisation at rest is per pixel; instance normalisation would see the whole image.
    network = NeedleNetwork(4, blocks, spatial, "mean", "batch").eval()
    image = torch.rand(1, 1, 120, 120, requires_grad=True)
    maps = network.body(image)
    maps[0, :, 7, 7].abs().sum().backward()
    seen = (image.grad[0, 0] != 0).nonzero()
    extent = int((seen.max(0).values - seen.min(0).values + 1).max())
    assert receptive_px(blocks, spatial) == field
    # Rectifiers may hide the border, never widen it.
    assert field - 2 <= extent <= field


def test_the_paper_s_networks() -> None:
    assert receptive_px((3, 4, 6, 3), (3, 4, 6, 3)) == 177
    assert spatial_blocks((3, 4, 6, 3), 1) == (3, 0, 0, 0)
    wide, narrow = (
        sum(each.numel() for each in NeedleNetwork(64, (3, 4, 6, 3), spatial, "mean").parameters())
        for spatial in ((3, 4, 6, 3), (1, 0, 0, 0))
    )
    # Two and a half times the width in place of nine times the pixels: half more, not nine times less.
    assert wide < narrow < 1.6 * wide


def test_poolings_by_hand() -> None:
    images = torch.rand(2, 1, 30, 30)
    maps = torch.tensor([[[0.0, 1.0, 3.0]], [[2.0, 2.0, 2.0]]])
    pooled = {
        name: NeedleNetwork(4, (1, 0, 0, 0), (1, 0, 0, 0), name)._pooled(maps, images).flatten().tolist()
        for name in ("mean", "max", "lse")
    }
    assert pooled["mean"] == pytest.approx([4 / 3, 2.0]) and pooled["max"] == [3.0, 2.0]
    wanted = torch.log((torch.tensor([0.0, 1.0, 3.0]).exp()).mean()).item()
    assert pooled["lse"] == pytest.approx([wanted, 2.0])
    attention = NeedleNetwork(4, (1, 0, 0, 0), (1, 0, 0, 0), "attention")
    maps = torch.rand(2, 16, 9)
    scores = attention.attention(maps[..., None])[:, 0, :, 0].softmax(1)  # type: ignore[misc]
    assert torch.allclose(attention._pooled(maps, images), (maps * scores[:, None]).sum(2), atol=1e-6)
