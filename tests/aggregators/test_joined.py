"""Aggregators of several parts joined: each sees its own cells alone, and what is absent has a vector."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from histonic.aggregators.base import SlideModel, build_model
from histonic.aggregators.joined import JoinedParts
from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.nn.losses import joint_loss

TASKS = (Task("msi", "binary", ("msi",), ("no", "yes")),)
SIZES = [4, 6]
LEARNED = ["abmil", "convnet", "dsmil", "clam", "transmil"]


def model_of(aggregator: str, side: int = 12) -> SlideModel:
    torch.manual_seed(0)
    model = build_model(aggregator, code_size=6, crop_cells=side, tasks=TASKS, code_sizes=SIZES)
    mean = torch.tensor([[1.0] * 6, [50.0] * 6])
    std = torch.tensor([[2.0] * 6, [20.0] * 6])
    model.scale.set(mean, std)
    return model.eval()


def batch(side: int = 12) -> tuple[Tensor, Tensor]:
    """Four patients; the third lacks the second part and the fourth the first."""
    chance = torch.Generator().manual_seed(1)
    mask = torch.zeros(4, side, side)
    mask[:3, :5, :5] = 1
    mask[:2, :5, 7:11] = 2
    mask[3, 2:8, 2:8] = 2
    codes = torch.randn(4, 6, side, side, generator=chance)
    codes = torch.where((mask == 2)[:, None], codes * 20 + 50, codes * 2 + 1) * (mask > 0)[:, None]
    codes[:, 4:] *= (mask == 2)[:, None]
    return codes, mask


@pytest.mark.parametrize("aggregator", ["mean", "max", *LEARNED])
def test_a_part_is_seen_by_its_own_aggregator_alone(aggregator: str) -> None:
    """The same vectors as each part's own model gives of its cells alone, by its own scale."""
    model = model_of(aggregator)
    assert isinstance(model.aggregator, JoinedParts)
    codes, mask = batch()
    vectors = model.vectors(codes, mask).split(model.aggregator.sizes, dim=1)
    for place, size in enumerate(SIZES):
        alone = SlideModel(model.aggregator.parts[place], size, TASKS).eval()
        alone.scale.set(model.scale.mean[place, :size], model.scale.std[place, :size])
        own = (mask == place + 1).float()
        there = own.flatten(1).any(dim=1)
        wanted = alone.vectors((codes[:, :size] * own[:, None])[there], own[there])
        assert torch.allclose(vectors[place][there], wanted, atol=1e-5)
        absent = model.aggregator.absent.split(model.aggregator.sizes)[place]
        assert torch.equal(vectors[place][~there], absent.expand(int((~there).sum()), -1))


@pytest.mark.parametrize("aggregator", LEARNED)
def test_all_weights_learn_and_what_is_left_out_is_learned_too(aggregator: str) -> None:
    model = model_of(aggregator).train()
    codes, mask = batch()
    targets = {"msi": torch.tensor([0.0, 1.0, 1.0, 0.0])}
    with torch.no_grad():  # heads begin with weights of 0, through which nothing below would learn
        model.heads["msi"].linear.weight.fill_(0.1)
    outputs = model(codes, mask)
    loss = joint_loss(TASKS, outputs, targets) + model.own_loss(outputs, targets)
    assert bool(torch.isfinite(loss))
    loss.backward()
    lacking = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not lacking
    assert bool((model.aggregator.absent.grad != 0).any())
    assert all(bool(torch.isfinite(weight.grad).all()) for weight in model.parameters())


def test_parts_are_left_out_in_training_but_never_all_of_them() -> None:
    model = model_of("abmil").aggregator
    there = torch.tensor([[True, True, True, False], [True, True, False, True]]).repeat(1, 500)
    torch.manual_seed(0)
    left = model._some_left_out(there)
    assert bool(left.any(dim=0).all())
    assert torch.equal(left[:, 2::4], there[:, 2::4])
    hidden = float((there & ~left)[:, 0::4].any(dim=0).float().mean())
    assert 0.10 < hidden < 0.20


def test_one_patient_with_a_part_is_enough_for_batch_normalisation() -> None:
    model = model_of("convnet").train()
    codes, mask = batch()
    mask[:2] = 1
    assert bool(torch.isfinite(model.vectors(codes, mask)).all())


def test_the_mean_of_those_who_have_it_stands_for_an_absent_part() -> None:
    model = model_of("mean")
    codes, mask = batch()
    model.aggregator.fill(model.vectors(codes, mask), torch.tensor([[1, 1], [1, 1], [1, 0], [0, 1]]) > 0)
    vectors = model.vectors(codes, mask)
    assert torch.allclose(vectors[2, 4:], vectors[[0, 1, 3], 4:].mean(dim=0))
    assert torch.allclose(vectors[3, :4], vectors[:3, :4].mean(dim=0))


def test_scales_are_undone() -> None:
    scale = model_of("mean").scale
    codes, mask = batch()
    scaled = scale(codes, mask)
    assert torch.allclose(scale.undo(scaled, mask)[:, :4], codes[:, :4], atol=1e-4)
    assert scaled[:, :4].abs().max() < 6


@pytest.mark.parametrize("aggregator", ["abmil", "mean", "dsmil"])
def test_occlusion_is_what_the_map_without_the_square_gives(aggregator: str) -> None:
    model = model_of(aggregator)
    codes, mask = batch()
    scaled = model.scale(codes, mask)
    squares = torch.tensor([[0, 0], [1, 4], [0, 3]])
    found = model.aggregator.occluded(scaled[0], mask[0], squares, 2)
    for (row, col), vector in zip((squares * 2).tolist(), found, strict=True):
        without = scaled[:1].clone()
        without[:, :, row : row + 2, col : col + 2] = 0
        assert torch.allclose(vector, model.of_scaled(without, mask[:1])[0], atol=1e-5)


def test_attention_sums_to_one_and_each_part_has_the_share_of_its_cells() -> None:
    model = model_of("abmil")
    codes, mask = batch()
    weights = model.aggregator.attention(model.scale(codes, mask), mask)
    assert torch.allclose(weights.sum(dim=(1, 2)), torch.ones(4), atol=1e-5)
    assert float(weights[0][mask[0] == 1].detach().sum()) == pytest.approx(25 / 45, abs=1e-5)
    assert not hasattr(model_of("mean").aggregator, "attention")


def test_votes_are_refused() -> None:
    with pytest.raises(SettingsError, match="heads of one encoder"):
        build_model("votes", code_size=6, crop_cells=12, tasks=TASKS, code_sizes=SIZES)
