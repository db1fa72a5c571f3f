"""CLAM: pseudo-labels by hand, a loss of its own for every kind of target, and none out of training."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from histonic.aggregators.base import build_model
from histonic.aggregators.clam import CHOSEN, Clam, both_ends, clustering_loss, memberships
from histonic.aggregators.registry import AggregatorClass
from histonic.core.task import Task
from histonic.testing import TASKS, BagContract

GRADE = Task("g", "multiclass", ("g",), ("1", "2", "3"))


class TestClam(BagContract):
    def make(self) -> AggregatorClass:
        return partial(Clam, tasks=TASKS)


def test_ends_are_sorted_and_never_overlap() -> None:
    attention = torch.tensor([[0.1, 0.0, 0.4, 0.2, 0.0, 0.3], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    tissue = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 0, 0]]) > 0
    ends, chosen = both_ends(attention, tissue)
    assert ends.shape == (2, 2 * CHOSEN)
    assert ends[0, :2].tolist() == [2, 5] and ends[0, CHOSEN : CHOSEN + 2].tolist() == [0, 3]
    assert chosen[0].tolist() == [1, 1] + [0] * (CHOSEN - 2)
    assert not chosen[1].any()


def test_classes_of_every_kind_of_target() -> None:
    missing = torch.nan
    assert memberships(GRADE, torch.tensor([2.0, missing])).nan_to_num(-1).tolist() == [
        [0, 0, 1],
        [-1, -1, -1],
    ]
    ordinal = Task("g", "ordinal", ("g",), ("1", "2", "3"))
    assert memberships(ordinal, torch.tensor([0.0, 1.0, 2.0])).tolist() == [[0, 0], [1, 0], [1, 1]]
    score = Task("s", "regression", ("s",))
    assert memberships(score, torch.tensor([-0.1, 0.3])).tolist() == [[1, 0], [0, 1]]


def test_the_loss_by_hand() -> None:
    """One slide of class 1 of 2, one cell at each end."""
    scores = torch.zeros(1, 2, 2 * CHOSEN)
    scores[0, :, 0] = torch.tensor([0.5, 2.0])  # the most attended cell, for either class
    scores[0, :, CHOSEN] = torch.tensor([9.0, -1.0])  # the least attended
    chosen = torch.zeros(1, CHOSEN)
    chosen[0, 0] = 1

    def softplus(value: float) -> float:
        return math.log1p(math.exp(value))

    # Of its class: most attended inside, least outside. Of the other: most attended outside, nothing else.
    expected = (softplus(1 - 2.0) + softplus(1 - 1.0) + softplus(1 + 0.5)) / 3
    assert float(clustering_loss(scores, torch.tensor([[0.0, 1.0]]), chosen)) == pytest.approx(expected)
    unknown = torch.full((1, 2), torch.nan)
    assert float(clustering_loss(scores, unknown, chosen)) == 0


def test_a_smooth_margin_loss_is_the_formula_of_berrada() -> None:
    """tau log sum over classes of exp((margin + score) / tau), less the score of the right one."""
    inside, outside = torch.tensor(0.3), torch.tensor(-0.4)
    right = torch.logsumexp(torch.stack([inside, 1 + outside]), 0) - inside
    scores = torch.zeros(1, 1, 2 * CHOSEN)
    scores[..., 0] = inside - outside
    chosen = torch.zeros(1, CHOSEN)
    chosen[0, 0] = 1
    found = clustering_loss(scores, torch.tensor([[0.0]]), chosen)
    wrong = torch.logsumexp(torch.stack([1 + inside, outside]), 0) - outside
    assert float(found) == pytest.approx(float(wrong))
    scores[..., CHOSEN] = -20  # a least attended cell that is surely outside costs almost nothing
    found = clustering_loss(scores, torch.tensor([[1.0]]), chosen)
    assert float(found) == pytest.approx(float(right) / 2, abs=1e-6)


def test_clues_are_there_in_training_only() -> None:
    model = build_model("clam", code_size=3, crop_cells=8, tasks=[GRADE])
    codes, mask = torch.randn(2, 3, 8, 8), torch.ones(2, 8, 8)
    assert set(model.eval()(codes, mask)) == {"g"}
    outputs = model.train()(codes, mask)
    assert len(outputs) == 3 and all(len(each) == 2 for each in outputs.values())
    known = {"g": torch.tensor([0.0, 2.0])}
    assert float(model.own_loss(outputs, known)) > 0
    plain = build_model("abmil", code_size=3, crop_cells=8, tasks=[GRADE]).train()
    assert set(plain(codes, mask)) == {"g"} and plain.own_loss(plain(codes, mask), known) == 0


def test_survival_alone_has_no_clusters() -> None:
    task = Task("os", "survival", ("t", "e"))
    model = build_model("clam", code_size=3, crop_cells=8, tasks=[task]).train()
    outputs = model(torch.randn(2, 3, 8, 8), torch.ones(2, 8, 8))
    assert float(model.own_loss(outputs, {"os": torch.tensor([[1.0, 1.0], [2.0, 0.0]])})) == 0


def test_the_own_loss_teaches_to_tell_cells_apart() -> None:
    """Slides of one class hold marked cells: the class's layer learns to score them higher."""
    torch.manual_seed(0)
    task = Task("t", "binary", ("t",), ("no", "yes"))
    model = build_model("clam", code_size=2, crop_cells=8, tasks=[task]).train()
    targets = {"t": torch.tensor([0.0, 1.0] * 8)}
    codes = torch.randn(16, 2, 8, 8) * 0.1
    codes[1::2, 0, :3] += 3
    mask = torch.ones(16, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        outputs = model(codes, mask)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs["t"][:, 0], targets["t"])
        optimizer.zero_grad()
        (loss + model.own_loss(outputs, targets)).backward()
        optimizer.step()
    net = model.aggregator
    assert isinstance(net, Clam)
    scores = net.tell["task 0"](net.embed(codes.flatten(2).transpose(1, 2)))[..., 1].view(16, 8, 8)
    assert scores[1::2, :3].mean() > scores[1::2, 3:].mean() + 1
    assert scores[1::2, :3].mean() > scores[::2].mean() + 1
