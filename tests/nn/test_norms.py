"""Batch normalisation fitted to new data: the same output as before, with the new statistics."""

from __future__ import annotations

import torch
from torch import nn

from histonic.nn.norms import refit_norms


def network() -> nn.Sequential:
    torch.manual_seed(0)
    built = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5, eps=1e-3)
    )
    for layer in built:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.normal_(layer.weight)
    return built.eval()


def test_the_output_is_kept_and_the_statistics_are_those_of_the_new_data() -> None:
    one = network()
    batches = [torch.randn(6, 3, 9, 9) * 3 + 1 for _ in range(3)]
    before = [one(batch) for batch in batches]
    inputs = torch.cat([one[0](batch) for batch in batches])
    refit_norms(one, batches)
    for batch, wanted in zip(batches, before, strict=True):
        assert torch.allclose(one(batch), wanted, atol=1e-4)
    assert torch.allclose(one[1].running_mean, inputs.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(one[1].running_var, inputs.var((0, 2, 3), unbiased=False), rtol=1e-4)


def test_training_begins_where_evaluation_is() -> None:
    """The reason for it all: with foreign statistics the two modes of a network disagree."""
    one, batch = network(), torch.randn(64, 3, 9, 9) * 3 + 1
    wanted = one(batch)
    apart = (network().train()(batch) - wanted).abs().mean()
    refit_norms(one, [batch])
    assert (one.train()(batch) - wanted).abs().mean() < 0.01 * apart


def test_no_batches_change_nothing() -> None:
    one, wanted = network(), network().state_dict()
    refit_norms(one, [])
    assert all(torch.equal(value, wanted[name]) for name, value in one.state_dict().items())
