"""The variational autoencoder: its loss against torch.distributions, its mode, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import avg_pool2d, interpolate

from histonic.core.errors import EncoderError
from histonic.encoders.networks.nic import NicNetwork
from histonic.encoders.networks.tellez import TellezNetwork
from histonic.encoders.objectives import vae
from histonic.encoders.objectives.vae import VaeObjective


def make(trunk, code_size: int = 8) -> VaeObjective:  # type: ignore[no-untyped-def]
    encoder = trunk(code_size)
    return VaeObjective(encoder, code_size, tile_px=16)


def test_kl_is_that_of_two_normal_distributions_summed_over_the_code(trunk, tissue) -> None:  # type: ignore[no-untyped-def]
    objective = make(trunk).eval()
    mean, log_variance = objective.distribution(tissue[:5])
    given = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0, 1)).sum(1)
    assert torch.allclose(objective(tissue[:5])["kl"], given, atol=1e-4)


def test_kl_of_known_numbers() -> None:
    class Fixed(nn.Module):
        def forward(self, tiles: Tensor) -> Tensor:
            return torch.tensor([[0.0, 0.0], [2.0, 0.0]])

    objective = VaeObjective(Fixed(), 2, tile_px=8).eval()
    nn.init.zeros_(objective.log_variance.weight)
    nn.init.zeros_(objective.log_variance.bias)
    kl = objective(torch.zeros(2, 3, 8, 8))["kl"]
    assert torch.allclose(kl, torch.tensor([0.0, 2.0]))  # half the squared mean
    nn.init.constant_(objective.log_variance.bias, 10 * math.atanh(math.log(4) / 10))
    kl = objective(torch.zeros(2, 3, 8, 8))["kl"]
    each = -0.5 * (1 + math.log(4) - 4)  # variance 4
    assert torch.allclose(kl, torch.tensor([2 * each, 2 * each + 2]))


def test_error_is_the_mean_square_over_pixels_and_channels(trunk, tissue) -> None:  # type: ignore[no-untyped-def]
    objective = make(trunk).eval()
    original, drawn = objective.picture(tissue[:4])
    given = ((original.double().numpy() - drawn.detach().double().numpy()) ** 2).reshape(4, -1).mean(1)
    assert torch.allclose(objective(tissue[:4])["error"].double(), torch.from_numpy(given), atol=1e-6)


def test_gamma_weighs_the_divergence() -> None:
    outputs = {"error": torch.tensor([1.0, 3.0]), "kl": torch.tensor([100.0, 300.0])}
    objective = VaeObjective(nn.Identity(), 2, tile_px=8, gamma=0.01)
    assert float(objective.loss(outputs, {})) == pytest.approx(2 + 2)
    result = objective.validate(outputs, {})
    assert result.loss == pytest.approx(4)
    assert result.scores == {"reconstruction": pytest.approx(2), "kl": pytest.approx(200)}


def test_codes_are_drawn_in_training_only(trunk, tissue) -> None:  # type: ignore[no-untyped-def]
    objective = make(trunk)
    for layer in objective.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 0.0
    first, second = (objective(tissue[:8])["error"] for _ in range(2))
    assert not torch.equal(first, second)
    objective.eval()
    first, second = (objective(tissue[:8])["error"] for _ in range(2))
    assert torch.equal(first, second)


def test_the_log_variance_layer_belongs_to_the_objective() -> None:
    for network, below in ((NicNetwork(8, 64), 1152), (TellezNetwork(8, 64), 512)):
        kept = set(network.state_dict())
        objective = VaeObjective(network, 8, tile_px=64)
        assert objective.log_variance.in_features == below
        assert set(objective.encoder.state_dict()) == kept
        assert {id(p) for p in objective.groups()["trunk"]} == {id(p) for p in network.parameters()}
        tiles = torch.randn(2, 3, 64, 64)
        assert torch.allclose(objective.eval().distribution(tiles)[0], network(tiles), atol=1e-5)
    assert VaeObjective(nn.Linear(3, 4), 4, tile_px=8).log_variance.in_features == 4


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_outputs_are_finite_float32_in_bfloat16(trunk, tissue, scale: float) -> None:  # type: ignore[no-untyped-def]
    objective = make(trunk)
    objective.log_variance.weight.data *= scale
    with torch.autocast("cpu", torch.bfloat16):
        outputs = objective(tissue[:6])
    for values in outputs.values():
        assert values.shape == (6,) and values.dtype == torch.float32
        assert torch.isfinite(values).all()
    objective.loss(outputs, {}).backward()
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters())


def test_it_learns_to_draw_tissue(trunk, tissue, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(vae, "DECODER_START", 32)
    monkeypatch.setattr(vae, "DECODER_FILTERS", (16, 16))
    objective = make(trunk)
    optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
    # Chromatin finer than the code can hold is averaged away.
    smooth = interpolate(avg_pool2d(tissue, 4), scale_factor=4, mode="bilinear")
    shown, held_out = smooth[:512], smooth[512:]
    torch.manual_seed(1)
    losses = []
    for _ in range(150):
        loss = objective.loss(objective(shown[torch.randint(0, 512, (64,))]), {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    objective.eval()
    with torch.no_grad():
        error = float(objective(held_out)["error"].mean())
    plain = float((held_out - shown.mean(0)).square().mean())
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])
    assert error < 0.6 * plain


def test_a_side_that_cannot_be_drawn() -> None:
    with pytest.raises(EncoderError, match="tile_px is 100"):
        VaeObjective(nn.Identity(), 8, tile_px=100)
