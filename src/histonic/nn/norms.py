"""Batch normalisation fitted to new data without changing what a network computes (Mormont et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass
class _Moments:
    """Sums over all positions seen so far, per channel."""

    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def take_in(self, values: Tensor) -> None:
        channels = values.detach().double().transpose(0, 1).flatten(1)
        self.count += channels.shape[1]
        self.total = self.total + channels.sum(dim=1)
        self.squares = self.squares + channels.square().sum(dim=1)

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = torch.as_tensor(self.total) / self.count
        return mean, (torch.as_tensor(self.squares) / self.count - mean**2).clamp_min(0)


@torch.no_grad()
def refit_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give each batch normalisation the statistics of new data, and scale and shift that keep its output.

    The statistics mu_s and sd_s of the data that the weights come from are replaced by mu_t and sd_t of the
    new data; scale gamma and shift beta become gamma * sd_t / sd_s and beta + gamma * (mu_t - mu_s) / sd_s.
    In evaluation mode the network computes the same as before; in training mode, where batches of the
    new data bring their own statistics, it now begins there too.

    Args:
        network: Changed in place; layers without scale and shift are left alone.
        batches: Inputs ``(B, ...)`` of the network.

    Example:
        >>> norm = nn.BatchNorm1d(1).eval()
        >>> refit_norms(norm, [torch.tensor([[1.0], [5.0]])])
        >>> float(norm.running_mean), round(float(norm.weight), 3), round(float(norm.bias), 3)
        (3.0, 2.0, 3.0)
    """
    norms = [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.affine and layer.track_running_stats
    ]
    moments = [_Moments() for _ in norms]
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, own=own: own.take_in(inputs[0]))
        for layer, own in zip(norms, moments, strict=True)
    ]
    network.eval()
    try:
        for batch in batches:
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for layer, own in zip(norms, moments, strict=True):
        if own.count:
            _refit(layer, *own.mean_and_variance())


def _refit(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    source_mean, source_variance = torch.as_tensor(layer.running_mean), torch.as_tensor(layer.running_var)
    # With the layer's own eps in both, the output is kept exactly.
    ratio = torch.sqrt((variance + layer.eps) / (source_variance.double() + layer.eps))
    shift = (mean - source_mean) / torch.sqrt(source_variance.double() + layer.eps)
    layer.bias.add_((layer.weight * shift).to(layer.bias.dtype))
    layer.weight.mul_(ratio.to(layer.weight.dtype))
    source_mean.copy_(mean)
    source_variance.copy_(variance)
