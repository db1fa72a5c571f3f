"""Slide models: codes brought to one scale, aggregators by name, and a graph that needs no Python."""

from __future__ import annotations

import pytest
import torch

from histonic.aggregators import base
from histonic.aggregators.base import CodeScale, SlideModel, build_model
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.nn.heads import Heads

TASKS = (Task("grade", "ordinal", ("g",), ("low", "mid", "high")), Task("score", "regression", ("s",)))


def model_of(name: str) -> SlideModel:
    torch.manual_seed(1)
    tile_heads = Heads((Task("mitosis", "binary", ("m",), ("no", "yes")),), 5)
    model = build_model(name, code_size=5, crop_cells=16, tasks=TASKS, tile_heads=tile_heads).eval()
    model.scale.set(torch.linspace(-1, 1, 5), torch.linspace(0.5, 2, 5))
    for head in (*tile_heads.heads, *model.heads.heads):
        torch.nn.init.normal_(head.linear.weight)
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, (16, 16)) for name in sorted(AGGREGATORS.entries())), ("convnet", (20, 15))],
)
def test_an_exported_graph_is_true_for_any_mask(name: str, size: tuple[int, int]) -> None:
    model, chance = model_of(name), torch.Generator().manual_seed(2)
    codes, full = torch.randn(2, 5, *size, generator=chance), torch.ones(2, *size)
    graph = torch.export.export(model, (codes, full), strict=False).module()
    holes = (torch.rand(full.shape, generator=chance) < 0.6).float()
    holes[0, 7:] = holes[1, :, 10:] = 0  # frames of two sizes
    for mask in (full, holes, full * torch.tensor([1.0, 0.0])[:, None, None], full * 0):
        found, wanted = graph(codes.flip(0), mask), model(codes.flip(0), mask)
        for task in TASKS:
            assert torch.allclose(found[task.name], wanted[task.name], atol=1e-5)


def test_code_scale_standardises_tissue_and_spares_constant_channels() -> None:
    scale = CodeScale(2)
    scale.set(torch.tensor([10.0, 5.0]), torch.tensor([2.0, 0.0]))
    codes = torch.tensor([[14.0, 8.0], [5.0, 5.0]]).reshape(1, 2, 1, 2)
    found = scale(codes, torch.tensor([[[1.0, 1.0]]]))
    assert found.flatten().tolist() == [2, -1, 0, 0]
    found = scale(codes.half(), torch.tensor([[[1.0, 0.0]]]))
    assert found.dtype == torch.float32 and found.flatten().tolist() == [2, 0, 0, 0]


def test_an_unknown_aggregator_is_named() -> None:
    assert "convnet" in AGGREGATORS
    with pytest.raises(SettingsError, match="convnet"):
        build_model("convnt", code_size=3, crop_cells=12, tasks=TASKS)


def test_code_scale_does_not_depend_on_how_codes_lie_or_how_many_rows_go_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    scale = CodeScale(6)
    scale.set(torch.randn(6), torch.rand(6) + 0.5)
    codes, mask = torch.randn(3, 6, 20, 9).half(), (torch.rand(3, 20, 9) < 0.6).float()
    wanted = (codes.float() - scale.mean[:, None, None]) / scale.std[:, None, None] * mask[:, None]
    for given in (codes, codes.contiguous(memory_format=torch.channels_last)):
        for at_once in (1, 6 * 9 * 7, 1 << 17):
            monkeypatch.setattr(base, "NUMBERS_AT_ONCE", at_once)
            found = scale(given, mask)
            assert torch.equal(found, wanted) and found.stride() == given.stride()
            rounded = scale(given, mask, torch.bfloat16)
            assert torch.equal(rounded, wanted.bfloat16())


@torch.no_grad()
@pytest.mark.parametrize("name", ["convnet", "abmil"])
def test_rounding_the_batch_at_once_is_what_mixed_precision_does_later(name: str) -> None:
    model = model_of(name)
    codes, mask = torch.randn(2, 5, 16, 16).half(), (torch.rand(2, 16, 16) < 0.6).float()
    with torch.autocast("cpu", torch.bfloat16):
        at_once = model(codes, mask)
        model.aggregator.takes_rounded = False
        later = model(codes, mask)
    for task in TASKS:
        assert torch.equal(at_once[task.name], later[task.name])


@torch.no_grad()
@pytest.mark.parametrize("name", sorted(AGGREGATORS.entries()))
def test_cell_by_cell_maps_give_the_same(name: str) -> None:
    model = model_of(name)
    codes, mask = torch.randn(2, 5, 16, 16).half(), (torch.rand(2, 16, 16) < 0.6).float()
    wanted = model(codes, mask)
    found = model(codes.contiguous(memory_format=torch.channels_last), mask)
    for task in TASKS:
        assert torch.allclose(found[task.name], wanted[task.name], atol=1e-5)
