"""Streamed is the same as whole, for random networks, sizes and tiles."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from histonic.core.errors import NetworkError
from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.streamed import Streamed, stream

OUTPUTS, GRADIENTS = 1e-12, 1e-10


class Residual(nn.Module):
    """Sums of a map and what layers make of it, or of a shortcut; overwritten, as in published networks."""

    def __init__(self, inner: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.short = short
        self.act = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        found = self.inner(maps)
        found += self.short(maps)
        return self.act(found)


class Dense(nn.Module):
    """Channels of a map and of what layers make of it, side by side."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.ModuleList(inner)

    def forward(self, maps: Tensor) -> Tensor:
        for layer in self.inner:
            maps = torch.cat([maps, torch.relu(layer(maps))], 1)
        return maps


class Functions(nn.Module):
    """Functions instead of modules, weights for channels, a border of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(channels, 1, 1) + 0.5)

    def forward(self, maps: Tensor) -> Tensor:
        wider = F.pad(maps, (2, 1, 0, 3), value=0.5)
        both = F.max_pool2d(wider, 2, stride=1) - F.avg_pool2d(wider, 2, 1)
        return both.tanh() * self.gain + 1.0 / (1.0 + torch.exp(-both))


def same(
    module: nn.Module, maps: list[Tensor], tile: Any, memory_bytes: int | None = None
) -> tuple[float, float]:
    """The largest difference of outputs, and of gradients of maps and weights."""
    leaves = [*maps, *module.parameters()]
    whole = module(*maps)
    towards = torch.linspace(-1, 1, whole.numel(), dtype=whole.dtype).view_as(whole).cos()
    wanted = torch.autograd.grad(whole, leaves, towards, allow_unused=True)
    streamed = stream(module, *maps, tile_px=tile, memory_bytes=memory_bytes)
    found = torch.autograd.grad(streamed, leaves, towards, allow_unused=True)
    differences = [
        (mine - right).abs().max().item()
        for mine, right in zip(found, wanted, strict=True)
        if mine is not None and right is not None
    ]
    assert [each is None for each in found] == [each is None for each in wanted]
    return (streamed - whole).detach().abs().max().item(), max(differences, default=0.0)


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """Two to five layers over two channels, each with settings of its own."""
    channels = 2
    layers: list[nn.Module] = []
    torch.manual_seed(draw(st.integers(0, 99)))
    for _ in range(draw(st.integers(2, 5))):
        kind = draw(
            st.sampled_from(["conv", "conv", "conv", "max", "mean", "residual", "dense", "norm", "functions"])
        )
        kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        step = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        gap = (draw(st.integers(1, 2)), draw(st.integers(1, 3)))
        if kind == "conv":
            groups = draw(st.sampled_from([1, channels]))
            pads = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
            out = channels * draw(st.integers(1, 2)) if groups > 1 else draw(st.integers(1, 3))
            bias = draw(st.booleans())
            layers.append(nn.Conv2d(channels, out, kernel, step, pads, gap, groups, bias))
            channels = out
        elif kind == "max":
            pads = (kernel[0] // 2, 0)
            layers.append(nn.MaxPool2d(kernel, step, pads, gap, ceil_mode=draw(st.booleans())))
        elif kind == "mean":
            layers.append(
                nn.AvgPool2d(
                    kernel,
                    step,
                    (0, kernel[1] // 2),
                    ceil_mode=draw(st.booleans()),
                    count_include_pad=draw(st.booleans()),
                    divisor_override=draw(st.sampled_from([None, 3])),
                )
            )
        elif kind == "residual":
            side = 2 * draw(st.integers(0, 2)) + 1
            inner = nn.Sequential(
                nn.Conv2d(channels, 3, side, step, side // 2),
                nn.LeakyReLU(0.1, inplace=True),
                nn.Conv2d(3, channels, 3, padding="same", dilation=gap),
            )
            layers.append(Residual(inner, nn.Conv2d(channels, channels, 1, step)))
        elif kind == "dense":
            layers.append(
                Dense(nn.Conv2d(channels, 1, 3, padding=1), nn.Conv2d(channels + 1, 2, 5, padding=2))
            )
            channels += 3
        elif kind == "norm":
            norm = nn.BatchNorm2d(channels)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            layers += [norm.eval(), nn.SiLU(inplace=True)]
        else:
            layers.append(Functions(channels))
    return nn.Sequential(*layers).double()


@given(
    networks(),
    st.tuples(st.integers(7, 41), st.integers(7, 41)),
    st.one_of(st.integers(1, 50), st.tuples(st.integers(1, 20), st.integers(1, 60))),
    st.integers(1, 2),
)
# The same examples every time: for some random networks torch's own backward crashes the process.
@settings(max_examples=120, deadline=None, derandomize=True)
def test_streamed_is_whole(network, size, tile, batch):
    try:
        Graph.of(network).sizes([size])
    except NetworkError:
        assume(False)
    image = torch.linspace(0, 9, batch * 2 * size[0] * size[1], dtype=torch.float64).sin()
    image = image.view(batch, 2, *size).mul(3).requires_grad_()
    outputs, gradients = same(network, [image], tile)
    assert outputs < OUTPUTS and gradients < GRADIENTS


@given(networks(), st.tuples(st.integers(7, 41), st.integers(7, 41)), st.integers(1, 100_000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_streamed_is_whole_whatever_memory_there_is(network, size, memory_bytes):
    try:
        Graph.of(network).sizes([size])
    except NetworkError:
        assume(False)
    image = torch.linspace(0, 9, 2 * size[0] * size[1], dtype=torch.float64).sin()
    outputs, gradients = same(network, [image.view(1, 2, *size).requires_grad_()], None, memory_bytes)
    assert outputs < OUTPUTS and gradients < GRADIENTS


@pytest.mark.long
@given(
    networks(),
    st.tuples(st.integers(7, 90), st.integers(7, 90)),
    st.one_of(st.integers(1, 90), st.tuples(st.integers(1, 90), st.integers(1, 90))),
)
@settings(max_examples=3000, deadline=None)
def test_streamed_is_whole_in_many_cases(network, size, tile):
    test_streamed_is_whole.hypothesis.inner_test(network, size, tile, 1)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, 2, 1)
        self.second = nn.Conv2d(1, 3, 3, 2, 1)

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        return self.first(codes) * self.second(mask)


def test_several_maps():
    torch.manual_seed(1)
    maps = [torch.randn(1, channels, 31, 22, dtype=torch.float64, requires_grad=True) for channels in (2, 1)]
    assert max(same(Two().double(), maps, 7)) < GRADIENTS


def test_without_a_gradient_nothing_is_kept():
    network = nn.Conv2d(1, 1, 3)
    with torch.no_grad():
        assert not stream(network, torch.zeros(1, 1, 9, 9)).requires_grad
    frozen = copy.deepcopy(network).requires_grad_(False)
    assert not stream(frozen, torch.zeros(1, 1, 9, 9)).requires_grad


def test_frozen_weights_get_no_gradient_and_others_do():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3)).double()
    network[0].requires_grad_(False)
    image = torch.randn(1, 1, 20, 20, dtype=torch.float64)
    assert max(same_of_learned(network, image)) < GRADIENTS


def same_of_learned(network: nn.Module, image: Tensor) -> list[float]:
    found = []
    for run in (network, Streamed(network, 5)):
        network.zero_grad()
        run(image).square().sum().backward()
        found.append([each.grad.clone() for each in network.parameters() if each.requires_grad])
    assert all(each.grad is None for each in network.parameters() if not each.requires_grad)
    return [(a - b).abs().max().item() for a, b in zip(*found, strict=True)]


def test_a_step_of_training_is_the_same():
    """Weights after an optimiser's steps, through late layers that see the whole map."""
    torch.manual_seed(0)
    local = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3))
    late = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    image = torch.rand(2, 3, 67, 53, dtype=torch.float64)
    found = []
    for tile in (None, 16):
        own, top = copy.deepcopy(local).double(), copy.deepcopy(late).double()
        network = nn.Sequential(own if tile is None else Streamed(own, tile), top)
        optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        for _ in range(3):
            optimiser.zero_grad()
            network(image).square().sum().backward()
            optimiser.step()
        found.append(torch.cat([weight.flatten() for weight in (*own.parameters(), *top.parameters())]))
    assert (found[0] - found[1]).abs().max() < GRADIENTS


def test_in_mixed_precision_gradients_are_as_near_as_its_rounding():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3))
    image = torch.rand(1, 3, 64, 64)
    grads = []
    for run in (network, Streamed(network, 16)):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            found = run(image)
        assert found.dtype == torch.bfloat16
        found.float().square().mean().backward()
        grads.append(network[0].weight.grad.clone())
    assert (grads[0] - grads[1]).norm() < 0.02 * grads[0].norm()


@pytest.mark.parametrize("kind", [torch.uint8, torch.float16, torch.bool])
def test_an_image_of_bytes_or_halves_is_computed_in_the_precision_of_the_weights(kind):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    image = torch.randint(2 if kind == torch.bool else 256, (1, 3, 61, 50)).to(kind)
    found = []
    for run, shown in ((network.double(), image.double()), (Streamed(network, 16), image)):
        network.zero_grad()
        result = run(shown)
        result.square().sum().backward()
        found.append([result.detach(), *(weight.grad.clone() for weight in network.parameters())])
    assert all(torch.allclose(a, b, rtol=GRADIENTS, atol=0) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("cols", [3, 4, 50])
def test_mixed_precision_where_a_strip_is_one_column_wide(cols):
    """Strided convolutions of that shape are wrong in bf16 in torch itself on processors with AMX."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 16, 3, 2)
    image = torch.randn(1, 3, 61, cols)
    with torch.no_grad():
        whole = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            streamed = stream(network, image, tile_px=16)
    assert (streamed - whole).abs().max() < 0.05 * whole.abs().max()


def test_an_image_of_bytes_in_mixed_precision():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
    image = torch.randint(256, (1, 3, 61, 50), dtype=torch.uint8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        streamed, whole = stream(network, image, tile_px=16), network(image.float())
    assert streamed.dtype == torch.bfloat16 and (streamed - whole).abs().max() <= 0.02 * whole.abs().max()


def test_an_image_of_bytes_through_layers_without_weights():
    image = torch.randint(256, (1, 3, 41, 30), dtype=torch.uint8)
    layers = nn.Sequential(nn.ReLU(), nn.AvgPool2d(2))
    assert torch.equal(stream(layers, image, tile_px=16), layers(image.float()))


def test_a_map_of_halves_has_a_gradient():
    torch.manual_seed(0)
    network = nn.Conv2d(1, 2, 3)
    image = torch.rand(1, 1, 20, 20).half().requires_grad_()
    stream(network, image, tile_px=7).square().sum().backward()
    plain = image.detach().float().requires_grad_()
    network(plain).square().sum().backward()
    assert image.grad.dtype == torch.float16
    assert (image.grad - plain.grad).abs().max() < 1e-3 * plain.grad.abs().max()


def test_the_gradient_can_be_asked_for_once():
    found = stream(nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 9, 9)).sum()
    found.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        found.backward()


@pytest.mark.parametrize("shape", [(1, 3, 9), (0, 3, 9, 9)])
def test_a_map_of_another_shape_is_refused(shape):
    with pytest.raises(NetworkError, match="shape"):
        stream(nn.Conv2d(3, 1, 3), torch.zeros(shape))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_bands_are_brought_to_the_device_of_the_weights():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 2, 3)).double()
    image = torch.rand(1, 3, 61, 50, dtype=torch.float64)
    whole = network(image)
    network.cuda()
    streamed = stream(network, image, tile_px=16)
    assert streamed.is_cuda and (streamed.cpu() - whole).abs().max() < OUTPUTS
