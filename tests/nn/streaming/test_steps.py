"""What is kept for the gradient and what is computed again, counted."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.layers import Cellwise
from histonic.nn.streaming.steps import steps_of
from histonic.nn.streaming.streamed import stream


class Block(nn.Module):
    """Two convolutions with norms beside the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*normed(channels), nn.ReLU(inplace=True), *normed(channels))
        self.short = nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.body(maps) + self.short(maps))


def normed(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels).eval()]


class Own(Cellwise):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.exp()


def named(network: nn.Module) -> list[tuple[list[str], list[str], bool]]:
    graph = Graph.of(network)
    names = [layer.name for layer in graph.layers]
    return [
        ([names[each] for each in step.layers], [names[each] for each in step.below], step.again)
        for step in steps_of(graph)
    ]


def test_steps_of_a_residual_block_by_hand():
    found = named(Block(2))
    assert [step[0] for step in found] == [
        ["body.0"],
        ["body.1", "body.2", "body.3"],
        ["body.4", "add", "relu"],
    ]
    assert [step[1] for step in found] == [["maps"], ["body.0"], ["maps", "body.3"]]


def test_a_layer_of_ones_own_is_never_computed_again():
    found = named(nn.Sequential(nn.ReLU(), Own(), nn.ReLU(), nn.Conv2d(1, 1, 3)))
    assert [(step[0], step[2]) for step in found] == [
        (["0"], True),
        (["1"], False),
        (["2", "3"], True),
    ]


class Counted(TorchDispatchMode):
    """Counts calls of convolutions, and bytes of tensors that live at once."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = 0
        self.now = 0
        self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.convolutions += func is torch.ops.aten.convolution.default
        for each in found if isinstance(found, list | tuple) else [found]:
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in self.known:
                self.born(each.untyped_storage())
        return found

    def born(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        self.known.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.gone, place, size)

    def gone(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


def step_of_training(network: nn.Module, image: Tensor, tile_px: int | tuple[int, int]) -> Counted:
    with Counted() as counted:
        stream(network, image, tile_px=tile_px).sum().backward()
    return counted


def test_no_convolution_is_computed_more_than_twice():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), Block(2), Block(2))
    assert step_of_training(network, torch.rand(1, 1, 60, 40), 10_000).convolutions == 2 * 5


def test_of_a_block_the_maps_of_its_convolutions_and_its_sum_are_kept():
    """Three maps a block; with those of norms and activations, and joined ones, it would be eight."""
    blocks, channels, rows, cols = 12, 4, 16, 64
    network = nn.Sequential(*(Block(channels) for _ in range(blocks)))
    counted = step_of_training(network, torch.rand(1, channels, 160, cols), (rows, cols))
    one = 4 * channels * rows * cols
    # Two rows a layer are kept of each of ten bands, and while a band is computed also their copies and their
    # gradients; the image and the result are there as a whole; and a few maps around one layer.
    handed = (10 + 3) * 2 * blocks * 2 * one / rows
    others = handed + 2 * 10 * one + 10 * one
    assert 3 * blocks * one < counted.peak < 3 * blocks * one * (rows + 2) / rows + others
