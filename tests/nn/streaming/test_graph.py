"""What of a module is found by tracing, how far it sees, and what is refused by which name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.core.errors import NetworkError
from histonic.nn.streaming.graph import Graph, receptive_field
from histonic.nn.streaming.layers import Cellwise
from histonic.nn.streaming.windows import Span


def test_receptive_field_of_stacked_layers_by_hand():
    # 3x3 s2 p1, 3x3 pool s2 p1, 3x3 p1: field 3, 3 + 2*2 = 7, 7 + 4*2 = 15; jump 4; first at -1 - 2 - 4 = -7.
    layers = nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(1, 1, 3, 1, 1))
    assert receptive_field(layers, Span(4, 5), 100) == Span(16 - 7, 16 + 8)
    assert receptive_field(layers, Span(0, 1), 100) == Span(0, 8)
    assert receptive_field(layers, Span(24, 25), 100) == Span(89, 100)


def test_receptive_field_is_where_the_gradient_is():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 2, (3, 5), (2, 1), (1, 2)), nn.AvgPool2d(2), nn.Conv2d(2, 1, 3, dilation=2)
    ).double()
    image = torch.rand(1, 1, 41, 41, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(layers(image)[..., 2:4, 3:5].sum(), image)
    rows = found[0, 0].abs().sum(1).nonzero().flatten()
    cols = found[0, 0].abs().sum(0).nonzero().flatten()
    assert receptive_field(layers, Span(2, 4), 41) == Span(int(rows[0]), int(rows[-1]) + 1)
    assert receptive_field(layers, Span(3, 5), 41, axis=1) == Span(int(cols[0]), int(cols[-1]) + 1)


def test_branches_are_joined():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.far, self.near = nn.Conv2d(1, 1, 9, padding=4), nn.Conv2d(1, 1, 1)

        def forward(self, maps: Tensor) -> Tensor:
            return torch.cat([self.near(maps), self.far(maps)], dim=1)

    assert receptive_field(Branches(), Span(20, 21), 50) == Span(16, 25)
    assert [layer.name for layer in Graph.of(Branches()).layers] == ["maps", "near", "far", "cat"]


class Named(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3), layer)

    def forward(self, maps: Tensor) -> Tensor:
        return self.stem(maps)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (nn.BatchNorm2d(4), "statistics from the batch"),
        (nn.BatchNorm2d(4, track_running_stats=False).eval(), "statistics from the batch"),
        (nn.GroupNorm(2, 4), "mean and spread over the whole map"),
        (nn.InstanceNorm2d(4).eval(), "mean and spread over the whole map"),
        (nn.LayerNorm(4), "mean and spread over the whole map"),
        (nn.AdaptiveAvgPool2d(1), "the whole map at once"),
        (nn.Dropout2d(0.5), "draws at random"),
        (nn.MaxPool2d(2, return_indices=True), "places of its maxima"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "'reflect'"),
        (nn.Flatten(), "not known what Flatten"),
        (nn.Upsample(scale_factor=2), "not known what Upsample"),
        (nn.ConvTranspose2d(4, 4, 2), "not known what ConvTranspose2d"),
    ],
)
def test_what_sees_too_far_is_refused_by_its_name(layer, says):
    with pytest.raises(NetworkError, match=says) as refused:
        Graph.of(Named(layer))
    assert "'stem.1'" in refused.value.asked


def test_normalisation_with_fixed_statistics_and_dropout_that_rests_are_let_through():
    for layer in (nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True)):
        assert len(Graph.of(Named(layer.eval())).layers) == 3
    assert len(Graph.of(Named(nn.Dropout2d(0.5).eval())).layers) == 2


def test_what_hands_its_map_through_is_no_layer():
    """The shortcut of a residual block: its rows would be handed on beside those of the map itself."""

    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.short = nn.Conv2d(1, 1, 3, padding=1), nn.Identity()

        def forward(self, maps: Tensor) -> Tensor:
            return self.body(maps) + self.short(maps)

    layers = Graph.of(Shortcut()).layers
    assert [(layer.name, layer.below) for layer in layers] == [("maps", ()), ("body", (0,)), ("add", (1, 0))]
    assert [layer.name for layer in Graph.of(nn.Identity()).layers][1:] == ["result"]


class Calls(nn.Module):
    def __init__(self, call) -> None:
        super().__init__()
        self.call = call
        self.wide = nn.Parameter(torch.zeros(1, 4, 4))

    def forward(self, maps: Tensor) -> Tensor:
        return self.call(self, maps)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda _, maps: maps.mean((2, 3), keepdim=True), "'mean'"),
        (lambda _, maps: torch.cat([maps, maps], 2), "another axis"),
        (lambda _, maps: F.interpolate(maps, scale_factor=2), "'interpolate'"),
        (lambda _, maps: F.pad(maps, (1, 1, 1, 1), mode="replicate"), "constant"),
        (lambda _, maps: F.dropout(maps), "at random"),
        (lambda self, maps: maps + self.wide, "'wide' differs"),
        (
            lambda _, maps: F.avg_pool2d(maps, maps.shape[2]),
            "no map|not known|depends on that of a map|cannot be told apart",
        ),
        (lambda _, maps: maps if maps.shape[2] > 3 else -maps, "cannot be told apart"),
        (lambda _, maps: (maps, maps), "several"),
    ],
)
def test_functions_that_see_too_far_are_refused(call, says):
    with pytest.raises(NetworkError, match=says):
        Graph.of(Calls(call))


def test_what_others_look_at_is_not_overwritten():
    def call(_: nn.Module, maps: Tensor) -> Tensor:
        first = torch.tanh(maps)
        second = first.relu_()
        return second + first

    with pytest.raises(NetworkError, match="overwrites"):
        Graph.of(Calls(call))

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True)

        def forward(self, maps: Tensor) -> Tensor:
            found = self.conv(maps)
            return self.act(found) + found

    with pytest.raises(NetworkError, match="'act'"):
        Graph.of(Twice())


def test_sizes_are_those_of_torch_and_what_does_not_fit_is_refused():
    layers = nn.Sequential(nn.Conv2d(1, 1, 7, 2, 3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(1, 1, 5))
    assert Graph.of(layers).sizes([(33, 50)])[-1] == tuple(layers(torch.zeros(1, 1, 33, 50)).shape[2:])
    with pytest.raises(NetworkError, match="'2'"):
        Graph.of(layers).sizes([(9, 50)])

    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, maps: Tensor) -> Tensor:
            return maps + self.conv(maps)

    with pytest.raises(NetworkError, match="meet in it"):
        Graph.of(Uneven()).sizes([(9, 9)])


def test_a_layer_that_says_so_is_not_looked_into():
    class Odd(Cellwise):
        def forward(self, maps: Tensor) -> Tensor:
            return maps * 2 if maps.shape[2] > 3 else maps + maps

    assert receptive_field(nn.Sequential(Odd(), nn.Conv2d(1, 1, 3)), Span(4, 5), 20) == Span(4, 7)
