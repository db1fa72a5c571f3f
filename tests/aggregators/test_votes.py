"""Votes: summaries equal NumPy's over the tissue, heads are the encoder's own, and glass has no vote."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from histonic.aggregators.base import build_model
from histonic.aggregators.registry import AggregatorClass
from histonic.aggregators.votes import (
    FIELD_CELLS,
    SUMMARIES,
    THRESHOLDS,
    Votes,
    densest_field,
    tissue_quantiles,
)
from histonic.core.errors import EncoderError
from histonic.core.task import Task
from histonic.nn.heads import Heads
from histonic.testing import PaddingContract

TILE_TASKS = (
    Task("mitosis", "binary", ("m",), ("no", "yes")),
    Task("tissue", "multiclass", ("t",), ("a", "b", "c")),
    Task("grade", "ordinal", ("g",), ("1", "2", "3")),
    Task("density", "regression", ("d",)),
)


def tile_heads(code_size: int) -> Heads:
    """Heads with weights."""
    chance = torch.Generator().manual_seed(5)
    heads = Heads(TILE_TASKS, code_size)
    for head in heads.heads:
        head.linear.weight.data = torch.randn(head.linear.weight.shape, generator=chance)
    return heads


class TestVotes(PaddingContract):
    def make(self) -> AggregatorClass:
        return partial(Votes, tile_heads=tile_heads(self.code_size))


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(3)
    mask = (torch.rand(2, 12, 9, generator=chance) < 0.6).float()
    return torch.randn(2, 4, 12, 9, generator=chance) * mask[:, None], mask


def test_what_the_votes_are_of() -> None:
    assert Votes(4, 8, tile_heads=tile_heads(4)).names == [
        "mitosis: yes",
        "tissue: a",
        "tissue: b",
        "tissue: c",
        "grade: 2 or more",
        "grade: 3 or more",
        "density",
    ]


@torch.no_grad()
def test_summaries_are_those_of_numpy(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    codes, mask = maps
    heads = tile_heads(4)
    votes = Votes(4, 8, tile_heads=heads)
    found = votes(codes, mask).view(2, len(votes.names), len(SUMMARIES))
    for number in range(2):
        cells = codes[number].permute(1, 2, 0)[mask[number] > 0]
        for place, chances in (
            (0, heads["mitosis"](cells).sigmoid()[:, 0]),
            (2, heads["tissue"](cells).softmax(dim=1)[:, 1]),
            (5, heads["grade"](cells).sigmoid()[:, 1]),
            (6, heads["density"](cells)[:, 0]),
        ):
            values = chances.double().numpy()
            counts = [(values > threshold).sum() for threshold in THRESHOLDS]
            expected = [
                values.mean(),
                values.std(),
                *np.quantile(values, (0.5, 0.9, 0.99)),
                values.max(),
                *(count / len(values) for count in counts),
                *(np.log1p(count) for count in counts),
            ]
            assert np.allclose(found[number, place, :-1], expected, atol=1e-5)


@torch.no_grad()
def test_the_densest_field_by_hand() -> None:
    mask = torch.ones(1, 20, 20)
    votes = torch.zeros(1, 1, 20, 20)
    votes[0, 0, 8 : 8 + FIELD_CELLS, 9 : 9 + FIELD_CELLS] = 0.5
    votes[0, 0, 0, 0] = 1.0
    assert float(densest_field(votes, mask)) == pytest.approx(0.5)
    lonely = torch.zeros(1, 20, 20)
    lonely[0, 0, 0] = 1
    # One cell of tissue is no hot spot: the rest of the field counts up to half of it.
    assert float(densest_field(votes * lonely, lonely)) == pytest.approx(2 / FIELD_CELLS**2)
    assert float(densest_field(votes * 0, mask * 0)) == 0
    assert float(densest_field(votes - 1, mask)) == pytest.approx(-0.5)


def test_quantiles_of_nothing_are_zero() -> None:
    nothing = torch.zeros(1, 4, dtype=torch.bool)
    assert [float(each) for each in tissue_quantiles(torch.ones(1, 4, 1), nothing, (0.1, 0.9))] == [0, 0]


@torch.no_grad()
def test_codes_are_taken_as_the_encoder_gave_them(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    codes, mask = maps
    heads = tile_heads(4)
    task = Task("s", "regression", ("s",))
    model = build_model("votes", code_size=4, crop_cells=12, tasks=[task], tile_heads=heads)
    model.scale.set(torch.full((4,), 5.0), torch.full((4,), 9.0))
    assert torch.equal(model.vectors(codes, mask), Votes(4, 12, tile_heads=heads)(codes, mask))
    assert model.is_linear and not model.sees_places


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EncoderError, match="no heads"):
        build_model("votes", code_size=4, crop_cells=12, tasks=[TILE_TASKS[0]])
    with pytest.raises(EncoderError, match="of 5 numbers, the maps have 4"):
        Votes(4, 8, tile_heads=tile_heads(5))


def test_the_heads_given_stay_as_they_are() -> None:
    heads = tile_heads(4)
    votes = Votes(4, 8, tile_heads=heads)
    assert all(weight.requires_grad for weight in heads.parameters())
    assert not any(weight.requires_grad for weight in votes.parameters())


@pytest.mark.parametrize("cells", [0, 1])
def test_votes_that_are_all_alike_have_a_gradient(cells: int) -> None:
    mask = torch.zeros(1, 9, 9)
    mask[0, 4, :cells] = 1
    codes = torch.randn(1, 4, 9, 9, requires_grad=True)
    Votes(4, 8, tile_heads=tile_heads(4))(codes, mask).sum().backward()
    assert codes.grad is not None and torch.isfinite(codes.grad).all()
    assert bool(codes.grad[:, :, 4, 0].any()) == (cells == 1)


def test_heads_with_a_dense_layer_vote_by_the_statistics_of_their_own_training() -> None:
    torch.manual_seed(0)
    heads = Heads(TILE_TASKS[:1], 4, 6)
    torch.nn.init.normal_(heads["mitosis"].linear.weight)
    votes = Votes(4, 8, tile_heads=heads)
    codes, mask = torch.randn(2, 4, 5, 5) * 9, torch.ones(2, 5, 5)
    before = {name: value.clone() for name, value in votes.state_dict().items()}
    quiet, trained = votes.eval()(codes, mask), votes.train()(codes, mask)
    assert torch.equal(quiet, trained)
    assert all(torch.equal(value, before[name]) for name, value in votes.state_dict().items())
