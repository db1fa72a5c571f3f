"""A map is put together from windows and orientations so that every value stands in its own cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from histonic.aggregators.base import SlideModel, build_model
from histonic.core.compressed import CompressedSlide
from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.core.units import RC
from histonic.data.maps.memory import Maps
from histonic.models.members import Member
from histonic.stages.explain.attribution.methods import METHODS, Windows, attention
from histonic.stages.explain.attribution.output import ExplainedOutput
from histonic.stages.explain.attribution.views import (
    ExplainedNetwork,
    explain_map,
    missing_corners,
    predict_with,
    randomised,
    windows_of,
)

TASK = Task("msi", "binary", ("msi",), ("no", "yes"))
ASKED = ExplainedOutput(TASK, 1)


class Told(Member):
    """A member of which nothing is output."""

    def __init__(self) -> None:
        pass


def network_of(name: str, side: int, shrinkage: float = 1.0, seed: int = 0) -> ExplainedNetwork:
    torch.manual_seed(seed)
    model = build_model(name, code_size=4, crop_cells=side, tasks=(TASK,)).eval()
    torch.nn.init.normal_(model.heads["msi"].linear.weight)
    model.heads["msi"].shrinkage.fill_(shrinkage)
    model.scale.set(torch.full((4,), 0.5), torch.full((4,), 2.0))
    return ExplainedNetwork(model, Told(), side, 10)


def maps_of(slide_maker: Callable[..., CompressedSlide], shape: tuple[int, int]) -> tuple[Maps, np.ndarray]:
    rng = np.random.default_rng(3)
    mask = rng.random(shape) < 0.8
    codes = rng.normal(0.5, 2, (4, *shape)).astype(np.float16) * mask
    return Maps({"s": slide_maker("s", codes, mask)}, Silent()), codes.astype(np.float64)


@pytest.mark.parametrize("shape", [(12, 12), (9, 14), (14, 40), (35, 31)])
def test_a_linear_model_has_its_values_in_their_own_cells(
    slide_maker: Callable[..., CompressedSlide], shape: tuple[int, int]
) -> None:
    maps, codes = maps_of(slide_maker, shape)
    network = network_of("mean", 16)
    values = explain_map([network], maps, "s", ASKED, METHODS["integrated-gradients"])
    mask = maps.mask("s")
    weight = network.model.heads["msi"].linear.weight[0].detach().numpy()
    by_hand = np.einsum("d,drk->rk", weight, (codes - 0.5) / 2)[mask]
    assert np.isnan(values[~mask]).all() and np.isfinite(values[mask]).all()
    # Windows differ in their number of cells, so larger maps keep sign and rough order only.
    if max(shape) <= 16:
        assert np.allclose(values[mask] * mask.sum(), by_hand, atol=1e-3)
    else:
        assert (np.sign(values[mask]) == np.sign(by_hand)).mean() > 0.999
        assert np.corrcoef(values[mask], by_hand)[0, 1] > 0.9


@pytest.mark.parametrize("method", ["integrated-gradients", "hires-cam", "occlusion"])
def test_a_convnet_points_at_the_cell_that_differs(
    slide_maker: Callable[..., CompressedSlide], method: str
) -> None:
    mask = np.ones((20, 17), bool)
    codes = np.full((4, 20, 17), 0.5)
    codes[:, 6, 11] = 8.0
    maps = Maps({"s": slide_maker("s", codes, mask)}, Silent())
    values = explain_map([network_of("convnet", 20)], maps, "s", ASKED, METHODS[method])
    row, col = np.unravel_index(np.argmax(np.abs(values)), values.shape)
    assert abs(row - 6) <= 2 and abs(col - 11) <= 2


@pytest.mark.parametrize(("name", "looks_at"), [("abmil", 1), ("convnet", 8)])
def test_only_who_sees_places_looks_at_turned_maps(
    slide_maker: Callable[..., CompressedSlide], name: str, looks_at: int
) -> None:
    maps, _ = maps_of(slide_maker, (10, 10))
    seen = []

    def watched(model: SlideModel, windows: Windows, output: ExplainedOutput) -> torch.Tensor:
        seen.append(len(windows.mask))
        return METHODS["hires-cam"](model, windows, output)

    explain_map([network_of(name, 16)], maps, "s", ASKED, watched)
    assert seen == [looks_at]


def test_windows_know_the_fullest_of_their_map(slide_maker: Callable[..., CompressedSlide]) -> None:
    mask = np.zeros((8, 40), bool)
    mask[:, :8] = mask[3, :] = True
    maps = Maps({"s": slide_maker("s", np.ones((4, 8, 40)) * mask, mask)}, Silent())
    windows = [each for _, each in windows_of(network_of("abmil", 12), maps, "s", cover=True)]
    tissue = [int(each.mask.sum()) for each in windows]
    assert len(set(tissue)) > 1 and {each.most_tissue for each in windows} == {max(tissue)}


def test_networks_count_by_their_trust(slide_maker: Callable[..., CompressedSlide]) -> None:
    maps, _ = maps_of(slide_maker, (10, 10))
    method = METHODS["integrated-gradients"]
    full, half, none = (network_of("abmil", 16, shrinkage) for shrinkage in (1.0, 0.5, 0.0))
    whole = explain_map([full], maps, "s", ASKED, method)
    assert np.allclose(explain_map([half], maps, "s", ASKED, method), whole / 2, equal_nan=True)
    assert np.allclose(explain_map([full, none], maps, "s", ASKED, method), whole / 2, equal_nan=True)
    assert np.nanmean(explain_map([none], maps, "s", ASKED, attention)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("method", ["integrated-gradients", "hires-cam", "occlusion"])
@pytest.mark.parametrize("shape", [(11, 9), (30, 17)])
def test_glass_around_the_tissue_changes_no_explanation(
    slide_maker: Callable[..., CompressedSlide], method: str, shape: tuple[int, int]
) -> None:
    maps, codes = maps_of(slide_maker, shape)
    edges = ((4, 13), (7, 2))
    mask = np.pad(maps.mask("s"), edges)
    wide = Maps({"s": slide_maker("s", np.pad(codes, ((0, 0), *edges)), mask)}, Silent())
    network = network_of("convnet", 12)
    found = explain_map([network], maps, "s", ASKED, METHODS[method])
    assert np.array_equal(
        explain_map([network], wide, "s", ASKED, METHODS[method]),
        np.pad(found, edges, constant_values=np.nan),
        equal_nan=True,
    )


def test_all_tissue_is_seen() -> None:
    rng = np.random.default_rng(0)
    for side in (3, 8, 50):
        mask = rng.random((23, 31)) < 0.5
        corners = missing_corners(mask, side, [])
        seen = np.zeros(mask.shape, bool)
        for corner in corners:
            seen[max(corner.row, 0) : corner.row + side, max(corner.col, 0) : corner.col + side] = True
        assert seen[mask].all()
    assert missing_corners(mask, 50, [RC(-13, -9)]) == []


def test_cells_that_are_not_kept_are_average_tissue(slide_maker: Callable[..., CompressedSlide]) -> None:
    maps, codes = maps_of(slide_maker, (10, 10))
    network = network_of("mean", 16)
    mask = maps.mask("s")
    kept = [mask, mask & False, mask & (np.arange(10) < 5)]
    found = predict_with([network], maps, "s", ASKED, kept)
    head = network.model.heads["msi"]
    weight, bias = head.linear.weight[0].detach().numpy(), float(head.linear.bias.detach())
    for keep, each in zip(kept, found, strict=True):
        logit = bias + np.einsum("d,dn->n", weight, ((codes - 0.5) / 2)[:, keep]).sum() / mask.sum()
        assert each == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-3)


def test_randomised_weights_are_other_weights_of_the_same_spread() -> None:
    network = network_of("abmil", 16)
    before = {name: weight.clone() for name, weight in network.model.named_parameters()}
    drawn = randomised(network, 1)
    for name, weight in drawn.model.named_parameters():
        assert torch.equal(before[name], dict(network.model.named_parameters())[name])
        if weight.ndim > 1:
            assert not torch.equal(weight, before[name])
            assert float((weight.square().mean() / before[name].square().mean()).detach()) == pytest.approx(
                1, abs=0.35
            )
    again = randomised(network, 1)
    assert all(
        torch.equal(one, other)
        for one, other in zip(drawn.model.parameters(), again.model.parameters(), strict=True)
    )
