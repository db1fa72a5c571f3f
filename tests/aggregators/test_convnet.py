"""The slide network: the paper's plan at 400 cells, fewer layers below, and the mask obeyed."""

from __future__ import annotations

import pytest
import torch

from histonic.aggregators.base import build_model
from histonic.aggregators.convnet import ConvNet, plan_strides
from histonic.core.task import Task
from histonic.testing import AggregatorContract

TASKS = (Task("grade", "binary", ("g",), ("low", "high")), Task("score", "regression", ("s",)))


class TestConvNet(AggregatorContract):
    def make(self) -> type[ConvNet]:
        return ConvNet


def sides(crop: int) -> list[int]:
    found = [crop]
    for stride in plan_strides(crop):
        found.append((found[-1] - 3) // stride + 1)
    return found


def test_the_plan_of_the_paper() -> None:
    assert sides(400) == [400, 199, 99, 49, 24, 11, 5, 3, 1]


@pytest.mark.parametrize("crop", [*range(8, 130), 399, 401, 1000])
def test_every_crop_has_a_plan(crop: int) -> None:
    found = sides(crop)
    assert found[-3] >= 5 or len(found) == 3
    assert found[-1] >= 1
    assert found[-3] < 2 * 5 + 3  # no further layer of stride 2 would fit


def test_parameters_of_the_paper() -> None:
    count = sum(parameter.numel() for parameter in ConvNet(128, 400).parameters())
    assert 0.155e6 < count < 0.165e6


@pytest.mark.parametrize(("code_size", "crop"), [(3, 8), (18, 20), (128, 47)])
def test_any_code_size_and_crop(code_size: int, crop: int) -> None:
    net = ConvNet(code_size, crop)
    assert net(torch.randn(2, code_size, crop, crop), torch.ones(2, crop, crop)).shape == (2, net.size)


def test_the_mask_is_seen() -> None:
    torch.manual_seed(0)
    net = ConvNet(2, 12).eval()
    codes = torch.zeros(1, 2, 12, 12)
    full, half = torch.ones(1, 12, 12), torch.ones(1, 12, 12)
    half[:, 6:] = 0
    assert not torch.allclose(net(codes, full), net(codes, half))


def test_codes_outside_the_mask_are_not_seen() -> None:
    torch.manual_seed(0)
    model = build_model("convnet", code_size=3, crop_cells=12, tasks=TASKS).eval()
    torch.nn.init.normal_(model.heads["score"].linear.weight)
    mask = torch.ones(1, 12, 12)
    mask[:, :, 5:] = 0
    codes = torch.randn(1, 3, 12, 12)
    other = torch.where(mask[:, None] > 0, codes, torch.randn(1, 3, 12, 12) * 9)
    assert torch.equal(model(codes, mask)["score"], model(other, mask)["score"])
    inside = codes + mask[:, None]
    assert not torch.equal(model(codes, mask)["score"], model(inside, mask)["score"])


def test_maps_of_many_sizes_in_one_batch() -> None:
    torch.manual_seed(0)
    net = ConvNet(2, 12).eval()
    codes, mask = torch.randn(2, 2, 30, 26), torch.zeros(2, 30, 26)
    mask[0, 1:12, 2:9] = 1
    mask[1, 3:29, 4:20] = 1  # more than a crop holds
    codes = codes * mask[:, None]
    together = net(codes, mask)
    assert torch.allclose(together[:1], net(codes[:1, :, :12, :12], mask[:1, :12, :12]), atol=1e-6)
    assert torch.allclose(together[1:], net(codes[1:, :, :29, :20], mask[1:, :29, :20]), atol=1e-6)
    changed = codes.clone()
    changed[1, :, 20, 15] += 1  # beyond what the crop of the first map shows
    assert not torch.equal(net(changed, mask)[1], together[1])


def test_a_window_without_tissue_gives_finite_numbers() -> None:
    assert torch.isfinite(ConvNet(2, 12).eval()(torch.zeros(1, 2, 12, 12), torch.zeros(1, 12, 12))).all()
