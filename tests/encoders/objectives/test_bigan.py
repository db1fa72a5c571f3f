"""BiGAN: gradients against two separate backward passes, numeric safety, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from histonic.core.errors import EncoderError
from histonic.encoders.networks.nic import NicNetwork
from histonic.encoders.objectives import bigan
from histonic.encoders.objectives.bigan import BiganObjective


@pytest.fixture
def objective(trunk, monkeypatch) -> BiganObjective:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(bigan, "GENERATOR_FILTERS", 16)
    monkeypatch.setattr(bigan, "DENSE", 64)
    return BiganObjective(trunk(8), 8, tile_px=16)


def gradients(module: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in module.parameters()]


def without_dropout(objective: BiganObjective) -> None:
    for layer in objective.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0


def test_one_backward_pass_equals_the_two_of_the_minimax_game(objective, tissue) -> None:  # type: ignore[no-untyped-def]
    without_dropout(objective)
    tiles = tissue[:12]
    torch.manual_seed(3)
    objective.loss(objective(tiles), {}).backward()
    ours = [gradients(part) for part in (objective.encoder, objective.generator, objective.discriminator)]
    wanted = []
    for turn in ("players", "discriminator"):
        torch.manual_seed(3)
        objective.zero_grad()
        codes = objective.encoder(tiles)
        latents = torch.randn_like(codes)
        logits = objective.discriminator(
            torch.cat([tiles, objective.generator(latents)]), torch.cat([codes, latents])
        )
        true = torch.tensor([1.0, 0.0]).repeat_interleave(12)
        labels = true if turn == "discriminator" else 1 - true
        bce(logits, labels).backward()
        if turn == "players":
            wanted += [gradients(objective.encoder), gradients(objective.generator)]
        else:
            wanted += [gradients(objective.discriminator)]
    for part, expected in zip(ours, wanted, strict=True):
        assert max(float(g.abs().max()) for g in part) > 0
        for one, other in zip(part, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


def test_each_side_has_its_own_part_of_the_loss(objective, tissue) -> None:  # type: ignore[no-untyped-def]
    outputs = objective(tissue[:8])
    (outputs["real"].sum() + outputs["fake"].sum()).backward()
    assert all(p.grad is None for p in [*objective.encoder.parameters(), *objective.generator.parameters()])
    assert all(p.grad is not None for p in objective.discriminator.parameters())
    objective.zero_grad()
    outputs = objective(tissue[:8])
    (outputs["real_to_fool"].sum() + outputs["fake_to_fool"].sum()).backward()
    assert all(p.grad is None for p in objective.discriminator.parameters())
    for part in (outputs["real_to_fool"], outputs["fake_to_fool"]):
        assert part.requires_grad
    assert all(
        p.grad is not None for p in [*objective.encoder.parameters(), *objective.generator.parameters()]
    )


def test_the_second_look_leaves_running_statistics_alone(objective, tissue) -> None:  # type: ignore[no-untyped-def]
    objective(tissue[:8])
    counts = [n for name, n in objective.discriminator.named_buffers() if name.endswith("tracked")]
    assert counts and all(int(count) == 1 for count in counts)


def test_dropout_acts_on_both_looks(objective, tissue) -> None:  # type: ignore[no-untyped-def]
    outputs = objective(tissue[:8])
    assert not torch.allclose(outputs["real"], outputs["real_to_fool"])
    without_dropout(objective)
    outputs = objective(tissue[:8])
    assert torch.allclose(outputs["real"], outputs["real_to_fool"], atol=1e-5)


def test_loss_is_the_cross_entropy_also_where_probabilities_are_zero_or_one(objective) -> None:  # type: ignore[no-untyped-def]
    logits = torch.tensor([-300.0, -2.0, 0.0, 5.0, 300.0])
    outputs = {name: logits for name in ("real", "fake", "real_to_fool", "fake_to_fool")}
    ones, zeros = torch.ones(5), torch.zeros(5)
    expected = float(bce(logits, ones) + bce(logits, zeros))
    assert float(objective.loss(outputs, {})) == pytest.approx(expected)


def test_verdict_and_what_is_kept(objective) -> None:  # type: ignore[no-untyped-def]
    outputs = {
        "real": torch.tensor([1.0, -1.0]),
        "fake": torch.tensor([-1.0, -2.0]),
        "error": torch.tensor([0.5, 0.25]),
    }
    result = objective.validate(outputs, {})
    assert result.loss == pytest.approx(0.375)
    assert result.scores == {"reconstruction": pytest.approx(0.375), "told_apart": pytest.approx(0.75)}
    assert objective.keeps == "last"


def test_the_error_is_that_of_the_picture(objective, tissue) -> None:  # type: ignore[no-untyped-def]
    objective.eval()
    outputs = objective(tissue[:4])
    rows = objective.picture(tissue[:4])
    assert rows.shape == (3, 4, 3, 16, 16)
    assert torch.allclose(outputs["error"], (rows[0] - rows[1]).square().mean((1, 2, 3)), atol=1e-6)
    assert torch.isfinite(objective.loss(outputs, {}))
    objective.train()
    assert "error" not in objective(tissue[:4])


def test_the_discriminator_has_the_layers_of_the_trunk_but_not_its_weights(objective) -> None:  # type: ignore[no-untyped-def]
    ours, theirs = objective.encoder.state_dict(), objective.discriminator.image.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert not torch.equal(ours["0.weight"], theirs["0.weight"])
    shared = {id(p) for p in objective.encoder.parameters()} & {
        id(p) for p in objective.discriminator.parameters()
    }
    assert not shared


def test_layers_are_those_of_the_paper() -> None:
    objective = BiganObjective(NicNetwork(128, tile_px=64), 128)
    convolutions = [layer for layer in objective.generator.modules() if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [
        (64, 128), (128, 128), (128, 128), (128, 128), (128, 3),
    ]  # fmt: skip
    assert objective.generator.dense.dense.out_features == 1024
    dense = [layer for layer in objective.discriminator.joint if isinstance(layer, nn.Linear)]
    assert [(d.in_features, d.out_features) for d in dense] == [(256, 1024), (1024, 1024), (1024, 1)]
    assert [layer.p for layer in objective.discriminator.joint if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


def test_outputs_are_batch_first_finite_float32_in_bfloat16(objective, tissue) -> None:  # type: ignore[no-untyped-def]
    for mode in (True, False):
        objective.train(mode)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = objective(tissue[:6] * 20)
        for values in outputs.values():
            assert values.shape == (6,) and values.dtype == torch.float32 and torch.isfinite(values).all()
        objective.loss(outputs, {}).backward()
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters())


def test_draws_come_from_the_global_generator(objective, tissue) -> None:  # type: ignore[no-untyped-def]
    objective.eval()
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        runs.append(objective(tissue[:4])["fake"])
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_a_side_that_cannot_be_drawn() -> None:
    with pytest.raises(EncoderError, match="tile_px is 100"):
        BiganObjective(nn.Linear(3, 8), 8, tile_px=100)


def blobs(count: int) -> Tensor:
    """A red or a cyan spot somewhere on grey, ``(count, 3, 8, 8)``."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    place = torch.rand(count, 2, 1, 1) * 6 + 0.5
    spot = torch.exp(-((rows - place[:, 0]) ** 2 + (columns - place[:, 1]) ** 2) / 6)
    colour = torch.sign(torch.rand(count, 1, 1, 1) - 0.5)
    return (torch.stack([spot, -spot, 0 * spot], 1) * 1.6 * colour).clamp(-1, 1)


def test_encoder_and_generator_become_inverse(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(bigan, "GENERATOR_FILTERS", 16)
    monkeypatch.setattr(bigan, "DENSE", 64)
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels, filters in ((3, 16), (16, 32)):
        layers += [nn.Conv2d(channels, filters, 3, 2, 1), nn.BatchNorm2d(filters), nn.LeakyReLU(0.2)]
    objective = BiganObjective(nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 3)), 3, tile_px=8)
    optimizer = torch.optim.Adam(objective.parameters(), 5e-4, betas=(objective.adam_momentum, 0.999))

    def own_error_by_that_of_another() -> float:
        objective.eval()
        tiles, drawn, _ = objective.picture(blobs(300))
        objective.train()
        own, other = (drawn - tiles).square().mean(), (drawn.roll(1, 0) - tiles).square().mean()
        return float(own / other)

    ratios = []
    for step in range(251):
        loss = objective.loss(objective(blobs(64)), {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            ratios.append(own_error_by_that_of_another())
    assert ratios[0] > 0.9
    # The game swings: the players lose each other now and then.
    assert min(ratios) < 0.65
