"""The network over whole maps: the contract, and the same streamed as whole."""

from __future__ import annotations

import copy

import pytest
import torch

from histonic.aggregators.base import build_model
from histonic.aggregators.streaming import LocalLayers, StreamingNet, count_halvings
from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.nn.streaming.graph import receptive_field
from histonic.nn.streaming.windows import Span
from histonic.testing import AggregatorContract

TASKS = (Task("grade", "binary", ("g",), ("low", "high")),)


class TestStreamingNet(AggregatorContract):
    def make(self) -> type[StreamingNet]:
        return StreamingNet


class TestStreamingNetOfPixels(AggregatorContract):
    code_size, crop_cells = 3, 70

    def make(self) -> type[StreamingNet]:
        return StreamingNet


class TestStreamedNet(AggregatorContract):
    """The same where all maps are streamed."""

    def make(self):
        def streamed(code_size: int, crop_cells: int) -> StreamingNet:
            network = StreamingNet(code_size, crop_cells)
            network.stream_cells = 8
            return network

        return streamed


def test_streamed_maps_have_the_same_vectors_and_gradients() -> None:
    torch.manual_seed(0)
    whole = StreamingNet(3, 150).double()
    torch.nn.init.normal_(whole.local.refined.second.weight, std=0.02)
    streamed = copy.deepcopy(whole)
    streamed.stream_cells = 40
    mask = (torch.rand(2, 150, 150) < 0.8).double()
    found = []
    for network in (whole, streamed):
        codes = (torch.linspace(0, 500, 2 * 3 * 150 * 150).double().sin().view(2, 3, 150, 150)) * mask[
            :, None
        ]
        vectors = network(codes.requires_grad_(), mask)
        vectors.square().sum().backward()
        found.append([vectors.detach(), codes.grad, *(each.grad for each in network.parameters())])
    for mine, right in zip(*found, strict=True):
        assert (mine - right).abs().max() < 1e-9 * max(1, right.abs().max())


def test_it_is_small_and_halves_until_16_positions_are_left() -> None:
    assert [count_halvings(side) for side in (8, 32, 400, 1024, 2048, 8192)] == [0, 1, 4, 6, 6, 6]
    assert sum(each.numel() for each in StreamingNet(3, 2048).parameters()) < 1_000_000


def test_a_position_sees_what_its_layers_add_up_to() -> None:
    class Pixels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.local = LocalLayers(4, 6)

        def forward(self, maps):
            return self.local.refined(self.local.layers(maps))

    # Six 3x3 of stride 2: 127; two 3x3 at a step of 64: 127 + 4 * 64.
    assert receptive_field(Pixels(), Span(16, 17), 2048).size == 127 + 4 * 64


@pytest.mark.parametrize("aggregator", ["streaming", "convnet"])
def test_the_side_from_which_maps_are_streamed_can_be_set(aggregator: str) -> None:
    torch.manual_seed(0)
    model = build_model(aggregator, code_size=5, crop_cells=60, tasks=TASKS, stream_cells=20).eval()
    assert model.aggregator.stream_cells == 20
    codes, mask = torch.randn(2, 5, 60, 60), torch.ones(2, 60, 60)
    streamed = model.vectors(codes, mask)
    model.aggregator.stream_cells = 100
    assert torch.allclose(streamed, model.vectors(codes, mask), atol=1e-5)


def test_an_aggregator_without_such_layers_says_so() -> None:
    with pytest.raises(SettingsError, match="no layers that are streamed"):
        build_model("abmil", code_size=5, crop_cells=60, tasks=TASKS, stream_cells=20)


@torch.no_grad()
@pytest.mark.parametrize(("crop_cells", "size"), [(64, (67, 70)), (64, (64, 64)), (33, (40, 33))])
def test_a_graph_for_any_mask_is_that_of_the_frames_cut_out(crop_cells: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = StreamingNet(3, crop_cells).eval()
    for weight in network.parameters():  # biases and the last layer begin at 0
        torch.nn.init.normal_(weight, std=0.1)
    assert network.halvings > 0
    mask = (torch.rand(2, *size) < 0.6).float()
    codes = torch.randn(2, 3, *size) * mask[:, None]
    graph = torch.export.export(network, (codes, torch.ones_like(mask)), strict=False).module()
    mask[0, size[0] - 2 :] = mask[1, :, 9:] = 0  # frames of two sizes
    codes *= mask[:, None]
    torch.testing.assert_close(graph(codes, mask), network(codes, mask))
