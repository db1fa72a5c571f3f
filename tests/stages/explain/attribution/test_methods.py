"""Values of cells: exact where the answer is known by hand, complete, and the same by cheap and dear ways."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import IntegratedGradients

from histonic.aggregators.base import SlideModel, build_model
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.nn.heads import Heads
from histonic.stages.explain.attribution import methods as explain_methods
from histonic.stages.explain.attribution.methods import (
    METHODS,
    Windows,
    explained_value,
    path_nodes,
    path_steps,
)
from histonic.stages.explain.attribution.output import ExplainedOutput, choose_output

BINARY = Task("msi", "binary", ("msi",), ("no", "yes"))
TYPES = Task("type", "multiclass", ("type",), ("a", "b", "c"))
GRADE = Task("grade", "ordinal", ("grade",), ("low", "mid", "high"))
SCORE = Task("score", "regression", ("score",))
SURVIVAL = Task("os", "survival", ("months", "event"))
ALL = (BINARY, TYPES, GRADE, SCORE, SURVIVAL)


def model_of(name: str, side: int = 16, code_size: int = 5) -> SlideModel:
    torch.manual_seed(4)
    tile_heads = Heads((BINARY, TYPES), code_size)
    for head in tile_heads.heads:
        torch.nn.init.normal_(head.linear.weight)
    model = build_model(name, code_size=code_size, crop_cells=side, tasks=ALL, tile_heads=tile_heads).eval()
    model.scale.set(torch.linspace(-1, 1, code_size), torch.linspace(0.5, 2, code_size))
    for head in model.heads.heads:
        torch.nn.init.normal_(head.linear.weight)
    model.heads["score"].set_scale(10.0, 3.0)
    return model


def windows_of(side: int = 16, code_size: int = 5, count: int = 2) -> Windows:
    chance = torch.Generator().manual_seed(5)
    mask = (torch.rand(count, side, side, generator=chance) < 0.7).float()
    return Windows(torch.randn(count, code_size, side, side, generator=chance) * mask[:, None], mask)


@pytest.mark.parametrize("method", ["integrated-gradients", "hires-cam", "occlusion"])
def test_a_linear_model_is_explained_exactly(method: str) -> None:
    model, windows = model_of("mean"), windows_of()
    found = METHODS[method](model, windows, ExplainedOutput(BINARY, 1))
    weight = model.heads["msi"].linear.weight[0]
    cells = windows.mask.sum(dim=(1, 2), keepdim=True)
    by_hand = torch.einsum("d,vdrk->vrk", weight, windows.codes) / cells
    assert torch.allclose(found, by_hand, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(AGGREGATORS.entries()) - {"votes"}))
@pytest.mark.parametrize("task", ALL, ids=lambda task: task.kind)
def test_integrated_gradients_sum_to_what_the_map_says(
    name: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_methods, "PATH_STEPS", 200)
    model, windows = model_of(name), windows_of(count=1)
    output = choose_output(task, None, "b")
    found = METHODS["integrated-gradients"](model, windows, output).sum()
    with torch.no_grad():
        whole = explained_value(model, windows.codes, windows.mask, output)
        average = explained_value(model, windows.codes * 0, windows.mask, output)
    assert float(found) == pytest.approx(float(whole - average), rel=0.05, abs=0.02)


@pytest.mark.parametrize("name", ["convnet", "abmil"])
def test_integrated_gradients_are_those_of_captum(name: str) -> None:
    model, windows = model_of(name), windows_of()

    def logit(codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return model.heads(model.of_scaled(codes, mask))["msi"][:, 0]

    wanted = IntegratedGradients(logit).attribute(
        windows.codes,
        baselines=0.0,
        additional_forward_args=(windows.mask,),
        n_steps=path_steps(windows, 1),
        method="gausslegendre",
    )
    found = METHODS["integrated-gradients"](model, windows, ExplainedOutput(BINARY, 1))
    assert torch.allclose(found, (wanted.sum(dim=1) * windows.mask).float(), rtol=1e-4, atol=1e-6)
    assert found.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "tissue", "steps"),
    [
        ("abmil", 1.0, 3),
        ("abmil", 0.5, 5),
        ("abmil", 0.0, 15),
        ("dsmil", 1.0, 2),
        ("transmil", 1.0, 1),
        ("transmil", 0.5, 2),
    ],
)
def test_a_large_map_takes_few_steps(name: str, tissue: float, steps: int) -> None:
    mask = torch.zeros(1, 400, 400)
    mask[:, : int(tissue * 400)] = 1
    cost = getattr(model_of(name).aggregator, "path_cost", 1)
    assert path_steps(Windows(mask[:, None], mask), cost) == steps


@pytest.mark.parametrize(("name", "places"), [("mean", [0.5]), ("transmil", [0.25])])
def test_the_steps_of_a_path(name: str, places: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    windows, taken = windows_of(count=1), []
    monkeypatch.setattr(explain_methods, "PATH_CELLS", 1)
    evidence = explain_methods.explained_value

    def watched(model: SlideModel, codes: torch.Tensor, *output: Any) -> torch.Tensor:
        taken.append(float((codes.abs().sum() / windows.codes.abs().sum()).detach()))
        return evidence(model, codes, *output)

    monkeypatch.setattr(explain_methods, "explained_value", watched)
    METHODS["integrated-gradients"](model_of(name), windows, ExplainedOutput(BINARY, 1))
    assert taken == pytest.approx(places)


def test_all_windows_of_a_map_take_the_same_steps() -> None:
    mask = torch.ones(1, 400, 400)
    few = mask * (torch.arange(400) < 40)
    alone, beside = (Windows(few[:, None], few, most) for most in (0, 160_000))
    assert path_steps(alone, 1) > path_steps(beside, 1) == path_steps(Windows(mask[:, None], mask), 1)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_path_is_walked_from_end_to_end(steps: int, power: int) -> None:
    nodes = path_nodes(steps, power)
    # Exact for polynomials of the walk up to the degree 2 * steps - 1, of which the slope takes part.
    for degree in range((2 * steps - power) // power + 1):
        assert sum(weight * place**degree for place, weight in nodes) == pytest.approx(1 / (degree + 1))


def test_a_steep_beginning_is_walked_in_shorter_steps() -> None:
    def steep(place: float) -> float:
        return 50 / (1 + 50 * place) ** 2  # Its integral from 0 to 1 is 50/51.

    even, dense = (sum(weight * steep(place) for place, weight in path_nodes(5, power)) for power in (1, 2))
    assert abs(dense - 50 / 51) < abs(even - 50 / 51) / 10


@pytest.mark.parametrize("name", sorted(AGGREGATORS.entries()))
@pytest.mark.parametrize("method", ["integrated-gradients", "hires-cam", "occlusion"])
def test_every_aggregator_and_kind_of_target(name: str, method: str) -> None:
    model, windows = model_of(name, side=12), windows_of(side=12)
    for task in ALL:
        found = METHODS[method](model, windows, choose_output(task, None, "b")).detach()
        assert found.shape == windows.mask.shape and torch.isfinite(found).all()
        assert not found[windows.mask == 0].any() and found.abs().max() > 0


@pytest.mark.parametrize("method", ["integrated-gradients", "hires-cam", "occlusion"])
def test_the_other_class_has_the_other_sign(method: str) -> None:
    model, windows = model_of("abmil"), windows_of()
    yes, no = (METHODS[method](model, windows, ExplainedOutput(BINARY, each)) for each in (1, 0))
    assert torch.allclose(yes, -no, atol=1e-6)


@pytest.mark.parametrize("name", ["abmil", "dsmil"])
def test_attention_is_one_for_the_average_cell(name: str) -> None:
    model, windows = model_of(name), windows_of()
    found = METHODS["attention"](model, windows, ExplainedOutput(BINARY, 1))
    means = found.sum(dim=(1, 2)) / windows.mask.sum(dim=(1, 2))
    assert torch.allclose(means, torch.ones(2), atol=1e-4) and (found >= 0).all()


@pytest.mark.parametrize("place", [1, 21, 50, 79, 97])
def test_a_class_activation_lies_where_the_layer_looks(place: int) -> None:
    """A value at a position of a convolution without padding is spread around the middle cell it sees."""
    layer = torch.nn.Conv2d(1, 1, 3, stride=2)
    values = torch.zeros(1, 49, 49)
    values[0, place // 2, 20] = 1.0
    spread = explain_methods._to_cells(values, 100, layer)[0]
    row, col = divmod(int(spread.argmax()), 100)
    assert abs(row - (2 * (place // 2) + 1)) <= 1 and col == 41
    inner = spread[1:-1, 1:-1]
    centre = (inner.sum(dim=1) * torch.arange(1, 99)).sum() / inner.sum()
    assert abs(float(centre) - (2 * (place // 2) + 1)) < 0.6
    assert torch.equal(explain_methods._to_cells(values, 49, layer), values)


def test_grad_cam_of_the_first_layer_by_hand() -> None:
    """Mean gradient of a channel times its activation, summed and cut off at 0 (Selvaraju et al. 2017)."""
    model, windows = model_of("convnet", side=20), windows_of(side=20, count=1)
    kept: list[torch.Tensor] = []
    block = model.aggregator.cam_layers[0]
    handle = block.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    evidence = explained_value(model, windows.codes, windows.mask, ExplainedOutput(BINARY, 1))
    handle.remove()
    gradient = torch.autograd.grad(evidence.sum(), kept[0])[0][0]
    by_hand = torch.zeros(kept[0].shape[2:])
    for channel, slope in zip(kept[0][0].detach(), gradient, strict=True):
        by_hand += channel * slope.mean()
    assert by_hand.min() < 0 < by_hand.max()
    found = METHODS["grad-cam"](model, windows, ExplainedOutput(BINARY, 1))[0]
    wanted = explain_methods._to_cells(by_hand.clamp_min(0)[None], 20, block)[0] * windows.mask[0]
    assert torch.allclose(found, wanted, atol=1e-6)
    assert not torch.allclose(found, METHODS["hires-cam"](model, windows, ExplainedOutput(BINARY, 1)).relu())


@pytest.mark.parametrize("name", sorted(AGGREGATORS.entries()))
def test_grad_cam_of_every_aggregator_speaks_against_nothing(name: str) -> None:
    model, windows = model_of(name, side=12), windows_of(side=12)
    values = [METHODS["grad-cam"](model, windows, ExplainedOutput(BINARY, each)) for each in (0, 1)]
    for each in values:
        assert torch.isfinite(each).all() and (each >= 0).all() and not each[windows.mask == 0].any()
    # What speaks for one class is 0 where the other's stands, as far as the layer is the codes themselves.
    if not getattr(model.aggregator, "cam_layers", ()):
        assert not (values[0] * values[1]).any() and (values[0] + values[1]).any()


def test_attention_where_there_is_none_names_what_works() -> None:
    with pytest.raises(SettingsError, match="ConvNet has no attention") as caught:
        METHODS["attention"](model_of("convnet"), windows_of(), ExplainedOutput(BINARY, 1))
    assert "integrated-gradients" in caught.value.todo


def test_occlusion_is_the_same_by_whole_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    model, windows = model_of("abmil", side=9), windows_of(side=9, count=1)
    cheap = METHODS["occlusion"](model, windows, ExplainedOutput(BINARY, 1))
    monkeypatch.delattr(type(model.aggregator), "occluded")
    dear = METHODS["occlusion"](model, windows, ExplainedOutput(BINARY, 1))
    assert torch.allclose(cheap, dear, atol=1e-5) and cheap.abs().max() > 0


def test_large_maps_are_occluded_by_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_methods, "MOST_SQUARES", 16)
    model = model_of("mean")
    windows = Windows(torch.randn(1, 5, 16, 16), torch.ones(1, 16, 16))
    found = METHODS["occlusion"](model, windows, ExplainedOutput(BINARY, 1))[0]
    assert torch.allclose(found[:4, :4], found[0, 0].expand(4, 4)) and found[0, 0] != found[0, 4]
    whole = explained_value(model, windows.codes, windows.mask, ExplainedOutput(BINARY, 1))
    bias = model.heads["msi"].linear.bias
    # Of a linear model the squares' losses sum to all that it says.
    assert float(found.sum().detach()) == pytest.approx(float((whole - bias).detach()), abs=1e-4)


def test_a_window_without_tissue_is_worth_nothing() -> None:
    empty = Windows(torch.zeros(1, 5, 16, 16), torch.zeros(1, 16, 16))
    for name in ("convnet", "abmil", "mean"):
        for method in ("integrated-gradients", "hires-cam", "occlusion"):
            assert not METHODS[method](model_of(name), empty, ExplainedOutput(BINARY, 1)).any()
