"""NT-Xent against a loop, the pair rule, and that both learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

from histonic.core.errors import EncoderError
from histonic.encoders.objectives.base import SAME
from histonic.encoders.objectives.contrastive import ContrastiveObjective, NtXentObjective, nt_xent


def nt_xent_by_loop(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    vectors = [v / np.linalg.norm(v) for v in (*first, *second)]
    count = len(first)
    total = 0.0
    for i, own in enumerate(vectors):
        partner = (i + count) % (2 * count)
        others = [math.exp(float(own @ vectors[k]) / temperature) for k in range(2 * count) if k != i]
        total -= math.log(math.exp(float(own @ vectors[partner]) / temperature) / sum(others))
    return total / (2 * count)


@pytest.mark.parametrize(("count", "size", "temperature"), [(2, 3, 1.0), (5, 4, 0.2), (9, 16, 0.5)])
def test_nt_xent_is_the_equation(count: int, size: int, temperature: float) -> None:
    rng = np.random.default_rng(count)
    first, second = rng.normal(size=(2, count, size))
    ours = nt_xent(torch.from_numpy(first), torch.from_numpy(second), temperature)
    assert float(ours) == pytest.approx(nt_xent_by_loop(first, second, temperature), rel=1e-5)


def test_nt_xent_knows_neither_length_nor_order_nor_side() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 5)
    value = float(nt_xent(first, second))
    order = torch.randperm(6)
    assert float(nt_xent(first[order], second[order])) == pytest.approx(value, rel=1e-5)
    assert float(nt_xent(second, first)) == pytest.approx(value, rel=1e-5)
    assert float(nt_xent(first * 7, second * torch.rand(6, 1))) == pytest.approx(value, rel=1e-5)
    assert float(nt_xent(first, second[order])) != pytest.approx(value, rel=1e-3)


def test_nt_xent_keeps_its_digits_in_autocast() -> None:
    torch.manual_seed(0)
    first = torch.randn(16, 32)
    second = first + 0.01 * torch.randn(16, 32)
    value = float(nt_xent(first, second, 0.05))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(nt_xent(first, second, 0.05)) == pytest.approx(value, rel=1e-5)


def test_nt_xent_refuses_what_has_no_strangers() -> None:
    for first, second in [((1, 4), (1, 4)), ((3, 4), (2, 4)), ((3, 4, 1), (3, 4, 1))]:
        with pytest.raises(EncoderError, match="at least two tiles"):
            nt_xent(torch.ones(first), torch.ones(second))
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(EncoderError, match="temperature"):
            nt_xent(torch.ones(2, 3), torch.ones(2, 3), temperature)
        with pytest.raises(EncoderError, match="temperature"):
            NtXentObjective(nn.Identity(), 4, temperature=temperature)


def test_the_verdict_on_pairs() -> None:
    objective = ContrastiveObjective(nn.Identity(), 4)
    logits, same = torch.tensor([2.0, -1.0, 0.5, -3.0, 1.0]), torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    result = objective.validate({"logit": logits}, {SAME: same})
    probabilities = 1 / (1 + np.exp(-logits.double().numpy()))
    assert result.scores["pair_accuracy"] == pytest.approx(accuracy_score(same, logits > 0))
    assert result.scores["cross_entropy"] == pytest.approx(log_loss(same, probabilities))
    assert result.loss == pytest.approx(0.4)
    assert float(objective.loss({"logit": logits}, {SAME: same})) == pytest.approx(
        log_loss(same, probabilities)
    )


def test_both_codes_of_a_pair_count_and_come_from_one_trunk(trunk, tissue) -> None:  # type: ignore[no-untyped-def]
    objective = ContrastiveObjective(trunk(), 8).eval()
    first, second = tissue[:4], tissue[4:8]
    codes = torch.cat([objective.encoder(first), objective.encoder(second)], dim=1)
    expected = objective.compare(codes)[:, 0]
    assert torch.allclose(objective(first, second)["logit"], expected, atol=1e-5)


def test_pairs_are_pictured_from_same_to_different(trunk, tissue) -> None:  # type: ignore[no-untyped-def]
    objective = ContrastiveObjective(trunk(), 8).eval()
    first, second = objective.picture(tissue[:6], tissue[6:12])
    logits = objective(first, second)["logit"]
    assert first.shape == (6, 3, 16, 16)
    assert (logits.diff() <= 1e-6).all() and logits[0] > logits[-1]


def test_the_verdict_on_views_is_the_mean_over_parts_of_256() -> None:
    torch.manual_seed(0)
    first = torch.randn(600, 8)
    second = first + 0.3 * torch.randn(600, 8)
    objective = NtXentObjective(nn.Identity(), 4)
    result = objective.validate({"first": first, "second": second}, {})
    parts = [slice(0, 300), slice(300, 600)]
    values = [nt_xent_by_loop(first[p].numpy(), second[p].numpy(), 0.2) for p in parts]
    assert result.loss == pytest.approx(np.mean(values), rel=1e-4)
    assert 0.3 < result.scores["partner_found"] < 1
    alone = objective.validate({"first": first[:3], "second": first[:3]}, {})
    assert alone.scores["partner_found"] == 1


def test_a_single_tile_has_no_verdict_but_no_accident() -> None:
    objective = NtXentObjective(nn.Identity(), 4)
    with pytest.raises(EncoderError, match="at least two tiles"):
        objective.validate({"first": torch.ones(1, 4), "second": torch.ones(1, 4)}, {})


def test_the_nearest_view_is_pictured(trunk, tissue) -> None:  # type: ignore[no-untyped-def]
    objective = NtXentObjective(trunk(), 8).eval()
    picture = objective.picture(tissue[:5], tissue[:5])
    assert torch.equal(picture[0], tissue[:5]) and torch.equal(picture[1], tissue[:5])


@pytest.mark.parametrize("kind", [ContrastiveObjective, NtXentObjective])
def test_outputs_are_batch_first_finite_float32_in_bfloat16(trunk, tissue, kind) -> None:  # type: ignore[no-untyped-def]
    objective = kind(trunk(), 8)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = objective(tissue[:6], tissue[6:12] * 50)
    for values in outputs.values():
        assert len(values) == 6 and values.dtype == torch.float32 and torch.isfinite(values).all()
    objective.loss(outputs, {SAME: torch.ones(6)}).backward()
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters())


def train(objective, draw, steps: int) -> None:  # type: ignore[no-untyped-def]
    optimizer = torch.optim.Adam(objective.parameters(), 2e-3)
    torch.manual_seed(1)
    for _ in range(steps):
        tiles, targets = draw()
        loss = objective.loss(objective(*tiles), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    objective.eval()


def test_pairs_are_learned(trunk, tissue, views) -> None:  # type: ignore[no-untyped-def]
    def pairs(rows: torch.Tensor):  # type: ignore[no-untyped-def]
        same = (torch.rand(len(rows)) < 0.5).float()
        others = torch.where(same > 0, rows, rows.roll(1))
        return (views(tissue[rows]), views(tissue[others])), {SAME: same}

    objective = ContrastiveObjective(trunk(), 8)
    train(objective, lambda: pairs(torch.randint(0, 512, (64,))), 120)
    tiles, targets = pairs(torch.arange(512, 640))
    with torch.no_grad():
        assert objective.validate(objective(*tiles), targets).scores["pair_accuracy"] > 0.7


def test_views_are_learned(trunk, tissue, views) -> None:  # type: ignore[no-untyped-def]
    def draw(rows: torch.Tensor):  # type: ignore[no-untyped-def]
        return (views(tissue[rows]), views(tissue[rows])), {}

    objective = NtXentObjective(trunk(), 8)
    tiles, _ = draw(torch.arange(512, 640))
    with torch.no_grad():
        before = objective.eval().validate(objective(*tiles), {})
        objective.train()
    train(objective, lambda: draw(torch.randint(0, 512, (64,))), 60)
    with torch.no_grad():
        after = objective.validate(objective(*tiles), {})
    assert after.loss < before.loss - 0.5
    assert after.scores["partner_found"] > before.scores["partner_found"]
